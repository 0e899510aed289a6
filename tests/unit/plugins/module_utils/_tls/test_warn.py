# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is told when of a certificate that expires."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.plugins.module_utils._tls.warn import threshold, warn
from ansible_collections.postamt.mail.tests.lib.openssl import issue

MAIL = {"public": ["mail.example.org"]}


@pytest.mark.parametrize(
    ("days", "warned", "due"),
    [(22, None, None), (21, None, 21), (20, 21, None), (8, 21, None), (6.5, 21, 7), (6.5, None, 7), (2, 7, None),
     (0.5, 7, 1), (-3, None, 1), (-3, 1, None)],
)  # fmt: skip
def test_thresholds(days: float, warned: int | None, due: int | None) -> None:
    assert threshold(days, warned) == due


def test_each_threshold_is_told_once_a_certificate(store: Store, tmp_path: Path) -> None:
    letters: list[str] = []
    record = str(tmp_path / "state" / "warned.json")
    now = time.time()

    def days_on(days: float) -> list[str]:
        letters.clear()
        warn(store, record, now + days * 86400, letters.append)
        return [line for letter in letters for line in letter.splitlines() if line.startswith("Subject: ")]

    assert days_on(0) == days_on(8) == []
    assert "Subject: Certificate public of" in days_on(10)[0] and " expires on " in letters[0]
    assert days_on(11) == days_on(22) == []
    assert len(days_on(24)) == 1 and days_on(24) == []
    assert len(days_on(29.5)) == 1 and days_on(29.6) == days_on(31) == []
    chain, key = issue(tmp_path, "second", days=5)
    store.replaced("public", str(chain), str(key), MAIL)
    assert len(days_on(0)) == 1
    assert "install public CHAIN KEY" in letters[0] and "CN=second" in letters[0]


def test_a_letter_that_cannot_be_sent_is_tried_again(store: Store, tmp_path: Path) -> None:
    record = str(tmp_path / "warned.json")
    soon = time.time() + 20 * 86400

    def refuse(letter: str) -> None:
        raise CertificateError("sendmail: no")

    with pytest.raises(CertificateError):
        warn(store, record, soon, refuse)
    assert warn(store, record, soon, lambda letter: None)

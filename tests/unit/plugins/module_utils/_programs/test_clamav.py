# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When signatures have to be fetched, and what is said where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._programs import clamav
from ansible_collections.postamt.mail.tests.lib.described import described

# as freshclam 1.4 says it
SAID = """\
ClamAV update process started at Fri Nov 27 03:46:15 2026
WARNING: Can't query current.cvd.clamav.net
WARNING: Download failed (6) WARNING:  Message: Could not resolve hostname
ERROR: Update failed for database: daily
ERROR: Update failed for database: daily
ERROR: Database update process failed: Connection failed
"""


@pytest.mark.parametrize(
    ("there", "brought", "running", "lacking"),
    [
        ([], [], True, True),
        (["freshclam.dat", "postamt-test.ndb"], [], True, True),
        (["daily.cvd"], [], True, False),
        (["leaving.ndb"], [], True, True),
        (["tmp.3f1c/clamav-88.tmp"], [], True, True),  # of a freshclam that was killed
        ([], ["own.ndb"], True, False),
        ([], ["postamt-test.ndb"], True, True),
        ([], [], False, False),
    ],
)
def test_signatures_are_fetched_where_there_are_none(
    there: list[str], brought: list[str], running: bool, lacking: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clamav, "SIGNATURES", f"{tmp_path}/")
    monkeypatch.setattr(clamav, "TEST", f"{tmp_path}/postamt-test.ndb")
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    plan: dict[str, Any] = {
        "files": [{"path": f"{tmp_path}/{name}"} for name in brought],
        "units": [{"name": clamav.UPDATES, "running": running}],
    }
    program = clamav.Clamav(described("clamav", **plan))
    assert bool(program.missing_artifacts([f"{tmp_path}/leaving.ndb"])) == lacking


def test_the_reason_is_freshclams_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "as_user", lambda *_words, **_how: units.Output(58, SAID, ""))
    with pytest.raises(units.Failed) as failed:
        clamav.Clamav(described("clamav")).create(clamav.FIRST)
    said = str(failed.value)
    assert said.startswith(
        "freshclam cannot fetch signatures: Could not resolve hostname; Update failed for database: daily; "
        "Database update process failed: Connection failed. "
    )
    assert "mail_clamav_mirror" in said and "mail_clamav_official: false" in said


def test_silence_is_a_reason_too() -> None:
    assert "nothing came within" in clamav.reason("ClamAV update process started\n")

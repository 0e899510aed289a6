# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What clamd's unit takes for signatures before it starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import clamav


@pytest.mark.parametrize(
    ("there", "fetches"),
    [
        ([], True),
        (["freshclam.dat", "postamt-test.ndb"], True),
        (["tmp.3f1c/clamav-88.tmp"], True),  # of a freshclam that was killed
        (["daily.cvd"], False),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_signatures_count_on_another_disk_too(
    there: list[str], fetches: bool, elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clamav"
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if elsewhere:
        folder = tmp_path / "link"
        folder.symlink_to(tmp_path / "clamav")
    monkeypatch.setattr(clamav, "SIGNATURES", str(folder))
    monkeypatch.setattr(clamav, "TEST_SIGNATURE", f"{folder}/postamt-test.ndb")
    before = next(line for line in clamav._drop_in([]).splitlines() if line.startswith("ExecStartPre=/bin/sh -c '"))
    looks = before.partition("'")[2].partition(" || ")[0]
    assert (subprocess.run(["sh", "-c", looks], check=False, stderr=subprocess.DEVNULL).returncode != 0) == fetches

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A replica serves with some entries whatever goes wrong."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import follow, offline, takeover
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record, Run


class Entries(Connection):
    """What a connection finds: an entry at a change."""

    def __init__(self, change: str) -> None:
        self.change = change

    def open(self) -> None:
        """Nobody is asked."""

    def search(self, base: str, scope: str, query: str = "", names: Any = ()) -> dict[str, dict[str, list[str]]]:
        return {base: {"contextCSN": ["20261127"], "entryCSN": [self.change]}}


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What systemd is asked for."""
    asked: list[str] = []
    monkeypatch.setattr(units, "act", lambda verb, *_names: asked.append(verb))
    monkeypatch.setattr(offline, "make_folder", lambda path: Path(path).mkdir())
    monkeypatch.setattr(takeover, "PID_FILE", str(tmp_path / "no.pid"))
    return asked


@pytest.fixture
def run(change: Change, record: Record) -> Run:
    """A run on a replica that serves."""
    return Run(change, record, Entries("own"))


def data(run: Run) -> Path:
    return Path(run.plan["config"]["database"]["olcDbDirectory"][0]) / "data.mdb"


def test_a_full_disk_leaves_the_entries_that_there_were(
    run: Run, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: str, data: str) -> str:
        database.write_text(data[:2])
        raise Failed("slapadd: No space left on device")

    database = data(run)
    monkeypatch.setattr(offline, "as_slapd", full)
    with pytest.raises(Failed, match="No space left on device; it serves with the entries that it had"):
        follow.compare_entries(run, Entries("provider's"))
    assert database.read_text() == "old"
    assert acts == ["stop", "stop", "start"]
    assert files.load(run.record.path) == {"loading": True}  # the next run tries again

    monkeypatch.setattr(offline, "as_slapd", lambda *_words, data: database.write_text(data))
    follow.compare_entries(run, Entries("provider's"))
    assert database.read_text().startswith("dn:: ")
    assert files.load(run.record.path) == {}
    assert run.report.actions == ["took the directory of mail.example.org anew (1 entry differed)"] * 2


def test_a_replica_that_has_the_same_entries_is_left_alone(run: Run, acts: list[str]) -> None:
    follow.compare_entries(run, Entries("own"))
    assert (acts, run.report.changed) == ([], False)


def test_a_record_that_cannot_be_kept_stops_nothing(run: Run, acts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "applied.json")

    monkeypatch.setattr(files, "save", full)
    with pytest.raises(OSError, match="No space left"):
        takeover.load(run, "dn: o=mail\n")
    assert acts == []
    assert data(run).read_text() == "old"

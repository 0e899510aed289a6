# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A slapd that has to start anew, and a replica that serves with some entries whatever goes wrong."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import ldap


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemd is asked for."""
    asked: list[str] = []
    monkeypatch.setattr(units, "act", lambda verb, *_names: asked.append(verb))
    monkeypatch.setattr(ldap, "_make_folder", lambda path: Path(path).mkdir())
    monkeypatch.setattr(ldap, "_text_of", lambda _path: "")
    monkeypatch.setattr(ldap, "Connection", lambda *_words: "connection")
    monkeypatch.setattr(ldap, "state", lambda *_words: "20261127")
    monkeypatch.setattr(ldap, "_changes_of", lambda connection, _suffix: {"o=mail": [connection]})
    monkeypatch.setattr(ldap, "as_ldif", lambda *_words: "dn: o=mail\n")
    return asked


@pytest.fixture
def replica(tmp_path: Path) -> Any:
    """A run on a replica that serves."""
    folder = tmp_path / "ldap-mail"
    folder.mkdir()
    (folder / "data.mdb").write_text("old")
    change: Any = ldap.Transaction.__new__(ldap.Transaction)
    change.plan = {
        "config": {"suffix": "o=mail", "database": {"olcDbDirectory": [str(folder)]}},
        "provider": "mail.example.org",
    }
    change.record, change.connection, change.report, change.under_way = {}, "own", Report(), False
    change.home, change.record_file = Paths(str(tmp_path)).of("home"), str(tmp_path / "home" / "applied.json")
    return SimpleNamespace(change=change, folder=folder)


def test_a_full_disk_leaves_the_entries_that_there_were(
    replica: Any, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: str, data: str) -> str:
        (replica.folder / "data.mdb").write_text(data[:2])
        raise Failed("slapadd: No space left on device")

    monkeypatch.setattr(ldap, "_as_slapd", full)
    with pytest.raises(Failed, match="No space left on device; it serves with the entries that it had"):
        replica.change.compare_entries("provider", "o=mail")
    assert (replica.folder / "data.mdb").read_text() == "old"
    assert acts == ["stop", "stop", "start"]
    assert files.load(replica.change.record_file) == {"loading": True}  # the next run tries again

    monkeypatch.setattr(ldap, "_as_slapd", lambda *_words, data: (replica.folder / "data.mdb").write_text(data))
    replica.change.compare_entries("provider", "o=mail")
    assert (replica.folder / "data.mdb").read_text() == "dn: o=mail\n"
    assert files.load(replica.change.record_file) == {}


def test_a_record_that_cannot_be_kept_stops_nothing(
    replica: Any, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "applied.json")

    monkeypatch.setattr(files, "save", full)
    with pytest.raises(OSError, match="No space left"):
        replica.change.load("dn: o=mail\n")
    assert acts == []
    assert (replica.folder / "data.mdb").read_text() == "old"


def test_a_slapd_whose_package_came_while_it_ran_is_started_anew(
    replica: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary, pid_file, listen = tmp_path / "slapd", tmp_path / "slapd.pid", "ldapi:///"
    shutil.copy("/bin/sh", binary)
    monkeypatch.setattr(ldap, "PID_FILE", str(pid_file))
    replica.change.plan["key_group"] = "no-such-group"
    assert replica.change.outdated(listen) == "its process is not to be found"
    command, pipe = [str(binary), "-c", "echo; read x", "-h", listen], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout and process.stdout.readline()  # it runs
        pid_file.write_text(str(process.pid))
        before = replica.change.outdated(listen)
        binary.unlink()  # as dpkg does, which renames the new one over it
        after = replica.change.outdated(listen)
        process.kill()
    assert (before, after) == ("it has a new group", "its package came while it ran")  # a shell of no such group


def test_where_slapd_listens() -> None:
    local = [("127.0.0.1", 389), ("::1", 389), ("127.0.0.1", 636), ("::1", 636)]
    assert ldap.places("ldapi:/// ldap://localhost/ ldaps://localhost/") == local
    assert ldap.places("ldapi:/// ldap:/// ldaps://[2001:db8::1]:1636/") == [("", 389), ("2001:db8::1", 1636)]


def test_a_slapd_that_would_not_get_its_port_is_not_started(replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run without, and whoever asks for the directory be answered by somebody else."""
    row = 'LISTEN 0 5 127.0.0.1:389 0.0.0.0:* users:(("dirsrv",pid=999999999,fd=3))'
    monkeypatch.setattr(units, "output", lambda *_words, **_how: units.Output(0, row, ""))
    replica.change.plan["listen"] = "ldapi:/// ldap://localhost/ ldaps://localhost/"
    replica.change.units = UnitChanges(starts=["slapd.service"])
    with pytest.raises(
        Failed, match=r"^port 389 of 127.0.0.1 is taken by dirsrv \(process 999999999\); nothing was ch"
    ):
        replica.change.refuse_taken_ports()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change leaves behind: records of what it wrote, and old copies."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, program, rivals, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed, UnitState
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.fixture
def change(tmp_path: Path) -> Any:
    found: Any = program.Transaction.__new__(program.Transaction)
    found.program = program.Program(described("dovecot"))
    found.actions, found.running, found.targets = [], [], []
    found.pending = str(tmp_path / "pending")
    return found


def test_what_is_recorded_is_what_was_meant(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.ndb"
    path.write_text("of a service that was faster")
    change.targets = [program.Target(str(path), b"meant", 0o644, "root", "root", False, "", "", None)]
    change.plan = described("clamav", serves=[], directories=[])
    change.manifest, change.journal, change.made = {}, {}, []
    change.wishes, change.ran, change.watched = {}, [], {}
    assert change.claim()["files"] == {str(path): hashlib.sha256(b"meant").hexdigest()}


def test_a_file_is_not_emptied_where_its_old_copy_is_lost(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("new")
    entry = {"path": str(path), "copy": "0", "mode": 0o644, "uid": os.getuid(), "gid": os.getgid()}
    change.journal = {"files": [entry], "reread": "", "served": True}
    with pytest.raises(Failed, match="pending/0, the old copy of .*main.cf, is not there"):
        change.undo()
    assert path.read_text() == "new"


def test_a_change_that_does_not_begin_leaves_nothing(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "main.cf")

    class Ended(Exception):
        pass

    def fail(text: str) -> None:
        raise Ended(text)

    path = tmp_path / "etc" / "tables" / "main.cf"
    change.changes = [program.Target(str(path), b"", 0o644, "root", "root", False, "", "", None)]
    change.folders, change.journal, change.made, change.dry = [], {}, [], False
    monkeypatch.setattr(change, "check", lambda: None)
    monkeypatch.setattr(change, "checks_before", dict)
    monkeypatch.setattr(change, "fail", fail)
    monkeypatch.setattr(files, "write", full)
    with pytest.raises(Ended, match="No space left on device: 'main.cf'; nothing was changed"):
        change.commit()
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_goes_though_it_is_wanted_no_more(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gone.cf.postamt-new").touch()
    change.ours, change.enabled, change.dry = {str(tmp_path / "gone.cf")}, True, False
    for name in ("look_at_files", "look_at_units", "foreign", "stale_certificates"):
        monkeypatch.setattr(change, name, list)
    change.look()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("when", "renewed"), [(-60, False), (60, True)])
def test_packages_that_came_while_a_program_ran_want_a_restart(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int, renewed: bool
) -> None:
    monkeypatch.setattr(program, "DPKG", str(tmp_path))
    started = time.monotonic() - 1000
    for name, age in (("dovecot-sieve:amd64", when), ("dovecot-doc", 60), ("amavisd-new", 60)):
        (tmp_path / f"{name}.list").touch()
        moment = time.time() - 1000 + age
        os.utime(tmp_path / f"{name}.list", (moment, moment))
    change.plan, change.program.name = {"packages": ["amavisd-new", "dovecot-sieve"]}, "dovecot"
    assert change.renewed(UnitState("dovecot.service", active=True, since=started)) == renewed


@pytest.mark.parametrize(
    ("how", "mark", "reread"),
    [
        ({}, {}, "reload"),
        ({"starting": True}, {}, "restart"),
        ({"stale": True}, {}, "restart"),
        ({"since": 5.0}, {}, "restart"),
        ({}, {"reread": "restart", "served": False}, "restart"),
        ({}, {"reread": "reload", "served": True}, "reload"),
    ],
    ids=["runs", "is starting", "another unit file", "packages came", "a run failed", "a run was killed"],
)
def test_what_ran_before_what_it_needs_came_is_restarted(
    change: Any, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], mark: dict[str, Any], reread: str
) -> None:
    unit = UnitState("dovecot.service", exists=True, active=True, enabled=True, **how)
    monkeypatch.setattr(units, "states", lambda names: dict.fromkeys(names, unit))
    monkeypatch.setattr(change, "renewed", lambda seen: seen.since == 5.0)
    change.plan = {"units": [{"name": unit.name, "running": True}]}
    change.manifest, change.journal, change.changes, change.superseded = {}, mark, [], []
    change.foreign_files, change.changed_watches = [], ["/etc/dovecot/dovecot.conf"]
    change.look_at_units()
    assert change.take_up_verb == reread


def test_another_mail_server_is_looked_for_before_packages_come(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise Failed(text)

    monkeypatch.setattr(rivals, "found", lambda: [rivals.Rival("exim4-daemon-light", ())])
    monkeypatch.setattr(change, "look_for_missing", lambda: {"packages": ["postfix"]})
    monkeypatch.setattr(change, "fail", fail)
    change.stage, change.dry, change.plan = "/nonexistent", False, {"adopt": False}
    with pytest.raises(Failed, match="exim4-daemon-light is this host's mail server"):
        change.apply()


def test_somebody_elses_configuration_stops_a_run_before_it_installs(
    change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(Exception):
        pass

    def fail(text: str) -> None:
        raise Ended(text)

    change.stage, change.dry, change.enabled, change.plan = "/nonexistent", False, True, {"adopt": False}
    monkeypatch.setattr(change, "look_for_missing", lambda: {"packages": ["dovecot-sieve"]})
    monkeypatch.setattr(change, "look_at_files", lambda: None)
    monkeypatch.setattr(change, "foreign", lambda: ["/etc/dovecot/dovecot.conf"])
    monkeypatch.setattr(change, "difference", str)
    monkeypatch.setattr(change, "fail", fail)
    with pytest.raises(Ended, match=r"/etc/dovecot/dovecot.conf\. Nothing was changed"):
        change.apply()


@pytest.mark.parametrize("adopt", [False, True])
def test_another_mail_server_stops_a_run_or_is_stopped_before_packages_come(
    change: Any, monkeypatch: pytest.MonkeyPatch, adopt: bool
) -> None:
    stopped = []

    def fail(text: str) -> None:
        stopped.append(text)
        raise Failed(text)

    exim = rivals.Rival("exim4-daemon-light", ("exim4.service",), ("/var/spool/exim4/input",), 1)
    monkeypatch.setattr(rivals, "found", lambda: [exim])
    monkeypatch.setattr(units, "act", lambda *words: stopped.append(" ".join(words)))
    monkeypatch.setattr(change, "fail", fail)
    change.plan, change.missing, change.dry = {"adopt": adopt}, {"packages": ["postfix"]}, False
    if adopt:
        change.look_for_rivals()
        assert (change.actions, stopped) == (["stopped exim4.service"], ["stop exim4.service"])
        assert change.missing["stopped"] == ["exim4.service"]  # for the action, where the packages do not come
    else:
        with pytest.raises(Failed, match="1 message waits in its queue, /var/spool/exim4/input"):
            change.look_for_rivals()


def test_what_cannot_be_made_is_named_for_a_run_that_goes_on_without(
    change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is, where the old configuration is back: that one has it, or never wanted it."""
    told: list[dict[str, Any]] = []

    class Module:
        def fail_json(self, **words: Any) -> None:
            told.append(words)
            raise Failed(words["msg"])

    def make(what: str) -> None:
        raise Failed(f"cannot make {what}")

    change.module, change.dry, change.program.create = Module(), False, make
    change.changed, change.actions, change.diffs, change.unmade, change.changed_watches = False, [], [], [], []
    change.stops, change.disables, change.changes, change.groups, change.running = [], [], [], {}, []
    change.take_up_verb, change.served, change.missing_artifacts = "", False, ["signatures"]
    monkeypatch.setattr(change, "undo", lambda *_words: "the old one is back and serves")
    monkeypatch.setattr(units, "complaints", lambda *_words: [])
    for files_of_mark, unmade in (([], ["signatures"]), ([{"path": "/etc/x"}], [])):
        change.journal = {"files": files_of_mark}
        with pytest.raises(Failed, match="cannot make signatures"):
            change.activate()
        with pytest.raises(Failed, match="does not work"):
            change.give_up(["cannot make signatures"], "@0", {}, back=bool(files_of_mark), dead=True)
        assert told[-1].get("unmade", []) == unmade

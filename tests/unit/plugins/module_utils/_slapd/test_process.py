# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""slapd's process: when it has to start anew, and where it listens."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import process
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record


def test_a_slapd_whose_package_came_while_it_ran_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary, pid_file, listen = tmp_path / "slapd", tmp_path / "slapd.pid", "ldapi:///"
    shutil.copy("/bin/sh", binary)
    monkeypatch.setattr(process, "PID_FILE", str(pid_file))
    assert process.outdated(listen, "no-such-group") == "its process is not to be found"
    command, pipe = [str(binary), "-c", "echo; read x", "-h", listen], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as running:
        assert running.stdout and running.stdout.readline()  # it runs
        pid_file.write_text(str(running.pid))
        elsewhere = process.outdated("ldapi:/// ldap:///", "no-such-group")
        before = process.outdated(listen, "no-such-group")
        binary.unlink()  # as dpkg does, which renames the new one over it
        after = process.outdated(listen, "no-such-group")
        running.kill()
    assert elsewhere == "it listens elsewhere"
    assert (before, after) == ("it has a new group", "its package came while it ran")  # a shell of no such group


def test_where_slapd_listens() -> None:
    local = [("127.0.0.1", 389), ("::1", 389), ("127.0.0.1", 636), ("::1", 636)]
    assert process.places("ldapi:/// ldap://localhost/ ldaps://localhost/") == local
    assert process.places("ldapi:/// ldap:/// ldaps://[2001:db8::1]:1636/") == [("", 389), ("2001:db8::1", 1636)]


def test_a_slapd_that_would_not_get_its_port_is_not_started(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run without, and whoever asks for the directory be answered by somebody else."""
    row = 'LISTEN 0 5 127.0.0.1:389 0.0.0.0:* users:(("dirsrv",pid=999999999,fd=3))'
    monkeypatch.setattr(units, "output", lambda *_words, **_how: units.Output(0, row, ""))
    starting = dataclasses.replace(change, units=UnitChanges(starts=["slapd.service"]))
    with pytest.raises(
        Failed, match=r"^port 389 of 127.0.0.1 is taken by dirsrv \(process 999999999\); nothing was ch"
    ):
        process.refuse_taken_ports(starting)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            'SLAPD_USER="openldap"\nSLAPD_SERVICES="ldap:/// ldapi:///"\nSLAPD_OPTIONS=""\n',
            'SLAPD_USER="openldap"\nSLAPD_SERVICES="ldapi:/// ldap://localhost/ ldaps://localhost/"\nSLAPD_OPTIONS=""\n',
        ),
        (
            'SLAPD_USER="openldap"\n',
            'SLAPD_USER="openldap"\nSLAPD_SERVICES="ldapi:/// ldap://localhost/ ldaps://localhost/"\n',
        ),
    ],
)
def test_the_rest_of_debians_file_stays(
    change: Change, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    defaults = tmp_path / "default"
    defaults.write_text(before)
    monkeypatch.setattr(process, "DEFAULTS", str(defaults))
    process._write_defaults(change, record)
    assert defaults.read_text() == after
    assert change.report.actions == [f"wrote {defaults} (listens on ldapi:/// ldap://localhost/ ldaps://localhost/)"]
    assert Path(f"{change.home.originals}{defaults}").read_text() == before
    assert Record(record.path).under_way
    process._write_defaults(change, record)
    assert len(change.report.actions) == 1


def test_a_drop_in_with_which_slapd_does_not_start_is_taken_back(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.conf", tmp_path / "new.conf"
    old.write_text("was")
    targets = [Target(str(path), b"will be", 0o644, "root", "root", seen=files.see(str(path))) for path in (old, new)]
    for path in (old, new):
        path.write_text("will be")
    asked: list[str] = []

    def act(verb: str, *_names: str) -> None:
        asked.append(f"{verb} with {old.read_text()!r}")
        if len(asked) == 1:
            raise Failed("slapd.service does not start")

    monkeypatch.setattr(units, "act", act)
    changed = dataclasses.replace(change, seen=Observation(targets=targets, changes=targets))
    with pytest.raises(Failed, match=r"does not start; its old unit is back, and slapd serves with it$"):
        process._restart(changed)
    assert asked == ["restart with 'will be'", "restart with 'was'"]
    assert os.path.exists(old) and not os.path.exists(new)


def test_a_restart_is_recorded_at_once(change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails later must not have it restarted once more by the next one."""
    monkeypatch.setattr(units, "act", lambda *_words: None)
    monkeypatch.setattr(process, "DEFAULTS", str(tmp_path / "default"))
    target = Target("/etc/systemd/system/slapd.service.d/x.conf", b"new", 0o644, "root", "root")
    records = Records({"files": {target.path: "other"}, "ran": []})
    Path(change.home.folder).mkdir(parents=True)
    process._restart(dataclasses.replace(change, seen=Observation(records, targets=[target])))
    kept = files.load(change.home.manifest)
    assert kept == {"files": {target.path: target.digest, str(tmp_path / "default"): "absent"}, "ran": []}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A look finds a host as the last run left it, and sees whatever somebody has changed since."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import last, locks, unchanged, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.tests.lib.described import described

DIGEST = "a" * 64
USER, GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


class Daemon(Program):
    """A program with something to look at beside its files."""

    artifact = "as it was"

    def companion_units(self, unit: str) -> tuple[str, ...]:
        return ("companion.service",)

    def evidence(self) -> dict[str, Any]:
        return {"its socket": self.artifact}


class Host:
    """What commands say of a host."""

    def __init__(self) -> None:
        self.packages = "installed dovecot-core\n"
        self.missing = False  # ss(8)
        self.units = {
            name: {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
            for name in ("dovecot.service", "companion.service", "gone.service")
        }
        self.units["gone.service"].update(ActiveState="inactive", UnitFileState="disabled")
        self.sockets = f'LISTEN 0 9 0.0.0.0:993 0.0.0.0:* users:(("dovecot",pid={os.getpid()},fd=1))\n'

    def run_command(self, words: list[str], /, **options: Any) -> tuple[int, str, str]:
        """Answer as the command does."""
        if words[0] == "dpkg-query":
            return 0, self.packages, ""
        if words[0] == "ss" and self.missing:
            raise FileNotFoundError("ss")
        if words[0] == "ss":
            return 0, self.sockets, ""
        names = [word for word in words[2:] if not word.startswith("-")]
        return 0, "\n\n".join("\n".join(f"{k}={v}" for k, v in self.units[name].items()) for name in names), ""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(units, "_runner", None)
    units.set_runner(found)
    monkeypatch.setattr(units, "_unit_of", lambda process: "dovecot.service" if process == str(os.getpid()) else "")
    return found


def places(folder: Path) -> Paths:
    """Return where records of a host lie that is below a folder."""
    return Paths(str(folder / "state"), str(folder / "run"), str(folder / "units") + "/", str(folder / "dpkg"))


@pytest.fixture
def look(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return a look at a host where Dovecot was set up; it tells the doubts."""
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    os.chmod(etc, 0o755)
    path, watched = etc / "dovecot.conf", etc / "chain.pem"
    path.write_text("listen = *\n")
    os.chmod(path, 0o640)
    watched.write_text("a certificate")
    plan = described(
        "dovecot",
        digest=DIGEST,
        wanted=True,
        packages=["dovecot-core"],
        users=[{"name": USER, "uid": None, "groups": []}],
        units=[{"name": "dovecot.service", "running": True}, {"name": "gone.service", "running": False}],
        questions=[{"kind": "imap_greeting", "arguments": {"port": 993}}],
        secrets=["of nobody's business"],
    )
    folder = {"path": str(etc), "mode": "0755", "owner": USER, "group": GROUP}
    kind = Daemon(plan)
    manifest = {
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest()},
        "watch": {str(watched): hashlib.sha256(watched.read_bytes()).hexdigest()},
        "serves": [],
        "last": last.record(kind, [str(path)], [folder]),
    }
    (tmp_path / "state" / "dovecot").mkdir(parents=True)
    (tmp_path / "dpkg").mkdir()
    (tmp_path / "state" / "dovecot" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(Daemon, "artifact", "as it was")

    def look() -> list[str]:
        found, doubts = unchanged.settled(lambda name: Daemon, places(tmp_path))
        assert {name: last["digest"] for name, last in found.items()} == ({} if doubts else {"dovecot": DIGEST})
        return doubts.get("dovecot", [])

    assert look() == []
    assert "nobody's business" not in (tmp_path / "state" / "dovecot" / "manifest.json").read_text()
    return look


Look = Callable[[], list[str]]


def test_somebody_who_changes_programs_meanwhile(look: Look, tmp_path: Path) -> None:
    with locks.alone("postfix", places(tmp_path)):
        assert look() == [
            f"programs are being changed on this host right now (process {os.getpid()}, a run of postamt.mail, postfix)"
        ]
    assert look() == []


def test_a_file_that_was_edited(look: Look, tmp_path: Path) -> None:
    (tmp_path / "etc" / "dovecot.conf").write_text("listen = 127.0.0.1\n")
    assert look() == [f"{tmp_path}/etc/dovecot.conf is not as it was written"]


def test_a_file_that_is_gone(look: Look, tmp_path: Path) -> None:
    (tmp_path / "etc" / "dovecot.conf").unlink()
    assert look() == [f"{tmp_path}/etc/dovecot.conf is not as it was written"]


def test_a_mode_that_was_changed(look: Look, tmp_path: Path) -> None:
    os.chmod(tmp_path / "etc" / "dovecot.conf", 0o644)
    assert look() == [f"{tmp_path}/etc/dovecot.conf has another owner or mode"]


def test_a_folder_that_others_may_write_to(look: Look, tmp_path: Path) -> None:
    os.chmod(tmp_path / "etc", 0o775)
    assert f"folder {tmp_path}/etc is not there, or has another owner or mode" in look()


def test_a_certificate_that_was_replaced(look: Look, tmp_path: Path) -> None:
    (tmp_path / "etc" / "chain.pem").write_text("another certificate")
    assert look() == [f"{tmp_path}/etc/chain.pem has changed"]


def test_a_package_that_was_removed(look: Look, host: Host) -> None:
    host.packages = "config-files dovecot-core\n"
    assert look() == ["package dovecot-core is not installed"]


@pytest.mark.parametrize(
    ("unit", "state", "doubt"),
    [
        ("dovecot.service", {"ActiveState": "inactive"}, "dovecot.service does not run"),
        ("dovecot.service", {"ActiveState": "activating"}, "dovecot.service does not run"),
        ("companion.service", {"ActiveState": "failed"}, "companion.service does not run"),
        ("dovecot.service", {"UnitFileState": "disabled"}, "dovecot.service is not enabled"),
        ("gone.service", {"ActiveState": "active"}, "gone.service runs or is enabled"),
        ("gone.service", {"UnitFileState": "enabled"}, "gone.service runs or is enabled"),
        (
            "dovecot.service",
            {"NeedDaemonReload": "yes"},
            "the file of dovecot.service has changed since systemd read it",
        ),
    ],
)
def test_a_unit_that_is_not_as_it_was(look: Look, host: Host, unit: str, state: dict[str, str], doubt: str) -> None:
    host.units[unit].update(state)
    assert look() == [doubt]


def test_a_port_that_nobody_has(look: Look, host: Host) -> None:
    host.sockets = ""
    assert look() == ["nobody listens on port 993"]


def test_a_port_that_somebody_else_has_taken(look: Look, host: Host) -> None:
    host.sockets += 'LISTEN 0 9 127.0.0.1:993 0.0.0.0:* users:(("nc",pid=1,fd=1))\n'
    assert look() == ["port 993 is taken by nc (process 1)"]


def test_a_port_whose_first_process_has_ended(look: Look, host: Host) -> None:
    """What serves a client comes and goes; its master stays."""
    host.sockets = host.sockets.replace("((", '(("worker",pid=1,fd=9),(')
    assert look() == []


def test_a_host_that_cannot_tell_its_ports(look: Look, host: Host) -> None:
    host.sockets = ""
    host.missing = True
    assert look() == []


def test_what_the_programs_own_class_looks_at(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Daemon, "artifact", "another")
    assert look() == ["its socket is not as it was"]


def test_a_change_that_was_left_half_done(look: Look, tmp_path: Path) -> None:
    pending = tmp_path / "state" / "dovecot" / "pending"
    pending.mkdir()
    (pending / "mark.json").write_text("{}")
    assert look() == ["a change was left half done"]


@pytest.mark.parametrize("damage", [{"files": None}, {"last": {"digest": DIGEST}}, {"last": "x"}, {"serves": [{}]}])
def test_a_manifest_that_somebody_has_edited(look: Look, tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "state" / "dovecot" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    (doubt,) = look()
    assert doubt.startswith("its manifest is damaged")


def test_a_manifest_of_an_older_version_settles_nothing(look: Look, tmp_path: Path) -> None:
    path = tmp_path / "state" / "dovecot" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["last"]
    path.write_text(json.dumps(manifest))
    assert unchanged.settled(lambda name: Daemon, places(tmp_path)) == ({}, {})


def test_somebody_who_comes_during_the_look(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = units.states

    def states(names: list[str]) -> dict[str, units.UnitState]:
        stack.enter_context(locks.alone("postfix", places(tmp_path)))
        return seen(names)

    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(units, "states", states)
        assert len(look()) == 1 and "being changed on this host" in look()[0]


def test_somebody_who_came_and_went_during_the_look(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, manifest = units.states, tmp_path / "state" / "dovecot" / "manifest.json"

    def states(names: list[str]) -> dict[str, units.UnitState]:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "title": "another"}))
        return seen(names)

    monkeypatch.setattr(units, "states", states)
    assert look() == ["it was changed during this look"]

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `systemctl show` says of units."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import UnitState, parse

SHOWN = """\
Id=postfix.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=yes
ActiveEnterTimestampMonotonic=12500000

Id=postfix@-.service
LoadState=loaded
ActiveState=inactive
UnitFileState=enabled-runtime
NeedDaemonReload=no

Id=nosuch.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
"""


def test_parse() -> None:
    names = ["postfix.service", "postfix@-.service", "nosuch.service"]
    assert parse(names, SHOWN) == {
        "postfix.service": UnitState("postfix.service", exists=True, active=True, enabled=True, stale=True, since=12.5),
        "postfix@-.service": UnitState("postfix@-.service", exists=True, enabled=True),
        "nosuch.service": UnitState("nosuch.service"),
    }


def test_a_unit_that_is_not_there_yet() -> None:
    shown = "LoadState=loaded\nActiveState=activating\nSubState=start-pre\nActiveEnterTimestampMonotonic=0\n"
    found = parse(["clamav-daemon.service"], shown)["clamav-daemon.service"]
    assert found.active and found.starting and found.since == 0


@pytest.mark.parametrize(
    ("by_itself", "said"),
    [
        ("main: TLS init def ctx failed: -1", ["a line", "main: TLS init def ctx failed: -1", "slapd.service: Failed"]),
        ("", ["slapd.service: Failed"]),
    ],
)
def test_a_daemon_that_calls_nothing_a_warning_is_quoted_too(
    by_itself: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def output(*words: str, **_how: object) -> units.Output:
        own, warning = any(word.startswith("_SYSTEMD_UNIT=") for word in words), "warning" in words
        lines = ["first", "second", "a line", by_itself] if own and not warning and by_itself else []
        lines += ["slapd.service: Failed"] if warning and not own else []
        return units.Output(0, "".join(f"{line}\n" for line in lines), "")

    monkeypatch.setattr(units, "output", output)
    monkeypatch.setattr(units, "LAST_WORDS", 2)
    assert sorted(units.complaints(["slapd.service"], "@0")) == sorted(said)


def test_an_init_script_is_enabled_by_its_links_only() -> None:
    shown = "LoadState=loaded\nActiveState=inactive\nUnitFileState=generated\nNeedDaemonReload=no\n"
    assert not parse(["no-such-daemon.service"], shown)["no-such-daemon.service"].enabled


class Module:
    """As much of AnsibleModule as runs a command."""

    def run_command(self, words: list[str], /, **options: Any) -> tuple[int, str, str]:
        done = subprocess.run(words, input=options["data"] or "", capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_service_has_no_hold_of_roots_terminal() -> None:
    said, writer = os.pipe()
    process, terminal = pty.fork()
    if not process:
        units.set_runner(Module())
        found = units.as_user("nobody", "sh", "-c", "id -un; cat; echo forged > /dev/tty", check=False, data="read\n")
        os.write(writer, repr(tuple(found)).encode())
        os._exit(0)
    os.close(writer)
    with open(said, encoding="utf-8") as answer:
        printed = answer.read()
    os.waitpid(process, 0)
    os.set_blocking(terminal, False)
    try:
        shown = os.read(terminal, 1000)
    except OSError:  # nobody has written
        shown = b""
    os.close(terminal)
    assert "nobody\\nread\\n" in printed and "/dev/tty" in printed
    assert shown == b""


def test_systemds_reason_comes_after_what_it_says_of_init_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "Synchronizing state of dovecot.service with SysV service script with /usr/lib/systemd/systemd-sysv-install.\n"
        "Executing: /usr/lib/systemd/systemd-sysv-install enable dovecot\n"
        "Failed to enable unit: Unit /etc/systemd/system/dovecot.service is masked\n"
    )
    monkeypatch.setattr(units, "output", lambda *_words, **_how: units.Output(1, "", said))
    with pytest.raises(units.Failed, match=r"^systemctl enable dovecot.service: Failed to enable unit: .* is masked"):
        units.act("enable", "dovecot.service")

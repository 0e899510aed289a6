# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is odd about Rspamd on a host: whose unit goes, how a stage is read, and when a reload is over."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed, UnitState
from ansible_collections.postamt.mail.plugins.module_utils._programs import rspamd
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.mark.parametrize(
    ("installed", "active", "folder", "file", "displaced"),
    [
        (True, False, "local.d", "", ("rspamd.service",)),
        (True, False, "", "", ("rspamd.service",)),
        (True, True, "local.d", "", ()),
        (True, False, "local.d", "milter_headers.conf", ()),
        (True, False, "override.d", "worker-normal.inc", ()),
        (True, False, "override.d", "module.conf.example", ("rspamd.service",)),
        (True, False, ".", "rspamd.conf.local", ()),
        (False, False, "local.d", "", ()),
    ],
)
def test_the_packages_own_unit_is_displaced_where_nobody_uses_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,
    active: bool,
    folder: str,
    file: str,
    displaced: tuple[str, ...],
) -> None:
    if folder:
        (tmp_path / folder).mkdir(exist_ok=True)
    if file:
        (tmp_path / folder / file).touch()
    monkeypatch.setattr(rspamd, "ETC", str(tmp_path))
    monkeypatch.setattr(units, "states", lambda names: {name: UnitState(name, active=active) for name in names})
    program = rspamd.Rspamd(described("rspamd"))
    program.checker = "/bin/sh" if installed else str(tmp_path / "rspamadm")
    assert program.displaced_units() == displaced


SAID = """\
symbol R_DKIM_ALLOW has no score registered
no symbol groups defined
/etc/x:3 cannot parse key

cannot load module; skip its check
syntax is BAD
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, []), (1, ["/etc/x:3 cannot parse key", "syntax is BAD"])],
)
def test_a_stage_is_read_with_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: list[str]
) -> None:
    stage = str(tmp_path)
    key, other = "/etc/rspamd/postamt/a.key", "/etc/rspamd/postamt/a.key.old"
    staged = tmp_path / rspamd.CONFIGURATION[1:]
    staged.parent.mkdir(parents=True)
    staged.write_text(f'{{"path": "{key}", "other": "{other}"}}\n')
    ran: list[tuple[str, ...]] = []

    def output(*command: str, **_more: t.Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code, SAID, "")

    monkeypatch.setattr(units, "output", output)
    program = rspamd.Rspamd(described("rspamd", files=[{"path": key}]))
    assert program.check(stage, dry=False) == words
    assert staged.read_text() == f'{{"path": "{stage}{key}", "other": "{other}"}}\n'
    (command,) = ran
    assert command[0] == "systemd-run" and "--property=ProtectSystem=strict" in command, "it writes where it reads"
    assert command[-4:] == (program.checker, "configtest", "-c", str(staged))


def test_a_new_unit_alone_needs_a_restart() -> None:
    program = rspamd.Rspamd(described("rspamd"))
    assert program.needs_restart({}, {f"/etc/systemd/system/{rspamd.UNIT}": ""})
    assert not program.needs_restart({}, {rspamd.CONFIGURATION: "", "/etc/rspamd/postamt/a.key": ""})


@pytest.mark.parametrize(
    ("after", "works"),
    [
        (["11 12", "11 12", "11 12 13"], True),
        (["13"], True),  # the old ones have gone already
        (["11 12 14"], False),  # a helper, which answers nobody
        (["11 12", "11"], False),
        ([""], False),  # the new one did not start
    ],
)
def test_a_reload_is_over_when_a_new_process_is_there(
    monkeypatch: pytest.MonkeyPatch, after: list[str], works: bool
) -> None:
    told: list[tuple[str, str]] = []
    seen = iter(after)
    last = [after[-1]]

    def children(path: str) -> str:
        if path.endswith("/cmdline"):
            return "rspamd: hs_helper process" if "14" in path else "rspamd: rspamd_proxy process (milter.sock)"
        assert path == "/proc/7/task/7/children"
        return next(seen, last[0]) if told else "11 12"

    monkeypatch.setattr(files, "text", children)
    monkeypatch.setattr(units, "output", lambda *command: subprocess.CompletedProcess(command, 0, "7\n", ""))
    monkeypatch.setattr(units, "act", lambda verb, unit: told.append((verb, unit)))
    program = rspamd.Rspamd(described("rspamd"))
    program.patience = 0.2
    if works:
        program.reload([])
    else:
        with pytest.raises(Failed, match="no process came up with the new configuration"):
            program.reload([])
    assert told == [("reload", rspamd.UNIT)]

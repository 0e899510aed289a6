# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is odd about Unbound on a host: whose unit goes, and how a stage is read."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import UnitState
from ansible_collections.postamt.mail.plugins.module_utils._programs import unbound
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.mark.parametrize(
    ("installed", "active", "files", "displaced"),
    [
        (True, False, [], True),
        (True, False, ["remote-control.conf", "root-auto-trust-anchor-file.conf"], True),
        (True, False, ["remote-control.conf", "lan.conf"], False),
        (True, True, [], False),
        (False, False, [], False),
    ],
)
def test_the_packages_own_unit_is_displaced_where_nobody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, active: bool, files: list[str], displaced: bool
) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(unbound, "DEBIANS_FOLDER", str(tmp_path))
    monkeypatch.setattr(units, "states", lambda names: {name: UnitState(name, active=active) for name in names})
    program = unbound.Unbound(described("unbound"))
    program.checker = "/bin/sh" if installed else str(tmp_path / "unbound-checkconf")
    assert program.displaced_units() == (("unbound.service",) if displaced else ())


@pytest.mark.parametrize(("code", "words"), [(0, []), (1, ["/etc/unbound/postamt.conf:3: error: unknown keyword"])])
def test_a_stage_is_read_with_the_key_that_debian_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: list[str]
) -> None:
    """The resolver's own copy is not there before its first start."""
    staged = tmp_path / unbound.CONFIGURATION[1:]
    staged.parent.mkdir(parents=True)
    staged.write_text(f'server:\n    auto-trust-anchor-file: "{unbound.ANCHOR}"\n')

    def output(*command: str, **_more: t.Any) -> subprocess.CompletedProcess[str]:
        assert command == (program.checker, str(staged))
        return subprocess.CompletedProcess(command, code, "", f"{staged}:3: error: unknown keyword\n\n" if code else "")

    monkeypatch.setattr(units, "output", output)
    program = unbound.Unbound(described("unbound"))
    assert program.check(str(tmp_path), dry=False) == words
    assert staged.read_text() == f'server:\n    auto-trust-anchor-file: "{unbound.SHIPPED_ANCHOR}"\n'

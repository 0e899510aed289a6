# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The package of HAProxy enables a unit of its own, which an administrator may use."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import UnitState
from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.mark.parametrize(
    ("installed", "active", "content", "displaced"),
    [
        (True, False, "as packaged", ("haproxy.service",)),
        (True, False, None, ("haproxy.service",)),
        (True, True, "as packaged", ()),
        (True, False, "an administrator's", ()),
        (False, False, "as packaged", ()),
    ],
)
def test_the_packages_own_unit_is_displaced_where_nobody_uses_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,
    active: bool,
    content: str | None,
    displaced: tuple[str, ...],
) -> None:
    configuration = tmp_path / "haproxy.cfg"
    if content:
        configuration.write_text(content)
    packaged = {hashlib.md5(b"as packaged").hexdigest()}
    monkeypatch.setattr(haproxy, "DEBIANS_CONFIGURATION", str(configuration))
    monkeypatch.setattr(haproxy, "packaged_digests", lambda: {str(configuration): packaged})
    monkeypatch.setattr(units, "states", lambda names: {name: UnitState(name, active=active) for name in names})
    program = haproxy.Haproxy(described("haproxy"))
    program.checker = "/bin/sh" if installed else str(tmp_path / "haproxy")
    assert program.displaced_units() == displaced

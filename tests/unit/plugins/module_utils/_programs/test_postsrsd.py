# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is odd about PostSRSd on a host: whose unit goes, and which ports it needs."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import UnitState
from ansible_collections.postamt.mail.plugins.module_utils._programs.postsrsd import Postsrsd
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.mark.parametrize(
    ("installed", "active", "displaced"),
    [(True, False, ("postsrsd.service",)), (True, True, ()), (False, False, ())],
)
def test_the_packages_own_unit_is_displaced_where_nobody_uses_it(
    monkeypatch: pytest.MonkeyPatch, installed: bool, active: bool, displaced: tuple[str, ...]
) -> None:
    monkeypatch.setattr(files, "exists", lambda path: installed and path == "/usr/sbin/postsrsd")
    monkeypatch.setattr(units, "states", lambda names: {name: UnitState(name, active=active) for name in names})
    assert Postsrsd(described("postsrsd")).displaced_units() == displaced


def test_its_ports_are_those_that_no_user_can_take() -> None:
    ports = Postsrsd(described("postsrsd")).ports("")
    assert ports == {("127.0.0.1", 956), ("127.0.0.1", 957)}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `systemctl show` says of units."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils.units import UnitState, parse

SHOWN = """\
Id=postfix.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=yes

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
        "postfix.service": UnitState("postfix.service", exists=True, active=True, enabled=True, stale=True),
        "postfix@-.service": UnitState("postfix@-.service", exists=True, enabled=True),
        "nosuch.service": UnitState("nosuch.service"),
    }


def test_an_init_script_is_enabled_by_its_links_only() -> None:
    shown = "LoadState=loaded\nActiveState=inactive\nUnitFileState=generated\nNeedDaemonReload=no\n"
    assert not parse(["no-such-daemon.service"], shown)["no-such-daemon.service"].enabled

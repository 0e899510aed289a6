# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which programs' tasks a host gets."""

from __future__ import annotations

from typing import Any

from ansible_collections.postamt.mail.plugins.action.site import due
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Unit, make_plan


def test_a_host_gets_the_tasks_of_what_it_wants_or_has() -> None:
    off = make_plan(enabled=False, units=[Unit("x.service", running=False)])
    plans = {"dovecot": make_plan(), "postfix": off, "haproxy": off, "amavis": off, "example": make_plan(enabled=False)}
    given: dict[tuple[str, str], Any] = {("mx1", name): ({}, plan) for name, plan in plans.items()}
    assert due(given, {}) == {"mx1": ["dovecot"]}
    assert due(given, {"mx1": {"claimed": ["haproxy"]}}) == {"mx1": ["dovecot", "haproxy"]}
    # what somebody else runs is stopped where the plan says so, and left alone where it does not
    assert due(given, {"mx1": {"unclaimed": ["amavis", "example"]}}) == {"mx1": ["dovecot", "amavis"]}

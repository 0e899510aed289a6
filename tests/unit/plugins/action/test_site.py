# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which programs' tasks a host gets, and which of them only when everything else has been changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.action.site import asked, gives_up, in_order
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Unit, make_plan
from ansible_collections.postamt.mail.tests.lib.whole_sites import sites

OFF = make_plan(enabled=False, units=[Unit("x.service", running=False)])
PLANS = {"ldap": make_plan(), "postfix": OFF, "haproxy": OFF, "amavis": OFF, "postsrsd": make_plan(enabled=False)}
GIVEN: dict[tuple[str, str], Any] = {("mx1", name): ({}, plan) for name, plan in PLANS.items()}


def test_a_host_gets_the_tasks_of_what_it_is_to_have() -> None:
    assert in_order(GIVEN, {}, {}) == ({"mx1": ["ldap"]}, {"mx1": []})


def test_what_it_has_goes_at_the_end() -> None:
    due, leaving = in_order(GIVEN, {"mx1": {"claimed": ["haproxy", "ldap", "postsrsd"]}}, {})
    assert (due, leaving) == ({"mx1": ["ldap"]}, {"mx1": ["haproxy", "postsrsd"]})
    assert asked(due, leaving) == {"mx1": ["ldap", "haproxy", "postsrsd"]}


def test_what_somebody_else_runs_is_stopped_before_if_the_plan_says_so() -> None:
    """It may have the port of a program that is to come."""
    looks = {"mx1": {"unclaimed": ["amavis", "postsrsd"], "claimed": ["amavis"]}}  # a first run was killed
    assert in_order(GIVEN, looks, {}) == ({"mx1": ["ldap", "amavis"]}, {"mx1": []})


def test_what_takes_mail_goes_before_others_are_changed() -> None:
    """They would bring it mail that stays behind."""
    given: dict[tuple[str, str], Any] = {("old", "dovecot"): ({}, OFF), ("new", "dovecot"): ({}, make_plan())}
    looks = {"old": {"claimed": ["dovecot"]}, "new": {}}
    assert in_order(given, looks, {}) == ({"old": ["dovecot"], "new": ["dovecot"]}, {"old": [], "new": []})


@pytest.mark.parametrize(
    ("before", "now", "late"),
    [
        ("abc", "ab", True),
        ("abc", "abc", False),
        ("abc", "abd", False),
        ("ab", "abc", False),
        ("", "a", False),
        ("a", "", False),
    ],
    ids=["less", "the same", "another", "more", "the first run", "a program without parts, and a host that says some"],
)
def test_links_that_are_only_fewer_are_changed_at_the_end(before: str, now: str, late: bool) -> None:
    given: dict[tuple[str, str], Any] = {("mx1", "haproxy"): ({}, make_plan(parts=list(now)))}
    due, leaving = in_order(given, {"mx1": {"claimed": ["haproxy"]}}, {"mx1": {"haproxy": list(before)}})
    assert (leaving if late else due) == {"mx1": ["haproxy"]}


@pytest.mark.parametrize(
    ("off", "fewer"),
    [
        ({"mail_content_filter": "off"}, {"haproxy": "abd", "nftables": "abd"}),
        ({"mail_greylisting": False}, {"haproxy": "ab", "nftables": "a"}),
    ],
    ids=["content filter", "greylisting"],
)
def test_a_part_that_is_turned_off_only_takes_links_away(off: dict[str, Any], fewer: dict[str, str]) -> None:
    """So they go when Postfix has been changed; a new setting beside that has them changed before."""
    on, without = ([*sites("trixie", **variables)][-1] for variables in ({}, off))
    for program, less in fewer.items():
        for name, host in on.hosts.items():
            before = compose.plan(program, on, host).get("parts", ())
            now = compose.plan(program, without, without.hosts[name])
            late = gives_up(now, before) if now["wanted"] else bool(before)
            assert late == (name[0] in less), (program, name)
            if program == "haproxy" and now["wanted"]:
                changed = {"settings": {"global": {"maxconn": 99}}}
                assert not gives_up(compose.plan(program, without, without.hosts[name], changed), before)

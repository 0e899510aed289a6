# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""That deriving grows with the number of hosts and not faster. Calls are counted, since times depend on the machine."""

from __future__ import annotations

import itertools
import sys
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.looks import looked

SERVERS = {"mail_store": 1, "mail_mx": 4, "mail_submission": 2, "mail_filter": 4, "mail_directory": 2}
VARIABLES: dict[str, t.Any] = {
    "mail_domains": ["example.org"],
    "mail_accounts": [{"address": f"user{number}@example.org"} for number in range(20)],
    "mail_content_filter": "before_queue",
}


def inputs(clients: int) -> dict[str, HostInput]:
    """A site's servers, and other servers that hand their mail to them."""
    groups = [group for group, count in {**SERVERS, "mail_client": clients}.items() for _each in range(count)]
    looks = (looked(memory=8 << 30, addresses=[f"2001:db8::{number:x}"]) for number in itertools.count(1))
    return {
        f"h{number}.example.org": HostInput(("mail", group), look=look)
        for number, (group, look) in enumerate(zip(groups, looks, strict=False))
    }


def derived(clients: int) -> Site:
    """Parse a site and derive every program's plan for every host."""
    site = parse_site(VARIABLES, inputs(clients), compose.concerns().values())
    for host, program in itertools.product(site.hosts.values(), compose.programs()):
        compose.plan(program, site, host)
    return site


def calls(clients: int) -> int:
    """Count the functions that are called."""
    counted = itertools.count()
    former = sys.getprofile()
    sys.setprofile(lambda _frame, event, _what: next(counted) if event in ("call", "c_call") else None)
    try:
        derived(clients)
    finally:
        sys.setprofile(former)
    return next(counted)


def test_each_further_host_is_as_much_work_as_the_one_before() -> None:
    derived(1)  # what is imported and remembered once
    few, some, many = (calls(clients) for clients in (50, 200, 350))
    assert many - some < 1.05 * (some - few)

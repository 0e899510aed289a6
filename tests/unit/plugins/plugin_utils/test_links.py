# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links between hosts: by which names they know each other."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils import compose
from ansible_collections.postamt.mail.plugins.plugin_utils.site import HostInput, Look, Site, parse_site


def site(**looks: Look) -> Site:
    duties = {"mail": ["mail_mx"], "store": ["mail_store"]}
    hosts = {
        f"{name}.example.org": HostInput(("mail", *groups), look=looks.get(name, Look(addresses=["192.0.2.1"])))
        for name, groups in duties.items()
    }
    groups = {"mail_mx": ["mail.example.org"], "mail_store": ["store.example.org"]}
    variables = {"mail_domains": ["example.org"], "mail_server_name": "store.example.org"}
    return parse_site(variables, hosts, compose.concerns().values(), groups=groups)


def plan(found: Site, program: str, host: str) -> compose.Plan:
    return compose.plan(program, found, found.hosts[f"{host}.example.org"], {})


@pytest.mark.parametrize(
    ("named", "expected"), [(True, "store.example.org.link.internal"), (False, "store.example.org")]
)
def test_a_link_knows_its_other_end_by_a_name_that_no_user_is_shown(named: bool, expected: str) -> None:
    found = site(store=Look(addresses=["192.0.2.2"]))
    store = dataclasses.replace(found.hosts["store.example.org"], link_named=named)
    found = found.on({**found.hosts, "store.example.org": store})
    configuration = next(f["content"] for f in plan(found, "haproxy", "mail")["files"] if f["path"].endswith(".cfg"))
    assert f"verifyhost {expected} check" in configuration
    certificates = plan(found, "certificates", "mail")["certificates"]
    assert "mail.example.org.link.internal" in certificates["internal"]["names"]
    assert certificates["public"]["names"] == ("store.example.org", "mail.example.org")

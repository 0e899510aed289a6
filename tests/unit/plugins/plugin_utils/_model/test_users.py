# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A role brings every user and group that its files name: on a fresh host nobody else has done so before it."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.looks import looked

VARIABLES: dict[str, t.Any] = {
    "mail_domains": ["example.org"],
    "mail_accounts": [{"address": "alice@example.org"}],
    "mail_content_filter": "before_queue",
}
GROUPS = {
    "mail_mx": ["mx1", "mx2"],
    "mail_submission": ["out"],
    "mail_filter": ["mx2", "filter"],
    "mail_store": ["store"],
    "mail_directory": ["mx2", "directory"],
    "mail_client": ["web"],
}
BROUGHT = {
    "_mta-sts": {"postfix-mta-sts-resolver"},
    "_rspamd": {"rspamd"},
    "amavis": {"amavisd-new"},
    "clamav": {"clamav-base", "clamav-daemon"},
    "dovecot": {"dovecot-core"},
    "haproxy": {"haproxy"},
    "openldap": {"slapd"},
    "postdrop": {"postfix"},
    "postfix": {"postfix"},
    "unbound": {"unbound"},
}
# How files name them: units, HAProxy and Dovecot
NAMED = (
    r"^(?:User|Group|SupplementaryGroups|SocketUser|SocketGroup)=(.+)$",
    r"^ +(?:user|group) (\w+)$",
    r"\buser (\w+) mode \d+$",
    r"^ *(?:user|group|mail_access_groups) = ([\w-]+)$",
)


def sites(release: str) -> t.Iterator[Site]:
    look, concerns = looked(release=release, memory=4 << 30), compose.concerns().values()
    for backend in ("directory", "system"):
        one = {"mail.example.org": HostInput(look=look)}
        yield parse_site({**VARIABLES, "mail_accounts_backend": backend}, one, concerns)
    listed = {group: [f"{name}.example.org" for name in names] for group, names in GROUPS.items()}
    names = dict.fromkeys(name for some in listed.values() for name in some)
    hosts = {
        name: HostInput(["mail", *(group for group in listed if name in listed[group])], look=look) for name in names
    }
    yield parse_site(VARIABLES, hosts, concerns, groups=listed)


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
@pytest.mark.parametrize("program", sorted(compose.programs()))
def test_a_role_brings_the_users_that_it_names(program: str, release: str) -> None:
    for site in sites(release):
        for host in site.hosts.values():
            plan = compose.plan(program, site, host)
            if not plan["wanted"]:
                continue
            named = {part[key] for part in (*plan["directories"], *plan["files"]) for key in ("owner", "group")}
            for file in plan["files"]:
                for pattern in NAMED:
                    if not file["path"].startswith(("/usr", "/etc/spamassassin")):
                        named.update(" ".join(re.findall(pattern, forms.text(file), re.MULTILINE)).split())
            made = {user["name"] for user in plan["users"]}
            for name in named - {"root", *made}:
                assert BROUGHT[name] & set(plan["packages"]), f"{program} of {host.name}: {name}"

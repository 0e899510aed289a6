# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites that bring every program and every unit along."""

from __future__ import annotations

import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.looks import looked

VARIABLES: dict[str, t.Any] = {
    "mail_domains": ["example.org"],
    "mail_accounts": [{"address": "alice@example.org"}],
    "mail_content_filter": "before_queue",
    "mail_greylisting": True,
    "mail_mta_sts_policy": "testing",
    "mail_tls_reporter": "files/tlsrpt_reporter-0.6.0-py3-none-any.whl",
    "mail_certificates": {"mta-sts": {"names": ["mta-sts.example.org"]}},
    "mail_acme": {"public": {"email": "postmaster@example.org", "agree_to_terms": True}},
}
GROUPS = {
    "mail_mx": ["a", "b"],
    "mail_store": ["c"],
    "mail_filter": ["d"],
    "mail_client": ["e"],
    "mail_directory": ["c", "f"],
}


def sites(release: str, **variables: t.Any) -> t.Iterator[Site]:
    """Yield a site of one host, one whose accounts are users of it, and one of several."""
    given, look = {**VARIABLES, **variables}, looked(release=release, memory=4 << 30)
    concerns = list(compose.concerns().values())
    for backend in ("directory", "system"):
        yield parse_site({**given, "mail_accounts_backend": backend}, {"a.example.org": HostInput(look=look)}, concerns)
    listed = {group: [f"{name}.example.org" for name in names] for group, names in GROUPS.items()}
    names = dict.fromkeys(name for some in listed.values() for name in some)
    hosts = {
        name: HostInput(["mail", *(group for group in listed if name in listed[group])], look=look) for name in names
    }
    yield parse_site(given, hosts, concerns, groups=listed)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail from the world: port 25 takes what is for the site's domains and relays for nobody."""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    Postfix,
    Service,
    Table,
    table,
)


def applies(site: Site, host: Host) -> bool:
    return host.has("mail_mx")


def postfix(site: Site, host: Host) -> Postfix:
    return Postfix(
        parameters={
            "smtpd_helo_required": True,
            "smtpd_sasl_auth_enable": False,  # users have ports of their own
        },
        services={"smtp/inet": Service("smtpd", private="n", takes="world")},
        tables={"own_names": Table("regexp", _own_names(site, host))},
        lists={
            "smtpd_helo_restrictions": {
                "permit": ["permit_mynetworks"],
                "syntax": ["reject_invalid_helo_hostname"],
                "own": [f"check_helo_access {table('own_names', 'regexp')}"],
            },
            "smtpd_relay_restrictions": {
                "networks": ["permit_mynetworks"],
                "destination": ["reject_unauth_destination"],
            },
            "smtpd_recipient_restrictions": {
                "syntax": ["reject_non_fqdn_recipient"],
                "recipient": ["reject_unlisted_recipient"],
            },
            "smtpd_data_restrictions": {
                "pipelining": ["reject_unauth_pipelining"],
                "bounce": ["reject_multi_recipient_bounce"],
            },
        },
    )


def dns(site: Site, domain: str) -> list[Record]:
    return [Record(domain, "MX", f"10 {host.name}.") for host in site.hosts_with("mail_mx")]


def _own_names(site: Site, host: Host) -> str:
    """Return what no other host greets with: this host's names and addresses, in any case (regexp_table(5))."""
    found = [rf"{re.escape(name)}\.?" for name in sorted({str(host.name), str(site.server_name)})]
    for address in map(ipaddress.ip_address, host.addresses):
        found.append(rf"\[?{'(IPv6:)?' if address.version == 6 else ''}{re.escape(str(address))}\]?")
    return "".join(f"/^{one}$/ 554 5.7.1 You greet with a name or an address of mine\n" for one in found)

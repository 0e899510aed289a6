# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The zone fragment of each domain: MX, addresses, SPF (RFC 7208), and SRV for mail programs (RFC 6186, RFC 8314)."""

from __future__ import annotations

import ipaddress

from ansible_collections.postamt.mail.plugins.plugin_utils.concerns.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Site

SERVICES = {"_submission": 587, "_submissions": 465, "_imap": 143, "_imaps": 993, "_pop3s": 995, "_sieve": 4190}


def zones(site: Site) -> dict[str, str]:
    """Return the text of a zone file by its name, DOMAIN.zone; names are absolute, so any zone may include it."""
    return {f"{name}.zone": "".join(f"{line}\n" for line in _lines(site, name)) for name in site.domains}


def _lines(site: Site, name: str) -> list[str]:
    ttl = site.of(Variables).mail_dns_ttl

    def record(owner: str, kind: str, data: str) -> str:
        return f"{owner}. {ttl} IN {kind} {data}"

    lines = [record(name, "MX", f"10 {host.name}.") for host in site.hosts_with("mail_mx")]
    for host in site.hosts.values():
        names = {str(host.name)} | ({str(site.server_name)} if host.does("mail_store") else set())
        for owner in sorted(names):
            if owner == name or owner.endswith(f".{name}"):
                lines += [record(owner, _kind(address), address) for address in host.addresses]
    senders = [host for host in site.hosts_with("mail_submission") if not host.does("mail_mx")]
    lines.append(record(name, "TXT", " ".join(['"v=spf1 mx', *(f"a:{host.name}" for host in senders), '-all"'])))
    for service, port in SERVICES.items():
        for target in _servers(site, service):
            lines.append(record(f"{service}._tcp.{name}", "SRV", f"0 1 {port} {target}."))
    # Programs that would speak without TLS are told that there is no such service.
    lines.append(record(f"_pop3._tcp.{name}", "SRV", "0 0 0 ."))
    return lines


def _servers(site: Site, service: str) -> list[str]:
    """Return who offers a service to users: where mail is submitted elsewhere, those hosts by their own names."""
    submission = site.hosts_with("mail_submission") if service.startswith("_submission") else []
    elsewhere = [str(host.name) for host in submission if not host.does("mail_store")]
    return elsewhere or [str(site.server_name)]


def _kind(address: str) -> str:
    return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The zone fragment of each domain: MX, addresses, SPF (RFC 7208), and SRV for mail programs (RFC 6186, RFC 8314)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils.concerns.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils.concerns.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

SERVICES = {"_submission": 587, "_submissions": 465, "_imap": 143, "_imaps": 993, "_pop3s": 995, "_sieve": 4190}

# Addresses that other networks cannot reach, or reach somebody else's host by: RFC 1918, 3927, 6598, 4193 and 4291
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip


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
                lines += [record(owner, _kind(address), address) for address in published(host)]
    lines.append(record(name, "TXT", " ".join(f'"{part}"' for part in re.findall(".{1,255}", _spf(site)))))
    for service, port in SERVICES.items():
        for target in _servers(site, service):
            lines.append(record(f"{service}._tcp.{name}", "SRV", f"0 1 {port} {target}."))
    # Programs that would speak without TLS are told that there is no such service.
    lines.append(record(f"_pop3._tcp.{name}", "SRV", "0 0 0 ."))
    return lines


def published(host: Host) -> list[str]:
    """Return the addresses of a host that others may know: no private one where there is a public one."""
    return [address for address in host.addresses if not _private(address)] or list(host.addresses)


def _private(address: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in _PRIVATE)


def _spf(site: Site) -> str:
    """Return who sends the site's mail, and no word on others where a host relays that nobody has named."""
    senders = [f"a:{host.name}" for host in site.hosts_with("mail_submission") if not host.does("mail_mx")]
    includes = [f"include:{name}" for name in site.of(Variables).mail_spf_includes]
    return " ".join(["v=spf1", "mx", *senders, *includes, "?all" if _unnamed_relay(site) else "-all"])


def _unnamed_relay(site: Site) -> bool:
    return site.of(Relay).mail_relayhost is not None and not site.of(Variables).mail_spf_includes


_WHICH = "name the host's public addresses in mail_host_addresses"


def warnings(site: Site) -> Iterator[str]:
    """Yield what somebody has to know or decide before the zones are published."""
    for host in site.hosts.values():
        if list(host.addresses) != list(host.look.addresses) or not site.shows_public(host):
            continue  # somebody has said them, or nobody looks them up
        listed = published(host)
        private = [address for address in listed if _private(address)]
        behind = [address for address in host.addresses if _kind(address) == "A" and address not in listed]
        if private:
            yield (
                f"{host.name} has private addresses only ({', '.join(private)}), and the zone files publish them: "
                f"{_WHICH}"
            )
        elif behind and not any(_kind(address) == "A" for address in listed):
            yield (
                f"the zone files have no IPv4 address of {host.name}, since its own are private ({', '.join(behind)}), "
                f"and many servers cannot reach it by IPv6 alone: {_WHICH}"
            )
    if _unnamed_relay(site):
        yield (
            "the zones' SPF records end in ?all, since nothing says from which addresses mail_relayhost sends: ask its "
            "provider what to include, and say so in mail_spf_includes"
        )


def _servers(site: Site, service: str) -> list[str]:
    """Return who offers a service to users: where mail is submitted elsewhere, those hosts by their own names."""
    submission = site.hosts_with("mail_submission") if service.startswith("_submission") else []
    elsewhere = [str(host.name) for host in submission if not host.does("mail_store")]
    return elsewhere or [str(site.server_name)]


def _kind(address: str) -> str:
    return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"

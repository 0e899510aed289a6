# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DNS: the records by which other servers and mail programs find the site, as zone fragments to publish."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import (
    Record,
    address,
    is_private,
    published,
    text,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils._model import name_server
from ansible_collections.postamt.mail.plugins.plugin_utils._model.name_server import NameServer
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain, Path


@dataclasses.dataclass(frozen=True)
class DnsUpdates(NameServer):
    """The name server whose records the playbook postamt.mail.dns changes with `-e dns_push=true`."""

    zones: list[Domain] = var(
        "Zones in which it changes records; by default all that the server has of the site's names.", [],
        example="[example.org]",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_zone_dir: Path | None = var(
        "Folder on the controller in which the playbooks postamt.mail.dns and postamt.mail.show write a zone file for "
        "each domain.", None,
    )  # fmt: skip
    mail_spf_includes: list[str] = var(
        "Names whose SPF records list further senders of the site's mail, above all those of mail_relayhost: its "
        "provider says which.", [], example="[_spf.provider.example]",
    )  # fmt: skip
    mail_dns_ttl: int = var("How long resolvers may keep the records of these files, in seconds.", 3600)
    mail_dns_update: DnsUpdates | None = var(
        "Name server that takes the site's records as dynamic updates (RFC 2136).", None,
        example="{server: 192.0.2.53, key_name: mail-dns, key_secret: bWFpbC1kbnMta2V5}",
    )  # fmt: skip


_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # no host name: such names often begin with an underscore


def check(site: Site) -> Iterator[Problem]:
    for name in site.of(Variables).mail_spf_includes:
        if len(name) > 253 or not re.fullmatch(rf"({_LABEL}\.)+{_LABEL}", name):
            yield Problem("mail_spf_includes", name, "must be a name in the DNS, such as _spf.provider.example")
    updates = site.of(Variables).mail_dns_update
    if updates:
        yield from name_server.wrong("mail_dns_update", updates)


def dns(site: Site, domain: str) -> Iterator[Record]:
    """Return the addresses of the hosts whose names are in the domain, and who sends its mail (SPF, RFC 7208)."""
    for host in site.hosts.values():
        for owner in {str(host.name)} | ({str(site.server_name)} if host.has("mail_store") else set()):
            if owner == domain or owner.endswith(f".{domain}"):
                yield from (address(owner, one) for one in published(host))
    yield text(domain, _spf(site))


def _spf(site: Site) -> str:
    """Return who sends the site's mail, and no word on others where a host relays that nobody has named."""
    senders = [f"a:{host.name}" for host in site.hosts_with("mail_submission") if not host.has("mail_mx")]
    includes = [f"include:{name}" for name in site.of(Variables).mail_spf_includes]
    return " ".join(["v=spf1", "mx", *senders, *includes, "?all" if _unnamed_relay(site) else "-all"])


def _unnamed_relay(site: Site) -> bool:
    return site.of(Relay).mail_relayhost is not None and not site.of(Variables).mail_spf_includes


_WHICH = "name the host's public addresses in mail_host_addresses"


def dns_warnings(site: Site) -> Iterator[str]:
    """Yield what somebody has to know or decide before the records are published."""
    for host in site.hosts.values():
        if list(host.addresses) != list(host.look.addresses) or not site.shows_public(host):
            continue  # somebody has said them, or nobody looks them up
        listed = published(host)
        private = [address for address in listed if is_private(address)]
        behind = [address for address in host.addresses if ":" not in address and address not in listed]
        if private:
            yield (
                f"{host.name} has private addresses only ({', '.join(private)}), and the zone files publish them: "
                f"{_WHICH}"
            )
        elif behind and not any(":" not in address for address in listed):
            yield (
                f"the zone files have no IPv4 address of {host.name}, since its own are private ({', '.join(behind)}), "
                f"and many servers cannot reach it by IPv6 alone: {_WHICH}"
            )
    if _unnamed_relay(site):
        yield (
            "the zones' SPF records end in ?all, since the addresses from which mail_relayhost sends are not known: "
            "ask its provider which name to include, and add it to mail_spf_includes"
        )

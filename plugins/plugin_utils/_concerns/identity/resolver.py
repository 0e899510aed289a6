# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolver: hosts that need answers of the DNS which are validated (DNSSEC) have a resolver of their own for that.

It is Unbound at 127.0.0.153. Nobody but the programs of this collection that need it asks there: resolv.conf stays as
it is. It asks the root servers and those below them, or resolvers that the site names.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._validating import (
    WAYS_OUT,
    WITHOUT,
    sends_directly,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.authentication import (
    Variables as Authentication,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.dane import Variables as Dane
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import IPAddress
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.unbound import ADDRESS, Unbound, Zone

RUNS = ("unbound",)
_SIZE = 40 * MB  # 18 MB at its start, and what its caches take when they are full
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_EXAMPLE = "such as inner.example or 10.in-addr.arpa, in lower case and ASCII, without a dot at its end"
# What is not for the servers of the world (RFC 6303, 6761, 7793, 8375): Unbound says that there is no such name.
_PRIVATE = (
    "10.in-addr.arpa", *(f"{number}.172.in-addr.arpa" for number in range(16, 32)), "168.192.in-addr.arpa",
    *(f"{number}.100.in-addr.arpa" for number in range(64, 128)), "254.169.in-addr.arpa",
    "d.f.ip6.arpa", "c.f.ip6.arpa", *(f"{digit}.e.f.ip6.arpa" for digit in "89ab"),
    "home.arpa", "test",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whom the resolver asks."""

    mail_resolver_forward: list[IPAddress] = var(
        "Resolvers that are asked instead of the root servers and those below them. They must hand on what DNSSEC "
        "needs; what they say is validated here.", [], example="[192.0.2.53]",
    )  # fmt: skip
    mail_resolver_zones: dict[str, list[IPAddress]] = var(
        "Name servers or resolvers by zone, for zones of a network of your own, names of private addresses "
        "(in-addr.arpa) included. What they say is not validated.", {},
        example="{inner.example: [10.0.0.53], 10.in-addr.arpa: [10.0.0.53]}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    for where, servers in _named(said):
        if where != "mail_resolver_forward" and not servers:
            yield Problem(where, None, "must name at least one server")
        for address in servers:
            one = ipaddress.ip_address(address)
            if str(one) == ADDRESS:
                yield Problem(where, address, "is the address of the resolver itself, which would ask itself")
            elif one.is_unspecified or one.is_multicast:
                yield Problem(where, address, "must be the address of a server")
    for zone in said.mail_resolver_zones:
        if len(zone) > 253 or not all(_LABEL.fullmatch(label) for label in zone.split(".")):
            yield Problem("mail_resolver_zones", zone, f"must be the name of a zone, {_EXAMPLE}")


def _named(said: Variables) -> Iterator[tuple[str, list[IPAddress]]]:
    yield "mail_resolver_forward", said.mail_resolver_forward
    yield from ((f"mail_resolver_zones.{zone}", servers) for zone, servers in said.mail_resolver_zones.items())


def applies(site: Site, host: Host) -> bool:
    judges = site.of(Authentication).mail_authentication and host.has("mail_mx")
    return judges or (site.of(Dane).mail_dane and sends_directly(site, host))


def unbound(site: Site, host: Host) -> Unbound:
    said = site.of(Variables)
    zones = [Zone(zone, tuple(servers)) for zone, servers in said.mail_resolver_zones.items()]
    if said.mail_resolver_forward:
        zones.append(Zone(".", tuple(said.mail_resolver_forward)))
    settings: dict[str, bool | list[str]] = {}
    if insecure := sorted(said.mail_resolver_zones):
        settings["domain-insecure"] = [f'"{zone}"' for zone in insecure]
    asked = [*_PRIVATE] if said.mail_resolver_forward else []
    for zone in insecure:
        asked += [private for private in _PRIVATE if _within(zone, private) or _within(private, zone)]
    if asked:
        settings["local-zone"] = [f'"{zone}." nodefault' for zone in sorted({*asked})]
    if any(ipaddress.ip_address(address).is_loopback for zone in zones for address in zone.servers):
        settings["do-not-query-localhost"] = False
    return Unbound(settings, zones, [HealthCheck("dns_validated", {"address": ADDRESS, "ways_out": WAYS_OUT})])


def _within(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")


def memory(site: Site, host: Host) -> Memory:
    return Memory(_SIZE, f"Unbound {_SIZE // MB} MB", "the resolver", instead=WITHOUT)

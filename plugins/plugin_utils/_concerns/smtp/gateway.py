# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gateway: take mail for domains whose mailboxes are elsewhere, and hand it to their servers."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import PORTS, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain, Recipient
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import domain_of
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Table, table


@dataclasses.dataclass(frozen=True)
class Destination:
    """The server that has the mailboxes of a domain."""

    host: str = var(
        "Name or address of the server that has the mailboxes; its MX records are not asked.", example="10.0.0.5"
    )
    port: int = var("Its port.", 25, within=PORTS)
    recipients: list[Recipient] = var(
        "Its addresses. Others are refused here; with none given, all are taken and the server has to refuse.", []
    )


@dataclasses.dataclass(frozen=True)
class Variables:
    """What is relayed to whom."""

    mail_gateway: dict[Domain, Destination] = var(
        "Domains to relay, each with its server.", {}, example="{branch.example.org: {host: 10.0.0.5}}"
    )


def check(site: Site) -> Iterator[Problem]:
    for name, to in site.of(Variables).mail_gateway.items():
        if name in site.domains:
            yield Problem(f"mail_gateway.{name}", None, "must not be one of mail_domains, whose mailboxes are here")
        if not _is_host(to.host):
            allowed = "must be the name or the address of a server, such as mail.inner.example or 10.0.0.5"
            yield Problem(f"mail_gateway.{name}.host", to.host, allowed)
        for recipient in to.recipients:
            if domain_of(recipient) != name:
                yield Problem(f"mail_gateway.{name}.recipients", recipient, f"must be in {name}")


def _is_host(text: str) -> bool:
    """Tell whether a text is a host's name, which may be one word in a network of one's own, or an address."""
    try:
        return bool(ipaddress.ip_address(text)) and "%" not in text
    except ValueError:
        label = "(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
        return len(text) < 254 and bool(re.fullmatch(rf"({label}\.)*(?![0-9]+\Z){label}", text))


def postfix(site: Site, host: Host) -> Postfix | None:
    domains = site.of(Variables).mail_gateway
    if not domains:
        return None
    listed = {one: "OK" for name, to in domains.items() for one in ([*map(str, to.recipients)] or [f"@{name}"])}
    return Postfix(
        parameters={
            "relay_domains": list(domains),
            "relay_recipient_maps": [table("gateway_recipients", "lmdb")],
        },
        lists={"transport_maps": {"gateway": [table("gateway", "lmdb")]}},
        tables={
            "gateway": Table("lmdb", {name: f"relay:[{to.host}]:{to.port}" for name, to in domains.items()}),
            "gateway_recipients": Table("lmdb", listed),
        },
    )

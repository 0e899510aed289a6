# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Greylisting: a server that writes to a recipient for the first time is told to come again, which few spammers do.

One exchanger remembers for all, so that a server may come again to any. While that does not answer, mail is taken.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    CHROOT,
    POSTDROP,
    Incoming,
    Links,
    Outgoing,
    hosts_except,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import DomainOrAddress
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import PolicyService, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postgrey import SOCKET, Postgrey

_LINK = "private/greylisting"  # in Postfix's chroot, where a site has several exchangers
_PORT = 950
_NAME = re.compile(r"(?=.*[a-z])([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9])?", re.IGNORECASE)
_NETWORK = re.compile(r"[0-9a-f.:]+(/[0-9]+)?", re.IGNORECASE)  # as postgrey reads them: no netmask, no zone
_SIZE = 30 * MB


@dataclasses.dataclass(frozen=True)
class Exempt:
    """Who is never told to come again, beside the site's own hosts and users, and postmaster@ and abuse@."""

    clients: list[str] = var("Servers: addresses, networks, and names with all names below them.", [])
    recipients: list[DomainOrAddress] = var("Recipients: addresses and domains of the site.", [])


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_greylisting: bool = var(
        "Whether a server that writes to a recipient for the first time is told to come again (451). Mail of new "
        "senders is late by that.", False,
    )  # fmt: skip
    mail_greylisting_delay: int = var("Seconds after which it may come again.", 300, within=range(1, 86401))
    mail_greylisting_exempt: Exempt = var(
        "Who is never told to come again.", Exempt(), example="{clients: [example.com, 192.0.2.0/24]}"
    )


def check(site: Site) -> Iterator[Problem]:
    for index, client in enumerate(site.of(Variables).mail_greylisting_exempt.clients):
        if not (_NAME.fullmatch(client) or _network(client)):
            allowed = "must be the name of a server, or an address, or a network such as 192.0.2.0/24"
            yield Problem(f"mail_greylisting_exempt.clients[{index}]", client, allowed)


def _network(client: str) -> bool:
    try:
        return bool(_NETWORK.fullmatch(client) and ipaddress.ip_network(client))
    except ValueError:
        return False


def applies(site: Site, host: Host) -> bool:
    return site.of(Variables).mail_greylisting and host.has("mail_mx")


def postfix(site: Site, host: Host) -> Postfix:
    socket = _LINK if _linked(site) else SOCKET.removeprefix(f"{CHROOT}/")
    return Postfix(policies=[PolicyService(f"unix:{socket}", unanswered="DUNNO", mail=("world",))])


def postgrey(site: Site, host: Host) -> Postgrey | None:
    said = site.of(Variables)
    if host != _keeper(site):
        return None
    own = sorted({str(address) for one in site.hosts.values() for address in one.addresses})
    return Postgrey(
        {
            "unix": SOCKET,
            "delay": said.mail_greylisting_delay,
            "greylist-action": "451",
            "greylist-text": "4.7.1 Not known here yet, please come again in %s seconds",
        },
        # HAProxy alone asks where there are links
        POSTDROP if _linked(site) else "postfix",
        [*own, *said.mail_greylisting_exempt.clients],
        said.mail_greylisting_exempt.recipients,
    )


def links(site: Site, host: Host) -> Links:
    keeper, others = _keeper(site), hosts_except(site.hosts_with("mail_mx"), _keeper(site))
    if not others:
        return Links()
    if host == keeper:
        here = Outgoing("greylisting", f"{CHROOT}/{_LINK}", _PORT, (), "postfix", local=SOCKET)
        return Links([here], [Incoming("greylisting", _PORT, others, SOCKET)])
    return Links([Outgoing("greylisting", f"{CHROOT}/{_LINK}", _PORT, (keeper,), "postfix")])


def memory(site: Site, host: Host) -> Memory | None:
    return Memory(_SIZE, f"postgrey {_SIZE // MB} MB", "greylisting") if host == _keeper(site) else None


def _keeper(site: Site) -> Host:
    """Return the exchanger that remembers for all."""
    return site.hosts_with("mail_mx")[0]


def _linked(site: Site) -> bool:
    return len(site.hosts_with("mail_mx")) > 1

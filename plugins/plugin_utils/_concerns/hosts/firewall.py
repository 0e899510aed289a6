# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Firewall: the ports that the site's hosts open for each other take nobody else's packets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Incoming, incoming
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.nftables import Nftables


@dataclasses.dataclass(frozen=True)
class Variables:
    """Who lets the site's hosts through to each other."""

    mail_firewall: bool | None = var(
        "Whether a table of nftables, inet postamt, drops packets to internal ports that come from no host of the "
        "site. By default it does, and a run stops where a host has a firewall already: true adds the table beside it, "
        "false leaves all to you.", None,
    )  # fmt: skip


def check(site: Site) -> Iterable[Problem]:
    """Yield hosts that have a firewall of somebody else, as long as nobody has said what to do about it."""
    if site.of(Variables).mail_firewall is not None:
        return
    for host in site.hosts.values():
        opened = incoming(site, host) if host.look.firewall else []
        if opened:
            found = ", ".join(host.look.firewall)
            allowed = (
                f"must be set, since host {host.inventory_name} has a firewall ({found}). Open in it "
                f"{'; '.join(map(_needed, opened))}. Then set true, and a table of this collection, beside your "
                "firewall, closes these ports to everybody else; or set false, and your firewall has to do that"
            )
            yield Problem("mail_firewall", None, allowed)


def _needed(link: Incoming) -> str:
    callers = (f"{caller.name} ({', '.join(caller.addresses) or 'address unknown'})" for caller in link.callers)
    return f"TCP port {link.port} from {', '.join(callers)}"


def nftables(site: Site, host: Host) -> Nftables | None:
    opened = incoming(site, host)
    if site.of(Variables).mail_firewall is False or not opened:
        return None
    return Nftables(opened)

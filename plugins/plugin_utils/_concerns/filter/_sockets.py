# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sockets that mail passes on its way to amavis and back, on this host or by links to the hosts that filter.

They are Unix sockets, in folders that belong to those who may use them: any user of a host may connect to a port of
loopback, and take one above 1023 while the program that listens there is away.
"""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    CHROOT,
    FOLDER,
    Incoming,
    Links,
    Outgoing,
    hosts_except,
    public,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Mail

PORTS: dict[Mail, int] = {"world": 946, "users": 947, "hosts": 948}  # of links, by whose mail is to be filtered
BACK: dict[Mail, int] = {"world": 944, "users": 951, "hosts": 952}
# Where Postfix takes filtered mail: it knows by it whose mail comes back
FILTERED: dict[Mail, str] = {"world": "filtered", "users": "filtered-users", "hosts": "filtered-hosts"}
# Sockets of amavis: for this host's Postfix in its chroot, for HAProxy elsewhere
AMAVIS_FOLDER = "amavis"
AMAVIS_LINKS = "/var/lib/amavis-links"


def links(site: Site, host: Host) -> Links:
    """Return the links to the filters, and those by which filtered mail comes back."""
    filters, senders = filtering.filter_hosts(site), hosts_except(site.senders, host)
    outgoing, incoming = [], []
    if is_linked(site, host):
        for way, port in PORTS.items():
            local = amavis_socket(site, host, host, way) if host in filters else ""
            socket = f"{CHROOT}/{filter_socket(site, host, way)}"
            to = hosts_except(filters, host)
            outgoing.append(Outgoing(f"filter-{way}", socket, port, to, "postfix", local=local, spread=True))
        for way, port in BACK.items():
            name, socket = _back_name(way), public(FILTERED[way])
            incoming.append(Incoming(name, port, hosts_except(filters, host), socket, reject=True))
    if host in filters:
        for caller in senders:
            for way, port in BACK.items():
                name, socket = f"{_back_name(way)}-{caller.name}", back_socket(host, caller, way)
                outgoing.append(Outgoing(name, socket, port, (caller,), "amavis"))
        for way, port in PORTS.items():
            targets = {str(caller.name): amavis_socket(site, host, caller, way) for caller in senders}
            incoming.append(Incoming(f"filter-{way}", port, senders, targets=targets, reject=True))
    return Links(outgoing, incoming)


def is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host's Postfix reaches the filter by a link: where another host filters too, or alone."""
    return site.sends(host) and bool(hosts_except(filtering.filter_hosts(site), host))


def filter_socket(site: Site, host: Host, way: Mail) -> str:
    """Return where a host's Postfix finds the filter, relative to its chroot: amavis, or the link to it."""
    return f"private/filter-{way}" if is_linked(site, host) else f"{AMAVIS_FOLDER}/{way}"


def amavis_socket(site: Site, host: Host, sender: Host, way: Mail) -> str:
    """Return where amavis on a host takes a sender's mail, which is how it knows whose it is."""
    if sender == host and not is_linked(site, host):
        return f"{CHROOT}/{filter_socket(site, host, way)}"
    return f"{AMAVIS_LINKS}/{way}-{sender.name}"


def back_socket(host: Host, sender: Host, way: Mail) -> str:
    """Return where amavis on a host hands a sender's mail back: Postfix, or the link to the sender's."""
    return public(FILTERED[way]) if sender == host else f"{FOLDER}/{_back_name(way)}-{sender.name}"


def _back_name(way: Mail) -> str:
    """Return how the link is called by which filtered mail comes back."""
    return "back" if way == "world" else f"back-{way}"

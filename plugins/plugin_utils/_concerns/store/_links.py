# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links from hosts that send mail to the host that holds the mailboxes."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    CHROOT,
    DOVECOT_FOLDER,
    Incoming,
    Links,
    Outgoing,
    hosts_except,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site


def to_store(site: Site, host: Host, name: str, port: int, socket: str, listener: str) -> Links:
    """Return one link, for both ends.

    socket: where Postfix finds it, relative to its chroot; listener: the socket in Dovecot's folder where it ends.
    """
    if host.has("mail_store"):
        senders = hosts_except(site.senders, host)
        return Links(incoming=[Incoming(name, port, senders, f"{DOVECOT_FOLDER}/{listener}")])
    stores = tuple(site.hosts_with("mail_store"))
    return Links([Outgoing(name, f"{CHROOT}/{socket}", port, stores, "postfix")] if site.sends(host) else [])

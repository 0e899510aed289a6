# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delivery: Postfix hands mail for mailboxes to Dovecot over LMTP (RFC 2033), through a socket in its queue folder."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    CHROOT,
    USER,
    Links,
    called,
    packages,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Directory, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.store._links import to_store
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

SOCKET = "private/dovecot-lmtp"  # in Postfix's chroot
_LINK = "private/store-lmtp"  # there too, where the mailboxes are on another host
_FOR_LINKS = "lmtp-links"  # in Dovecot's folder
_PORT = 941


def links(site: Site, host: Host) -> Links:
    return to_store(site, host, "lmtp", _PORT, _LINK, _FOR_LINKS)


def postfix(site: Site, host: Host) -> Postfix:
    socket = SOCKET if host.has("mail_store") else _LINK
    # A line that is cut has a blank more: signatures of the message are broken then.
    return Postfix(parameters={"virtual_transport": f"lmtp:unix:{socket}", "lmtp_line_length_limit": 0})


def dovecot(site: Site, host: Host) -> Dovecot:
    path = f"{CHROOT}/{SOCKET}"
    listeners: dict[str, dict[str, str | int]] = {
        f"unix_listener {path}": {"user": "postfix", "group": "postfix", "mode": "0600"},
        # Dovecot's own is for every user of the host, who would deliver past the filter; 0 means none.
        "unix_listener lmtp": {"mode": 0},
    }
    if called(site, host, "lmtp"):
        listeners[f"unix_listener {_FOR_LINKS}"] = {"user": USER, "mode": "0600"}
    someone = {"recipient": site.postmaster, "path": path, "needs": site.lookups.needs(site, host, "dovecot")}
    return Dovecot(
        trunk={"service lmtp": listeners},
        # A new process for each delivery, as Dovecot has it, takes 24 ms of processor time, an old one 6 ms.
        v23={"service lmtp": {"service_count": 100}},
        v24={
            "service lmtp": {"restart_request_count": 100},
            # 2.4 takes ten at once for a user, by whatever plus addresses, and defers the others. Postfix has a limit.
            "lmtp_user_concurrency_limit": "unlimited",
        },
        protocols=["lmtp"],
        # Postfix makes it at its first start, which comes later.
        directories=[Directory(f"{CHROOT}/private", "0700", "postfix", "root")],
        packages=["dovecot-lmtpd", "postfix", *packages(site, host)],  # whose packages bring folder and user
        checks=[HealthCheck("lmtp_rcpt", someone) if site.postmaster else HealthCheck("lmtp_greeting", {"path": path})],
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quota: a limit for each mailbox; a full one is refused at RCPT, for the address and its aliases."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils import links
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

_SOCKET = "private/quota-status"
# Users of each Debian (base-passwd), and one that a package puts into /etc/aliases
_SYSTEM_USERS = (
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup",
    "list", "irc", "nobody", "clamav",
)  # fmt: skip
_ANSWERS = {
    "quota_status_success": "DUNNO",  # OK would end Postfix's list of restrictions
    "quota_status_nouser": "DUNNO",
    "quota_status_overquota": "552 5.2.2 Mailbox is full",
    # 2.4 sends the other text, but without this one it answers nothing, and Postfix would accept.
    "quota_status_toolarge": "552 5.2.3 Message is too large for the mailbox",
}


def postfix(site: Site, host: Host) -> Postfix | None:
    if not site.sends(host):
        return None
    socket = links.QUOTA_SOCKET if links.needs_store(site, host) else _SOCKET
    # While Dovecot is away mail is taken and waits in the queue, as it does for every other mailbox then.
    ask = {"quota": [f"check_policy_service {{ unix:{socket}, default_action=DUNNO }}"]}
    tables = {}
    if not site.uses_directory:  # Dovecot has no answer for such users, and mail to aliases of their names would wait
        tables = {"system_users": Table("lmdb", {f"{name}@": "OK" for name in _SYSTEM_USERS})}
        ask["quota"].insert(0, f"check_recipient_access {table('system_users', 'lmdb')}")
    ports = ("smtpd", "mua") if host.does("mail_submission") else ("smtpd",)
    return Postfix(tables=tables, restrictions={f"{port}_recipient_restrictions": ask for port in ports})


def dovecot(site: Site, host: Host) -> Dovecot | None:
    if not host.does("mail_store"):
        return None
    limit = f"{site.core.mail_quota // 1024}K"
    listeners = {f"unix_listener {links.CHROOT}/{_SOCKET}": {"user": "postfix", "mode": "0600"}}
    if links.called(site, host, "quota"):
        listeners[f"unix_listener {links.DOVECOT_QUOTA}"] = {"user": links.USER, "mode": "0600"}
    return Dovecot(
        trunk={
            "lmtp_rcpt_check_quota": True,
            "service quota-status": {"executable": "quota-status -p postfix", "client_limit": 1, **listeners},
        },
        v23={
            "quota_full_tempfail": True,
            "plugin": {
                "quota": "count:User quota",
                "quota_vsizes": True,
                "quota_grace": 0,
                "quota_rule": f"*:storage={limit}",
                **_ANSWERS,
            },
        },
        v24={
            "quota_full_tempfail": True,
            'quota "User quota"': {"driver": "count"},
            "quota_storage_grace": 0,
            "quota_storage_size": limit,
            **_ANSWERS,
        },
        plugins={"": ["quota"], "imap": ["imap_quota"]},
    )

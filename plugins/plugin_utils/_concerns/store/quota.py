# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quota: limits of what an account may store; a full mailbox is refused at RCPT, for the address and its aliases.

The size of a mailbox is mail_quota, or quota of the account. What has no size counts by number: folders, messages and
Sieve scripts, which take room on the disk however small they are.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    CHROOT,
    USER,
    Links,
    called,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.store._links import to_store
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Size
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import PolicyService, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

_SOCKET = "private/quota-status"  # in Postfix's chroot
_LINK = "private/store-quota"  # there too, where the mailboxes are on another host
_FOR_LINKS = "quota-links"  # in Dovecot's folder
_PORT = 942
# Each process of smtpd keeps a connection, and there are 100 for each of ports 25, 465 and 587 (default_process_limit).
# Where Dovecot has no process for one, by default from the hundredth on, RCPT is answered after minutes. Each of them
# is a client of Dovecot's auth, which takes 1000, logins included.
_ASKING, _MOST = 300, 500
_ANSWERS = {
    "quota_status_success": "DUNNO",  # OK would end Postfix's list of restrictions
    "quota_status_nouser": "DUNNO",
    "quota_status_overquota": "552 5.2.2 Mailbox is full",
    # 2.4 sends the other text, but without this one it answers nothing, and Postfix would accept.
    "quota_status_toolarge": "552 5.2.3 Message is too large for the mailbox",
}


@dataclasses.dataclass(frozen=True)
class Variables:
    """What an account may store beside the size of its mail."""

    mail_quota_messages: int = var("Most messages that an account keeps; 0 for no limit.", 1_000_000)
    mail_quota_folders: int = var(
        "Most folders that an account has, where Dovecot is 2.4 (Debian 13): 2.3 has no such limit; 0 for no limit.",
        1000,
    )
    mail_quota_sieve_scripts: int = var("Most Sieve scripts that an account uploads; 0 for no limit.", 20)
    mail_quota_sieve_size: Size = var(
        "Size of all Sieve scripts of an account, and so of each; 0 for no limit.", Size(1 << 20), example="256K"
    )


def links(site: Site, host: Host) -> Links:
    return to_store(site, host, "quota", _PORT, _LINK, _FOR_LINKS)


def postfix(site: Site, host: Host) -> Postfix:
    socket = _SOCKET if host.has("mail_store") else _LINK
    # While Dovecot is away mail is taken and waits in the queue, as it does for every other mailbox then.
    return Postfix(policies=[PolicyService(f"unix:{socket}", slot="quota", unanswered="DUNNO")])


def dovecot(site: Site, host: Host) -> Dovecot:
    said = site.of(Variables)
    limit = f"{site.core.mail_quota // 1024}K"
    listeners = {f"unix_listener {CHROOT}/{_SOCKET}": {"user": "postfix", "mode": "0600"}}
    if called(site, host, "quota"):
        listeners[f"unix_listener {_FOR_LINKS}"] = {"user": USER, "mode": "0600"}
    return Dovecot(
        trunk={
            "lmtp_rcpt_check_quota": True,
            "service quota-status": {
                "executable": "quota-status -p postfix",
                "client_limit": 1,
                "process_limit": min(_ASKING * len(site.senders), _MOST),
                **listeners,
            },
        },
        v23={
            "quota_full_tempfail": True,
            "plugin": {
                "quota": "count:User quota",
                "quota_vsizes": True,
                "quota_grace": 0,
                "quota_rule": f"*:storage={limit}",
                "quota_rule2": f"*:messages={said.mail_quota_messages}",  # the directory replaces the first alone
                "sieve_max_script_size": int(said.mail_quota_sieve_size),
                "sieve_quota_max_scripts": said.mail_quota_sieve_scripts,
                "sieve_quota_max_storage": int(said.mail_quota_sieve_size),
                **_ANSWERS,
            },
        },
        v24={
            "quota_full_tempfail": True,
            'quota "User quota"': {"driver": "count"},
            "quota_storage_grace": 0,
            "quota_storage_size": limit,
            "quota_message_count": said.mail_quota_messages,
            "quota_mailbox_count": said.mail_quota_folders,
            "sieve_max_script_size": int(said.mail_quota_sieve_size),
            "sieve_quota_script_count": said.mail_quota_sieve_scripts,
            "sieve_quota_storage_size": int(said.mail_quota_sieve_size),
            **_ANSWERS,
        },
        plugins={"": ["quota"], "imap": ["imap_quota"]},
    )

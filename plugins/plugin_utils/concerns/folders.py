# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders that every mail program knows by their use (RFC 6154)."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

_FOLDERS = ("Archive", "Drafts", "Junk", "Sent", "Trash")


def dovecot(site: Site, host: Host) -> Dovecot | None:
    if not host.does("mail_store"):
        return None
    blocks = {f"mailbox {name}": {"special_use": f"\\{name}", "auto": "subscribe"} for name in _FOLDERS}
    return Dovecot(trunk={"namespace inbox": {"inbox": True, "separator": "/", **blocks}})

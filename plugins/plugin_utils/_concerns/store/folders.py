# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders that every mail program knows by their use (RFC 6154)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_folder_separator: t.Literal["/", "."] = var(
        "What separates the names of a folder and the one it lies in. Debian's Dovecot has a dot for Maildir: keep it "
        "where mail programs and Sieve scripts know such names. With / no name has a dot in it: Maildir has dots "
        "between folders on the disk. None begins with ~ either way. Mail programs get NO for such names.", "/",
    )  # fmt: skip


_FOLDERS = ("Archive", "Drafts", "Junk", "Sent", "Trash")


def dovecot(site: Site, host: Host) -> Dovecot | None:
    blocks = {f"mailbox {name}": {"special_use": f"\\{name}", "auto": "subscribe"} for name in _FOLDERS}
    separator = site.of(Variables).mail_folder_separator
    return Dovecot(trunk={"namespace inbox": {"inbox": True, "separator": separator, **blocks}})

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mailboxes: each is a Maildir, one file a message; where it lies."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Path
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

RUNS = ("dovecot",)  # it runs where this concern contributes to it


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_maildir: Path = var(
        "Where a mailbox lies: below the account's home (~), or a path with {user}, {local} and {domain}, which stand "
        "for the login name, what is before its @ and what is behind. Mail does not move when this changes.",
        Path("~/Maildir"), example="/var/mail/vhosts/{domain}/{local}",
    )  # fmt: skip


# How 2.3 and 2.4 write them
_PARTS = {"{user}": ("%u", "%{user}"), "{local}": ("%n", "%{user | username}"), "{domain}": ("%d", "%{user | domain}")}


def check(site: Site) -> Iterator[Problem]:
    path = site.of(Variables).mail_maildir
    rest = re.sub("|".join(map(re.escape, _PARTS)), "", path)
    tells_apart = path.startswith("~/") or "{user}" in path or "{local}" in path
    if not tells_apart or not re.fullmatch(r"(~|/)[\w./+@-]*", rest) or ".." in rest.split("/"):
        allowed = "must begin with ~/ or have {user} or {local} in it, and no .., as ~/Maildir or /mail/{user}"
        yield Problem("mail_maildir", path, allowed)
    elif not site.lookups.on_host and len(site.domains) > 1 and _shares(path):
        allowed = (
            "must have {user}, or {domain} too, where mail_domains has several: two accounts would share a mailbox"
        )
        yield Problem("mail_maildir", path, allowed)
    elif site.lookups.on_host and "{domain}" in path:
        yield Problem("mail_maildir", path, "must not have {domain}: users of the host log in without one")


def _shares(path: str) -> bool:
    return not path.startswith("~/") and "{user}" not in path and "{domain}" not in path


def applies(site: Site, host: Host) -> bool:
    return host.has("mail_store")


def dovecot(site: Site, host: Host) -> Dovecot:
    old = new = str(site.of(Variables).mail_maildir).rstrip("/")
    for part, (in_old, in_new) in _PARTS.items():
        old, new = old.replace(part, in_old), new.replace(part, in_new)
    return Dovecot(v23={"mail_location": f"maildir:{old}"}, v24={"mail_driver": "maildir", "mail_path": new})

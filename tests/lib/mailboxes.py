"""What a mail program finds in a mailbox: kept before the collection comes, compared afterwards."""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
from collections.abc import Iterator
from typing import Any

USERS = ("anna", "ben", "carl", "dora", "emil", "fred", "gita", "hans", "ida", "jan")


@contextlib.contextmanager
def imap(address: str, user: str) -> Iterator[imaplib.IMAP4_SSL]:
    """A login; the server made by hand has a certificate that nobody knows."""
    context = ssl._create_unverified_context()
    with imaplib.IMAP4_SSL(address, 993, ssl_context=context, timeout=30) as link:
        link.login(user, f"Only-4-{user}")
        yield link


def names(link: imaplib.IMAP4, verb: str) -> list[str]:
    """Folders by LIST or LSUB, names as the server writes them."""
    _answer, lines = getattr(link, verb)()
    return sorted(re.sub(r'^\(.*?\) "?.*?"? "?(.*?)"?$', r"\1", line.decode()) for line in lines if line)


def contents(address: str, user: str) -> dict[str, Any]:
    """Folders, subscriptions, and each folder's UIDVALIDITY, messages by UID, and their flags."""
    with imap(address, user) as link:
        found: dict[str, Any] = {"subscribed": names(link, "lsub"), "folders": {}}
        for name in names(link, "list"):
            link.select(f'"{name}"', readonly=True)
            valid = link.response("UIDVALIDITY")[1][0].decode()
            _answer, data = link.uid("fetch", "1:*", "(FLAGS RFC822.SIZE)")
            mails = {}
            for line in data:
                text = line.decode() if line else ""
                if uid := re.search(r"UID (\d+)", text):
                    flags = re.search(r"FLAGS \(([^)]*)\)", text)
                    mails[uid[1]] = sorted(set(flags[1].split() if flags else []) - {"\\Recent"})
            found["folders"][name] = {"uidvalidity": valid, "mails": mails}
        return found


def lacking(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a mail program would miss, or would have to download again."""
    missed = [f"subscription {name}" for name in before["subscribed"] if name not in after["subscribed"]]
    for name, folder in before["folders"].items():
        now = after["folders"].get(name, {"uidvalidity": None, "mails": {}})
        if now["uidvalidity"] != folder["uidvalidity"]:
            missed.append(f"folder {name}")
        missed += [f"{name} {uid} {flags}" for uid, flags in folder["mails"].items() if now["mails"].get(uid) != flags]
    return missed

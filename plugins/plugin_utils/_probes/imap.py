# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users can ask over IMAP (RFC 3501): who has a mailbox, and what is in it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, Tls, attempts, quoted, unquoted
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import Imap, ImapAnswer, ImapRefused

_STRING = r'"(?:\\.|[^"\\])*"|[^\s()]+'


@dataclass(frozen=True)
class Folder:
    r"""A folder, with its flags as the server writes them: \Sent, \Junk (RFC 6154), \HasNoChildren."""

    name: str
    delimiter: str
    flags: frozenset[str]


@dataclass(frozen=True)
class Quota:
    """Use and limit of a mailbox in bytes (IMAP counts units of 1024); limit is None where there is none."""

    root: str
    usage: int
    limit: int | None


class ImapUser(Imap):
    """An IMAP client that logs in."""

    def login(self, user: str, password: str) -> ImapAnswer:
        """The answer to AUTHENTICATE PLAIN (RFC 4616)."""
        secret = b64encode(f"\0{user}\0{password}".encode())
        return self.command("AUTHENTICATE PLAIN", secret)[0]

    def search(self, token: str | None) -> list[int]:
        """The UIDs in the open folder, in order, of messages with this in the subject, or of all."""
        found = self.grant("UID SEARCH " + ("ALL" if token is None else f"HEADER SUBJECT {quoted(token)}"))
        return sorted(int(uid) for line in found if line.text.startswith(b"* SEARCH") for uid in line.text.split()[2:])


def folder_encoded(name: str) -> str:
    """A folder's name as IMAP writes it, in modified UTF-7 (RFC 3501, 5.1.3)."""

    def encode(found: re.Match[str]) -> str:
        if found[0] == "&":
            return "&-"
        return "&" + b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    return re.sub(r"&|[^ -~]+", encode, name)


def folder_decoded(name: str) -> str:
    """The name that modified UTF-7 stands for."""

    def decode(found: re.Match[str]) -> str:
        return b64decode(found[1].replace(",", "/") + "=" * (-len(found[1]) % 4)).decode("utf-16-be") or "&"

    return re.sub(r"&([^-]*)-", decode, name)


def mailbox(folder: str) -> str:
    """A folder's name as a word of a command."""
    return quoted(folder_encoded(folder))


@contextmanager
def session(e: Endpoint, user: str, password: str, tls: Tls) -> Iterator[ImapUser]:
    """A login; raises ImapRefused where it is refused."""
    with ImapUser(e, tls) as imap:
        answer = imap.login(user, password)
        if not answer.ok:
            raise ImapRefused(e, f"login of {user}", answer)
        yield imap


def imap_login(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> ImapAnswer:
    """May this user in? OK, or NO with AUTHENTICATIONFAILED, or PRIVACYREQUIRED without TLS.

    With tls="none" the password travels in the clear. Dovecot lets wrong passwords wait for up to 17 s:
    give the endpoint time.
    """
    with ImapUser(e, tls) as imap:
        return imap.login(user, password)


def imap_folders(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> tuple[Folder, ...]:
    """Which folders does the user have, and what is each for (RFC 6154)?"""
    with session(e, user, password, tls) as imap:
        responses = imap.grant('LIST "" "*" RETURN (SPECIAL-USE)')
        return tuple(filter(None, (_folder(*response) for response in responses)))


def imap_find(
    e: Endpoint,
    user: str,
    password: str,
    token: str,
    *,
    folder: str = "INBOX",
    wait: float = 15.0,
    tls: Tls = "implicit",
) -> bytes | None:
    """Which message has the token in its subject? Its bytes, or None after `wait` seconds.

    Looks at once and then again and again, on one connection, also where the folder is not there yet;
    of several messages the newest. It stays unseen.
    """
    with session(e, user, password, tls) as imap:
        for _attempt in attempts(wait):
            if not imap.command(f"EXAMINE {mailbox(folder)}")[0].ok:
                continue
            if found := imap.search(token):
                for line in imap.grant(f"UID FETCH {found[-1]} (BODY.PEEK[])"):
                    if line.literals:
                        return line.literals[0]
    return None


def imap_count(
    e: Endpoint,
    user: str,
    password: str,
    *,
    token: str | None = None,
    folder: str = "INBOX",
    tls: Tls = "implicit",
) -> int:
    """How many messages are in the folder now, or how many of them with this token in the subject?"""
    with session(e, user, password, tls) as imap:
        imap.grant(f"EXAMINE {mailbox(folder)}")
        return len(imap.search(token))


def imap_quota(e: Endpoint, user: str, password: str, *, folder: str = "INBOX", tls: Tls = "implicit") -> Quota:
    """How much does the user store, and how much may it (RFC 9208, the resource STORAGE)?"""
    with session(e, user, password, tls) as imap:
        for line in imap.grant(f"GETQUOTAROOT {mailbox(folder)}"):
            found = re.match(rf"\* QUOTA ({_STRING}) \(.*?\bSTORAGE (\d+) (\d+)", line.text.decode("utf-8", "replace"))
            if found:
                return Quota(unquoted(found[1]), int(found[2]) * 1024, int(found[3]) * 1024)
    return Quota("", 0, None)


def _folder(text: bytes, literals: list[bytes]) -> Folder | None:
    found = re.match(rf"\* LIST \(([^)]*)\) ({_STRING}) ({_STRING})", text.decode("utf-8", "replace"))
    if not found:
        return None
    name = literals[0].decode() if literals else unquoted(found[3])
    delimiter = "" if found[2] == "NIL" else unquoted(found[2])
    return Folder(folder_decoded(name), delimiter, frozenset(found[1].split()))

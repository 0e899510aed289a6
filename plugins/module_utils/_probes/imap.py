# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over IMAP (RFC 3501)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from .base import Conversation, Endpoint, ProbeError, Tls, attempts, quoted, unquoted

_STRING = r'"(?:\\.|[^"\\])*"|[^\s()]+'


@dataclass(frozen=True)
class ImapAnswer:
    """How a command ended.

    status     OK, NO, BAD or BYE
    code       the response code (RFC 5530), such as OVERQUOTA or APPENDUID, or nothing
    arguments  what stands behind the code
    """

    status: str
    code: str
    arguments: str
    text: str

    def __str__(self) -> str:
        return " ".join(filter(None, [self.status, self.code and f"[{self.code}]", self.text]))

    @property
    def ok(self) -> bool:
        """Whether it was granted."""
        return self.status == "OK"


class ImapRefused(ProbeError):
    """What had to be granted before the question could be put was refused: `answer` says how."""

    def __init__(self, endpoint: Endpoint, asked: str, answer: ImapAnswer) -> None:
        super().__init__(endpoint, asked, answer)
        self.answer = answer


@dataclass(frozen=True)
class ImapCapabilities:
    """The greeting, and the words of CAPABILITY, in capitals."""

    greeting: ImapAnswer
    words: frozenset[str]

    @property
    def login_disabled(self) -> bool:
        """Whether the server takes no password now (RFC 2595)."""
        return "LOGINDISABLED" in self.words

    @property
    def auth(self) -> frozenset[str]:
        """The mechanisms of AUTHENTICATE that are offered."""
        return frozenset(word.removeprefix("AUTH=") for word in self.words if word.startswith("AUTH="))


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


class Response(NamedTuple):
    """A line that answers a command before it ends, with the literals in it."""

    text: bytes
    literals: list[bytes]


class Imap(Conversation):
    """An IMAP client that says what it is told and keeps every answer."""

    GOODBYE = b"bye LOGOUT"
    greeting: ImapAnswer
    _commands = 0

    def greet(self) -> None:
        """Read the greeting."""
        self.greeting = _answer(self.line().removeprefix(b"* "))
        if self.greeting.status != "OK":
            raise ImapRefused(self.endpoint, self.asked, self.greeting)

    def command(self, line: str, then: bytes | None = None, asked: str = "") -> tuple[ImapAnswer, list[Response]]:
        """How a command ended, and what came before; `then` is sent once the server asks for more."""
        self._commands += 1
        tag = f"p{self._commands} "
        self.send(f"{tag}{line}\r\n".encode(), asked or line)
        untagged: list[Response] = []
        while True:
            text, literals = self.logical_line()
            if text.startswith(tag.encode()):
                return _answer(text.removeprefix(tag.encode())), untagged
            if text.startswith(b"* BYE"):
                raise ImapRefused(self.endpoint, self.asked, _answer(text.removeprefix(b"* ")))
            if text.startswith(b"+"):
                if then is None:
                    raise self.broken("the server asks for more")
                self.send(then + b"\r\n", self.asked)
                then = None
            else:
                untagged.append(Response(text, literals))

    def grant(self, line: str, then: bytes | None = None, asked: str = "") -> list[Response]:
        """What a command brings; raises ImapRefused where it is refused."""
        answer, untagged = self.command(line, then, asked)
        if not answer.ok:
            raise ImapRefused(self.endpoint, self.asked, answer)
        return untagged

    def starttls(self) -> None:
        """Put TLS on (RFC 2595)."""
        self.grant("STARTTLS")
        self.secure()

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


def _answer(line: bytes) -> ImapAnswer:
    found = re.fullmatch(r"(\w+)(?: \[([^]\s]+) ?([^]]*)\])? ?(.*)", line.decode("utf-8", "replace"))
    if not found:
        return ImapAnswer("", "", "", repr(line))
    return ImapAnswer(found[1].upper(), (found[2] or "").upper(), found[3] or "", found[4])


def _mailbox(folder: str) -> str:
    return quoted(folder_encoded(folder))


@contextmanager
def _session(e: Endpoint, user: str, password: str, tls: Tls) -> Iterator[Imap]:
    with Imap(e, tls) as imap:
        answer = imap.login(user, password)
        if not answer.ok:
            raise ImapRefused(e, f"login of {user}", answer)
        yield imap


def imap_capabilities(e: Endpoint, *, tls: Tls = "none") -> ImapCapabilities:
    """What does it offer, before TLS ("none") or after it, and does it take passwords there?"""
    with Imap(e, tls) as imap:
        lines = [line.text.upper().split() for line in imap.grant("CAPABILITY")]
        words = [word.decode() for line in lines if line[1:2] == [b"CAPABILITY"] for word in line[2:]]
        return ImapCapabilities(imap.greeting, frozenset(words))


def imap_login(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> ImapAnswer:
    """May this user in? OK, or NO with AUTHENTICATIONFAILED, or PRIVACYREQUIRED without TLS.

    With tls="none" the password travels in the clear. Dovecot lets wrong passwords wait for up to 17 s:
    give the endpoint time.
    """
    with Imap(e, tls) as imap:
        return imap.login(user, password)


def imap_folders(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> tuple[Folder, ...]:
    """Which folders does the user have, and what is each for (RFC 6154)?"""
    with _session(e, user, password, tls) as imap:
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
    with _session(e, user, password, tls) as imap:
        for _attempt in attempts(wait):
            if not imap.command(f"EXAMINE {_mailbox(folder)}")[0].ok:
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
    with _session(e, user, password, tls) as imap:
        imap.grant(f"EXAMINE {_mailbox(folder)}")
        return len(imap.search(token))


def imap_append(
    e: Endpoint, user: str, password: str, content: bytes, *, folder: str = "INBOX", tls: Tls = "implicit"
) -> ImapAnswer:
    """May the user store this message? OK with APPENDUID (RFC 4315), or NO with OVERQUOTA or TRYCREATE."""
    with _session(e, user, password, tls) as imap:
        return imap.command(f"APPEND {_mailbox(folder)} {{{len(content)}}}", content)[0]


def imap_quota(e: Endpoint, user: str, password: str, *, folder: str = "INBOX", tls: Tls = "implicit") -> Quota:
    """How much does the user store, and how much may it (RFC 9208, the resource STORAGE)?"""
    with _session(e, user, password, tls) as imap:
        for line in imap.grant(f"GETQUOTAROOT {_mailbox(folder)}"):
            found = re.match(rf"\* QUOTA ({_STRING}) \(.*?\bSTORAGE (\d+) (\d+)", line.text.decode("utf-8", "replace"))
            if found:
                return Quota(unquoted(found[1]), int(found[2]) * 1024, int(found[3]) * 1024)
    return Quota("", 0, None)


def imap_move(
    e: Endpoint,
    user: str,
    password: str,
    token: str,
    *,
    source: str = "INBOX",
    target: str,
    tls: Tls = "implicit",
) -> ImapAnswer:
    """Move the messages with this token in the subject (RFC 6851); raises ProbeError where there are none."""
    with _session(e, user, password, tls) as imap:
        imap.grant(f"SELECT {_mailbox(source)}")
        found = imap.search(token)
        if not found:
            raise imap.broken("no such message")
        return imap.command(f"UID MOVE {','.join(map(str, found))} {_mailbox(target)}")[0]


def _folder(text: bytes, literals: list[bytes]) -> Folder | None:
    found = re.match(rf"\* LIST \(([^)]*)\) ({_STRING}) ({_STRING})", text.decode("utf-8", "replace"))
    if not found:
        return None
    name = literals[0].decode() if literals else unquoted(found[3])
    delimiter = "" if found[2] == "NIL" else unquoted(found[2])
    return Folder(folder_decoded(name), delimiter, frozenset(found[1].split()))

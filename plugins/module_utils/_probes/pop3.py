# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over POP3 (RFC 1939)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .base import Conversation, Endpoint, ProbeError, Tls, attempts, keywords


@dataclass(frozen=True)
class Pop3Answer:
    """+OK or not, the response code (RFC 2449, RFC 3206), such as AUTH or SYS/TEMP, or nothing, and the text."""

    ok: bool
    code: str
    text: str

    def __str__(self) -> str:
        return " ".join(filter(None, ["+OK" if self.ok else "-ERR", self.code and f"[{self.code}]", self.text]))


class Pop3Refused(ProbeError):
    """What had to be granted before the question could be put was refused: `answer` says how."""

    def __init__(self, endpoint: Endpoint, asked: str, answer: Pop3Answer) -> None:
        super().__init__(endpoint, asked, answer)
        self.answer = answer


@dataclass(frozen=True)
class Pop3Message:
    """A message in the mailbox: its number in this session, its size in bytes, its lasting id."""

    number: int
    size: int
    uid: str


class Pop3(Conversation):
    """A POP3 client that says what it is told and keeps every answer."""

    GOODBYE = b"QUIT"
    greeting: Pop3Answer

    def greet(self) -> None:
        """Read the greeting."""
        self.greeting = self.answer()
        if not self.greeting.ok:
            raise Pop3Refused(self.endpoint, self.asked, self.greeting)

    def answer(self) -> Pop3Answer:
        """The next answer."""
        line = self.line().decode("utf-8", "replace")
        found = re.fullmatch(r"(\+OK|-ERR)(?: \[([A-Z/-]+)\])? ?(.*)", line)
        if not found:
            raise self.broken(f"not a POP3 answer: {line!r}")
        return Pop3Answer(found[1] == "+OK", found[2] or "", found[3])

    def command(self, line: str, asked: str = "") -> Pop3Answer:
        """The answer to one line."""
        self.send(line.encode() + b"\r\n", asked or line)
        return self.answer()

    def grant(self, line: str, asked: str = "") -> None:
        """Say one line; raises Pop3Refused where it is refused."""
        answer = self.command(line, asked)
        if not answer.ok:
            raise Pop3Refused(self.endpoint, self.asked, answer)

    def lines(self, line: str) -> list[bytes]:
        """The lines that answer a command, without the dot that ends them."""
        self.grant(line)
        lines = []
        while (text := self.line()) != b".":
            lines.append(text.removeprefix(b"."))
        return lines

    def starttls(self) -> None:
        """Put TLS on (RFC 2595)."""
        self.grant("STLS")
        self.secure()

    def login(self, user: str, password: str) -> Pop3Answer:
        """The answer to USER, where it is refused, or to PASS."""
        answer = self.command(f"USER {user}")
        return self.command(f"PASS {password}", "PASS") if answer.ok else answer


@contextmanager
def _session(e: Endpoint, user: str, password: str, tls: Tls) -> Iterator[Pop3]:
    with Pop3(e, tls) as pop3:
        answer = pop3.login(user, password)
        if not answer.ok:
            raise Pop3Refused(e, f"login of {user}", answer)
        yield pop3


def pop3_capabilities(e: Endpoint, *, tls: Tls = "none") -> Mapping[str, str]:
    """What does it offer (RFC 2449), before TLS ("none") or after it? Each capability with its arguments."""
    with Pop3(e, tls) as pop3:
        return keywords(line.decode("utf-8", "replace") for line in pop3.lines("CAPA"))


def pop3_login(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> Pop3Answer:
    """May this user in? With tls="none" a good server refuses before the password is sent.

    Dovecot lets wrong passwords wait for up to 17 s: give the endpoint time.
    """
    with Pop3(e, tls) as pop3:
        return pop3.login(user, password)


def pop3_list(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> tuple[Pop3Message, ...]:
    """Which messages are in the mailbox?"""
    with _session(e, user, password, tls) as pop3:
        sizes = dict(line.split()[:2] for line in pop3.lines("LIST"))
        uids = dict(line.split()[:2] for line in pop3.lines("UIDL"))
        return tuple(Pop3Message(int(n), int(size), uids.get(n, b"").decode()) for n, size in sizes.items())


def pop3_find(
    e: Endpoint, user: str, password: str, token: str, *, wait: float = 15.0, tls: Tls = "implicit"
) -> bytes | None:
    """Which message has the token in its subject? Its bytes, or None after `wait` seconds; the newest of several.

    Logs in again for each look, since a session sees the mailbox as it was at its login.
    """
    for _attempt in attempts(wait, first=0.2):
        with _session(e, user, password, tls) as pop3:
            for number in reversed([int(line.split()[0]) for line in pop3.lines("LIST")]):
                header = b"\n".join(pop3.lines(f"TOP {number} 0"))
                if re.search(rb"(?im)^Subject:.*(?:\n[ \t].*)*" + re.escape(token.encode()), header):
                    return b"".join(line + b"\r\n" for line in pop3.lines(f"RETR {number}"))
    return None

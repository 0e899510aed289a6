# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over IMAP (RFC 3501)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from .base import Conversation, Endpoint, ProbeError, Tls


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


def _answer(line: bytes) -> ImapAnswer:
    found = re.fullmatch(r"(\w+)(?: \[([^]\s]+) ?([^]]*)\])? ?(.*)", line.decode("utf-8", "replace"))
    if not found:
        return ImapAnswer("", "", "", repr(line))
    return ImapAnswer(found[1].upper(), (found[2] or "").upper(), found[3] or "", found[4])


def imap_capabilities(e: Endpoint, *, tls: Tls = "none") -> ImapCapabilities:
    """What does it offer, before TLS ("none") or after it, and does it take passwords there?"""
    with Imap(e, tls) as imap:
        lines = [line.text.upper().split() for line in imap.grant("CAPABILITY")]
        words = [word.decode() for line in lines if line[1:2] == [b"CAPABILITY"] for word in line[2:]]
        return ImapCapabilities(imap.greeting, frozenset(words))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over ManageSieve (RFC 5804)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .base import Conversation, Endpoint, ProbeError, Tls, unquoted

_STRING = r'"(?:\\.|[^"\\])*"'
_WORD = re.compile(rf"{_STRING}|\{{\d+\+?\}}|[^\s\"{{]+")
_END = re.compile(rf"(OK|NO|BYE)(?: \(((?:{_STRING}|[^\")])*)\))?(?: (.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class SieveAnswer:
    """How a command ended: OK, NO or BYE, the response code, such as QUOTA/MAXSIZE, or nothing, and the text."""

    status: str
    code: str
    text: str

    def __str__(self) -> str:
        return " ".join(filter(None, [self.status, self.code and f"({self.code})", self.text]))

    @property
    def ok(self) -> bool:
        """Whether it was granted."""
        return self.status == "OK"


class SieveRefused(ProbeError):
    """What had to be granted before the question could be put was refused: `answer` says how."""

    def __init__(self, endpoint: Endpoint, asked: str, answer: SieveAnswer) -> None:
        super().__init__(endpoint, asked, answer)
        self.answer = answer


class Sieve(Conversation):
    """A ManageSieve client that says what it is told and keeps every answer."""

    GOODBYE = b"LOGOUT"
    capabilities: Mapping[str, str]

    def greet(self) -> None:
        """Read the capabilities, which are the greeting."""
        answer, lines = self.answer()
        if not answer.ok:
            raise SieveRefused(self.endpoint, self.asked, answer)
        self.capabilities = {name.upper(): value for name, value in (([*line, ""])[:2] for line in lines)}

    def answer(self) -> tuple[SieveAnswer, list[list[str]]]:
        """How a command ended, and the lines before that, each as the strings and words in it."""
        lines: list[list[str]] = []
        while True:
            line, literals = self.logical_line()
            text = line.decode("utf-8", "replace")
            if end := ended(text, literals):
                return end, lines
            lines.append(words(text, literals))

    def command(self, line: str, asked: str = "") -> tuple[SieveAnswer, list[list[str]]]:
        """The answer to one command."""
        self.send(line.encode() + b"\r\n", asked or line)
        return self.answer()

    def starttls(self) -> None:
        """Put TLS on, after which the server states its capabilities again."""
        answer = self.command("STARTTLS")[0]
        if not answer.ok:
            raise SieveRefused(self.endpoint, self.asked, answer)
        self.secure()
        self.greet()


def words(text: str, literals: list[bytes]) -> list[str]:
    """The strings and words in a line of the server's; each `{size}` stands for a literal."""
    rest = iter(literals)
    found = _WORD.findall(text)
    return [next(rest).decode("utf-8", "replace") if word.startswith("{") else unquoted(word) for word in found]


def ended(text: str, literals: list[bytes]) -> SieveAnswer | None:
    """The answer, if this line ends one."""
    found = _END.fullmatch(text)
    return found and SieveAnswer(found[1].upper(), found[2] or "", " ".join(words(found[3] or "", literals)))


def sieve_capabilities(e: Endpoint, *, tls: Tls = "none") -> Mapping[str, str]:
    """What does it greet with, before TLS ("none") or after it? IMPLEMENTATION, SASL, SIEVE..., each with its value."""
    with Sieve(e, tls) as sieve:
        return sieve.capabilities

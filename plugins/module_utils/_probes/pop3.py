# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over POP3 (RFC 1939)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .base import Conversation, Endpoint, ProbeError, Tls, keywords


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


def pop3_capabilities(e: Endpoint, *, tls: Tls = "none") -> Mapping[str, str]:
    """What does it offer (RFC 2449), before TLS ("none") or after it? Each capability with its arguments."""
    with Pop3(e, tls) as pop3:
        return keywords(line.decode("utf-8", "replace") for line in pop3.lines("CAPA"))

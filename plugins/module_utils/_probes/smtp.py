# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over SMTP (RFC 5321) and LMTP (RFC 2033)."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from .base import Conversation, Endpoint, ProbeError, Tls, keywords

HELO = "probe.example.net"

Login = tuple[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer: its code, and its text with the enhanced status code and one line for each line."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @property
    def ok(self) -> bool:
        """Whether this is a 2xx answer."""
        return 200 <= self.code < 300

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), such as 5.1.1, or nothing."""
        found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)", self.text)
        return found[0] if found else ""


class SmtpRefused(ProbeError):
    """What had to be granted before the question could be put was refused: `reply` says how."""

    def __init__(self, endpoint: Endpoint, asked: str, reply: Reply) -> None:
        super().__init__(endpoint, asked, reply)
        self.reply = reply


@dataclass(frozen=True)
class Hello:
    """The answer to EHLO or LHLO: each capability with its arguments."""

    reply: Reply
    capabilities: Mapping[str, str]

    @property
    def auth(self) -> frozenset[str]:
        """The mechanisms of AUTH that are offered (RFC 4954)."""
        return frozenset(self.capabilities.get("AUTH", "").split())

    @property
    def size(self) -> int | None:
        """The largest message in bytes (RFC 1870); None where nothing is said, 0 for no limit."""
        declared = self.capabilities.get("SIZE")
        return None if declared is None else int(declared or 0)


@dataclass(frozen=True)
class Transaction:
    """A mail transaction: the answer to MAIL FROM, to each RCPT TO, and at the end for each recipient.

    A step that was refused for all is the answer to each recipient; `data` is empty where no message
    was to be sent. SMTP gives one last answer for all recipients, LMTP one for each.
    """

    mail: Reply
    rcpt: Mapping[str, Reply]
    data: Mapping[str, Reply] = field(default_factory=dict)

    @property
    def answers(self) -> Mapping[str, Reply]:
        """The last answer that concerns each recipient."""
        return {**self.rcpt, **self.data}

    @property
    def accepted(self) -> tuple[str, ...]:
        """The recipients that were not refused."""
        return tuple(recipient for recipient, reply in self.answers.items() if reply.ok)

    @property
    def refused(self) -> Mapping[str, Reply]:
        """The recipients that were refused, and how."""
        return {recipient: reply for recipient, reply in self.answers.items() if not reply.ok}

    @property
    def queue_id(self) -> str:
        """The name under which Postfix queued the message, or nothing."""
        found = [queue_id for reply in self.data.values() for queue_id in re.findall(r"queued as (\w+)", reply.text)]
        return found[-1] if found else ""


class Smtp(Conversation):
    """An SMTP client that says what it is told and keeps every answer."""

    GOODBYE = b"QUIT"
    HELLO: ClassVar[str] = "EHLO"
    greeting: Reply
    offers: Hello

    def __init__(
        self, endpoint: Endpoint, tls: Tls = "none", context: ssl.SSLContext | None = None, helo: str = HELO
    ) -> None:
        self.helo = helo
        super().__init__(endpoint, tls, context)

    def greet(self) -> None:
        """Read the greeting, whatever it says."""
        self.greeting = self.reply()

    def reply(self) -> Reply:
        """The next answer."""
        lines = []
        while True:
            line = self.line().decode("utf-8", "replace")
            found = re.fullmatch(r"(\d{3})(?:([ -])(.*))?", line)
            if not found:
                raise self.broken(f"not an SMTP reply: {line!r}")
            lines.append(found[3] or "")
            if found[2] != "-":
                return Reply(int(found[1]), "\n".join(lines))

    def command(self, line: str, asked: str = "") -> Reply:
        """The answer to one line; raises SmtpRefused where the server hangs up with 421."""
        self.send(line.encode() + b"\r\n", asked or line)
        reply = self.reply()
        if reply.code == 421:
            raise SmtpRefused(self.endpoint, self.asked, reply)
        return reply

    def need(self, code: int, reply: Reply) -> None:
        """Go on only with this code."""
        if reply.code != code:
            raise SmtpRefused(self.endpoint, self.asked, reply)

    def hello(self) -> Hello:
        """Introduce ourselves."""
        self.need(220, self.greeting)
        reply = self.command(f"{self.HELLO} {self.helo}")
        self.offers = Hello(reply, keywords(reply.text.split("\n")[1:] if reply.ok else []))
        return self.offers

    def starttls(self) -> None:
        """Put TLS on (RFC 3207)."""
        self.hello()
        self.need(220, self.command("STARTTLS"))
        self.secure()

    def login(self, user: str, password: str, mechanism: Literal["PLAIN", "LOGIN"] = "PLAIN") -> Reply:
        """The answer to AUTH (RFC 4954), whether it was offered or not."""
        lines = [f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}"]
        if mechanism == "LOGIN":
            lines = ["AUTH LOGIN", _base64(user), _base64(password)]
        for line in lines:
            reply = self.command(line, f"AUTH {mechanism}")
            if reply.code != 334:
                break
        return reply

    def envelope(self, sender: str, recipients: Sequence[str], *parameters: str) -> Transaction:
        """The answers to MAIL FROM and RCPT TO."""
        mail = self.command(" ".join([f"MAIL FROM:<{sender}>", *parameters]))
        rcpt = {}
        for recipient in dict.fromkeys(recipients):
            rcpt[recipient] = self.command(f"RCPT TO:<{recipient}>") if mail.ok else mail
        return Transaction(mail, rcpt)


class Lmtp(Smtp):
    """The same for LMTP."""

    HELLO = "LHLO"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


@contextmanager
def session(e: Endpoint, tls: Tls, helo: str, login: Login | None = None, client: type[Smtp] = Smtp) -> Iterator[Smtp]:
    """A connection that has introduced itself and, where told, logged in; raises SmtpRefused where that is refused."""
    with client(e, tls, helo=helo) as smtp:
        smtp.hello()
        if login:
            smtp.need(235, smtp.login(*login))
        yield smtp


def smtp_greeting(e: Endpoint, *, tls: Tls = "none") -> Reply:
    """What does the server say first? 220, or 421 and 554 where it will not talk."""
    with Smtp(e, tls) as smtp:
        return smtp.greeting


def smtp_ehlo(e: Endpoint, *, tls: Tls = "none", helo: str = HELO) -> Hello:
    """What does it offer, before TLS ("none") or after it ("starttls", "implicit")?"""
    with session(e, tls, helo) as smtp:
        return smtp.offers


def smtp_rcpt(
    e: Endpoint,
    sender: str,
    recipients: Sequence[str],
    *,
    size: int | None = None,
    tls: Tls = "none",
    login: Login | None = None,
    helo: str = HELO,
) -> Transaction:
    """Would it take a message from this envelope sender ("" for the null sender) to each of these? Sends none.

    size   declared size of the message in bytes (RFC 1870)
    login  user and password; raises SmtpRefused where they are refused
    """
    with session(e, tls, helo, login) as smtp:
        return _rcpt(smtp, sender, recipients, size)


def lmtp_rcpt(e: Endpoint, sender: str, recipients: Sequence[str], *, tls: Tls = "none") -> Transaction:
    """The same over LMTP (RFC 2033), where a Unix socket may be the endpoint; Dovecot knows no SIZE there."""
    with session(e, tls, HELO, client=Lmtp) as lmtp:
        return _rcpt(lmtp, sender, recipients, None)


def _rcpt(smtp: Smtp, sender: str, recipients: Sequence[str], size: int | None) -> Transaction:
    transaction = smtp.envelope(sender, recipients, *([] if size is None else [f"SIZE={size}"]))
    smtp.command("RSET")
    return transaction

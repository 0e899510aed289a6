# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report says, whatever its format, and what every value in one has to be: strangers write reports.

Anybody can send a report, and nobody signs for what is in it. So each text is short and printable, each number has a
limit, and a report that breaks a rule is refused as a whole, in one sentence.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import re
import typing as t

NAME = 80  # characters of a name that are kept
NUMBER = 1000  # characters of a report's number
_DOMAIN_LONGEST = 254  # characters, with the last dot
_MOST = 10**12  # messages or sessions of one report
_LONGEST = 32 * 86400  # seconds that one report may be about
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")


class Broken(Exception):
    """A message or a report in it cannot be used; the text says why in a few words."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Who reports, under which number, from when on (seconds since 1970), and for which month (such as 2026-11)."""

    reporter: str
    number: str
    begin: float
    month: str


@dataclasses.dataclass(frozen=True)
class Source:
    """Mail of one address that was judged alike. dkim, spf: whether that passed, aligned with the domain in From."""

    address: str
    dkim: bool
    spf: bool
    disposition: str  # none, quarantine, reject or other: what became of it
    claims: tuple[str, ...]  # domains for which it was signed, or that its envelope named

    @property
    def passed(self) -> bool:
        return self.dkim or self.spf


@dataclasses.dataclass(frozen=True)
class DmarcReport(Report):
    """An aggregate report: how many messages came from which source."""

    domain: str
    sources: dict[Source, int]


@dataclasses.dataclass(frozen=True)
class Failure:
    """Sessions that failed alike."""

    kind: str  # such as certificate-expired
    receiver: str  # the host that was asked, or ""
    sessions: int


@dataclasses.dataclass(frozen=True)
class TlsPolicy:
    """How sessions went to a domain under one policy."""

    domain: str
    kind: str  # sts, tlsa, no-policy-found or other
    successful: int
    failed: int
    failures: tuple[Failure, ...]


@dataclasses.dataclass(frozen=True)
class TlsReport(Report):
    domain: str  # for which the message says that it reports, or ""
    policies: tuple[TlsPolicy, ...]


def shown(value: object, most: int = NAME) -> str:
    """Return text for a terminal or a file: on one line, printable, not long."""
    text = str(value)[: 10 * most]
    text = " ".join("".join(letter if letter.isprintable() else "?" for letter in text).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def text(value: object, what: str, most: int = NAME) -> str:
    """Return a text that has to be there."""
    if not isinstance(value, str) or not (found := shown(value, most)):
        raise Broken(f"has no {what}")
    return found


def domain(value: object, what: str) -> str:
    """Return a domain as the site's variables have it: in lower case, without the last dot, in ASCII."""
    found = text(value, what, _DOMAIN_LONGEST).rstrip(".").lower()
    if not found.isascii():
        try:
            found = found.encode("idna").decode("ascii")
        except UnicodeError:
            raise Broken(f"has no domain as {what}") from None
    if not _DOMAIN.fullmatch(found):
        raise Broken(f"has no domain as {what}")
    return found


def address(value: object) -> str:
    """Return an IP address in its usual form."""
    found = text(value, "source address")
    try:
        if "%" in found:
            raise ValueError
        parsed: t.Any = ipaddress.ip_address(found)
    except ValueError:
        raise Broken("has a source that is no IP address") from None
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def count(value: object, what: str) -> int:
    """Return a whole number from zero on; some reporters write it as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,13}\s*", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise Broken(f"has no number as {what}")
    return value


def month(begin: float, end: float) -> str:
    """Return the month in which the middle of a time lies: days begin elsewhere at another hour."""
    if not 0 < begin <= end <= begin + _LONGEST:
        raise Broken("has a time that cannot be")
    try:
        middle = datetime.datetime.fromtimestamp((begin + end) / 2, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        raise Broken("has a time that cannot be") from None
    return f"{middle:%Y-%m}"

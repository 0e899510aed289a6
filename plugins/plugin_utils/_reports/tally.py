# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of some months, added up by month and domain; what was left out is counted, and named where it is broken."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import typing as t
from collections.abc import Collection, Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._reports import dmarc_xml, tls_json, unpack
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import (
    Broken,
    DmarcReport,
    Source,
    TlsPolicy,
    TlsReport,
    shown,
)

_MOST_BROKEN = 50  # messages that are named
_MOST = 50_000  # sources of all domains and months, and the same of reporters
_MOST_OF_ONE = 20  # domains that a source claims, and kinds of failures of a reporter
OTHERS = "others"  # all beyond these, together


@dataclasses.dataclass
class Sender:
    """What came from one address in a month. passed: messages with DKIM or SPF, aligned."""

    address: str
    own: bool
    messages: int = 0
    dkim: int = 0
    spf: int = 0
    passed: int = 0
    quarantined: int = 0
    rejected: int = 0
    claims: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def failed(self) -> int:
        return self.messages - self.passed

    def add(self, source: Source, messages: int) -> None:
        self.messages += messages
        self.dkim += messages * source.dkim
        self.spf += messages * source.spf
        self.passed += messages * source.passed
        self.quarantined += messages * (source.disposition == "quarantine")
        self.rejected += messages * (source.disposition == "reject")
        for claim in source.claims:
            if claim in self.claims or len(self.claims) < _MOST_OF_ONE:
                self.claims[claim] += messages


@dataclasses.dataclass
class Sessions:
    """TLS sessions of one reporter under one kind of policy."""

    reporter: str
    policy: str
    successful: int = 0
    failed: int = 0
    failures: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class Domain:
    """What was reported on a domain of the site in one month."""

    reporters: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)  # of DMARC
    senders: dict[str, Sender] = dataclasses.field(default_factory=dict)
    sessions: dict[tuple[str, str], Sessions] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class LeftOut:
    """How much was left out, and why."""

    foreign: int = 0  # reports on domains that are not the site's
    duplicates: int = 0
    other_months: int = 0
    without_report: int = 0  # messages
    too_large: int = 0
    too_many: int = 0
    no_time: int = 0


class Tally:
    """domains: the site's. own: its addresses. months: those that count, such as 2026-11."""

    def __init__(self, domains: Iterable[str], own: Collection[str], months: Collection[str]) -> None:
        self._domains = frozenset(map(str, domains))
        self._own = own
        self.months: dict[str, dict[str, Domain]] = {month: {} for month in sorted(months)}
        self._seen: set[bytes] = set()
        self._documents: set[str] = set()
        self._named = {"sources": 0, "reporters": 0}  # how many, of all domains and months
        self.read = 0  # reports that count
        self.left_out = LeftOut()
        self.broken: list[tuple[str, str]] = []  # which message, why
        self.more_broken = 0

    def add(self, name: str, content: bytes) -> None:
        """Add the reports in a message or a file; name: what an administrator finds it by."""
        try:
            found = unpack.documents(content, name)
        except Broken as broken:
            self.note(name, str(broken))
            return
        if not found:
            self.left_out.without_report += 1
        for document in found:
            digest = hashlib.sha256(document.content).hexdigest()
            if digest in self._documents:  # an alias has brought it into several mailboxes
                self.left_out.duplicates += 1
                continue
            self._documents.add(digest)
            try:
                if document.kind == "xml":
                    self._add_dmarc(dmarc_xml.read(document.content))
                else:
                    self._add_tls(tls_json.read(document.content, document.about))
            except Broken as broken:
                self.note(name, str(broken))

    def note(self, name: str, why: str) -> None:
        """Note a message that cannot be used."""
        if len(self.broken) < _MOST_BROKEN:
            self.broken.append((shown(name, 120), why))
        else:
            self.more_broken += 1

    def _ours(self, domain: str) -> str:
        """Return the site's domain which this one is, or below which it is; nothing for a foreign one."""
        labels = domain.split(".")
        names = (".".join(labels[start:]) for start in range(len(labels)))
        return next((name for name in names if name in self._domains), "")

    def _counts(self, report: DmarcReport | TlsReport, *domains: str) -> bool:
        if report.month not in self.months:
            self.left_out.other_months += 1
            return False
        # Some give every day's report the same number, and others the reports on several domains.
        said = (type(report).__name__, report.reporter.lower(), report.number, f"{report.begin:.0f}", *domains)
        key = hashlib.sha256("\0".join(said).encode()).digest()
        if key in self._seen:
            self.left_out.duplicates += 1
            return False
        self._seen.add(key)
        self.read += 1
        return True

    def _domain(self, month: str, name: str) -> Domain:
        return self.months[month].setdefault(name, Domain())

    def _add_dmarc(self, report: DmarcReport) -> None:
        name = self._ours(report.domain)
        if not name:
            self.left_out.foreign += 1
            return
        if not self._counts(report, report.domain):
            return
        domain = self._domain(report.month, name)
        reporter = report.reporter
        if reporter not in domain.reporters and not self._room("reporters"):
            reporter = OTHERS
        domain.reporters[reporter] += sum(report.sources.values())
        for source, messages in report.sources.items():
            address = source.address
            if address not in domain.senders and address not in self._own and not self._room("sources"):
                address = OTHERS
            domain.senders.setdefault(address, Sender(address, address in self._own)).add(source, messages)

    def _room(self, what: str) -> bool:
        """Tell whether one more has a place: strangers can make up more of them than memory holds."""
        self._named[what] += 1
        return self._named[what] <= _MOST

    def _add_tls(self, report: TlsReport) -> None:
        policies = [(name, policy) for policy in report.policies if (name := self._reported(report, policy))]
        if not policies:
            self.left_out.foreign += 1
            return
        if self._counts(report, *sorted({policy.domain for _name, policy in policies})):
            for name, policy in policies:
                self._add_policy(self._domain(report.month, name), report.reporter, policy)

    def _reported(self, report: TlsReport, policy: TlsPolicy) -> str:
        """Return the site's domain to which a policy belongs; DANE is about a host, and its domain may be foreign."""
        return self._ours(policy.domain) or (self._ours(report.domain) if policy.kind == "tlsa" else "")

    def _add_policy(self, domain: Domain, reporter: str, policy: TlsPolicy) -> None:
        key = (reporter, policy.kind)
        if key not in domain.sessions and not self._room("reporters"):
            key = (OTHERS, policy.kind)
        sessions = domain.sessions.setdefault(key, Sessions(*key))
        sessions.successful += policy.successful
        sessions.failed += policy.failed
        for failure in policy.failures:
            kind = (failure.kind, failure.receiver)
            known = kind in sessions.failures or len(sessions.failures) < _MOST_OF_ONE
            sessions.failures[kind if known else (OTHERS, "")] += failure.sessions

    def data(self) -> dict[str, t.Any]:
        """Return all of it as plain data."""
        return {
            "months": {
                month: {name: _plain(domain) for name, domain in sorted(domains.items())}
                for month, domains in self.months.items()
            },
            "reports": self.read,
            "left_out": dataclasses.asdict(self.left_out),
            "broken": [{"message": name, "why": why} for name, why in self.broken],
            "more_broken": self.more_broken,
        }


def _plain(domain: Domain) -> dict[str, t.Any]:
    return {
        "dmarc": {
            "reporters": dict(domain.reporters.most_common()),
            "sources": [
                {
                    "address": one.address, "own": one.own, "messages": one.messages, "dkim_pass": one.dkim,
                    "spf_pass": one.spf, "passed": one.passed, "failed": one.failed, "quarantined": one.quarantined,
                    "rejected": one.rejected, "domains": [name for name, _count in one.claims.most_common(10)],
                }
                for one in in_order(domain.senders.values())
            ],
        },
        "tls": [
            {
                "reporter": one.reporter, "policy": one.policy, "successful": one.successful, "failed": one.failed,
                "failures": [
                    {"type": kind, "receiver": receiver, "sessions": count}
                    for (kind, receiver), count in one.failures.most_common()
                ],
            }
            for one in worst_first(domain.sessions.values())
        ],
    }  # fmt: skip


def in_order(senders: Iterable[Sender]) -> list[Sender]:
    """Return unknown sources first, and of each kind those first of which most messages failed."""
    return sorted(senders, key=lambda one: (one.own, -one.failed, -one.messages, one.address))


def worst_first(sessions: Iterable[Sessions]) -> list[Sessions]:
    return sorted(sessions, key=lambda one: (-one.failed, -one.successful, one.reporter, one.policy))

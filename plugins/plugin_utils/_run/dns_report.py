# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site's records, compared with the DNS: as data, as a table for people, and as one sentence for who must stop."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import typing as t
from collections.abc import Iterable, Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import is_private, published
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_compare, dns_reverse, dns_tlsa
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Questions
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Finding, Row, quoted
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_text import Needs

_WORDS = {
    "missing": ("is missing", "are missing"),
    "different": ("is different", "are different"),
    "unknown": ("could not be looked up", "could not be looked up"),
    "right": ("is right", "are right"),
}
_MOST_NAMED = 10
_REVERSE = "Names of addresses (PTR): whoever gave you the address sets them"


@dataclasses.dataclass(frozen=True)
class Part:
    """One domain, or the addresses of the site."""

    title: str
    rows: list[Row]
    findings: list[Finding]

    @property
    def counts(self) -> bool:
        return any(row.counts for row in self.rows) or any(finding.serious for finding in self.findings)


@dataclasses.dataclass(frozen=True)
class Report:
    domains: list[Part]
    addresses: Part
    findings: list[Finding] = dataclasses.field(default_factory=list)  # on hosts, whose names may be in no domain

    @property
    def parts(self) -> list[Part]:
        return [*self.domains, self.addresses]

    @property
    def all_findings(self) -> list[Finding]:
        return [*(finding for part in self.domains for finding in part.findings), *self.findings]

    def data(self) -> dict[str, t.Any]:
        """Return all of it as plain data."""
        return {
            "domains": {
                part.title: {
                    "records": [dataclasses.asdict(row) | {"found": list(row.found)} for row in part.rows],
                    "findings": [dataclasses.asdict(finding) for finding in part.findings],
                }
                for part in self.domains
            },
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "addresses": [dataclasses.asdict(row) | {"found": list(row.found)} for row in self.addresses.rows],
        }


def gather(site: Site, questions: Questions) -> Report:
    """Ask what the site needs, and compare."""
    records = {str(domain): zone.records(site, domain) for domain in site.domains}
    addresses = dns_reverse.wanted(site)
    first = [pair for found in records.values() for pair in dns_compare.questions(found)]
    questions.fetch([*first, *dns_reverse.questions(addresses), *dns_tlsa.questions(site)])
    needs = _needs(site)
    exchangers = [str(host.name) for host in site.hosts_with("mail_mx")]

    def compared(domain: str) -> Part:
        rows, findings = dns_compare.compare(records[domain], needs, exchangers, questions.answer)
        return Part(domain, rows, list(dict.fromkeys(findings)))

    general = dns_tlsa.findings(site, questions.answer)
    rows = [dns_reverse.compare(record, questions.answer) for record in addresses]
    return Report(questions.each(compared, map(str, site.domains)), Part(_REVERSE, rows, []), general)


def _needs(site: Site) -> Needs:
    relayed = site.of(Relay).mail_relayhost is not None
    found = [address for host in site.senders for address in published(host)]
    senders = [] if relayed else [address for address in found if not is_private(address)]
    return Needs(tuple(senders), tuple(site.of(Variables).mail_spf_includes))


# ---- for people


def table(report: Report) -> str:
    """Return what people read: what is to be done first, and what is right as a number."""
    lines = [_summary([row for part in report.parts for row in part.rows])]
    sentences = list(dict.fromkeys(report.all_findings))
    for title, serious in (("What is wrong:", True), ("To be considered:", False)):
        found = [finding.text for finding in sentences if finding.serious == serious]
        lines += ["", title, *(f"  - {text}" for text in found)] if found else []
    right = []
    for part in sorted(report.parts, key=lambda part: not part.counts):
        if all(row.status == "right" for row in part.rows):
            right += [part.title] if part.rows and part is not report.addresses else []
            continue
        lines += ["", part.title, *_rows(part.rows)]
    if right:
        lines += ["", f"All records are right: {', '.join(right)}"]
    return "\n".join(lines)


def _summary(rows: Iterable[Row]) -> str:
    count = collections.Counter("may stay" if row.harmless else row.status for row in rows)
    said = [f"{count[word]} {_WORDS[word][count[word] != 1]}" for word in _WORDS if count[word]]
    said += [f"{count['may stay']} of your own may stay"] if count["may stay"] else []
    return "DNS records of the site: " + (", ".join(said) or "none")


def _rows(rows: list[Row]) -> Iterator[str]:
    order = list(_WORDS)
    listed = [row for row in rows if row.status != "right"]
    listed.sort(key=lambda row: (row.harmless, order.index(row.status)))
    width = max(len(row.owner) for row in listed)
    for row, following in itertools.zip_longest(listed, listed[1:]):
        yield f"  {'may stay' if row.harmless else row.status:<9}  {row.owner:<{width}}  {row.kind:<4}  {row.data}"
        below = " " * 13
        if row.found:
            yield f"{below}the DNS has: {', '.join(map(quoted, row.found[:5]))}{', ...' if len(row.found) > 5 else ''}"
        if row.note and (row.found or following is None or following.note != row.note):  # the same is said once
            yield f"{below}{row.note}"
    count = len(rows) - len(listed)
    if count:
        yield f"  right      {count} more record{'s' if count > 1 else ''}"


# ---- for who must stop


def refusal(report: Report) -> str:
    """Return one sentence that counts and names what is not right; nothing where all is."""
    said = []
    for status in ("missing", "different", "unknown"):
        rows = [row for part in report.parts for row in part.rows if row.counts and row.status == status]
        if rows:
            names = [f"{row.owner} {row.kind}" for row in rows]
            said.append(f"{len(rows)} {_WORDS[status][len(rows) != 1]} ({_some(names)})")
    wrong = list(dict.fromkeys(one.text for one in report.all_findings if one.serious))
    if wrong:
        count = f"{len(wrong)} things are" if len(wrong) > 1 else "1 thing is"
        said.append(f"{count} wrong ({_some(wrong, '; ')})")
    return f"dns_strict: of the site's DNS records, {'; '.join(said)}" if said else ""


def _some(texts: list[str], between: str = ", ") -> str:
    texts = list(dict.fromkeys(texts))
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return between.join(texts[:_MOST_NAMED]) + more

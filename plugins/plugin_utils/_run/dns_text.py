# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts (TXT): SPF, DMARC, DKIM and others are compared by what they mean."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, joined
from ansible_collections.postamt.mail.plugins.plugin_utils._model import dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_answers, dns_dmarc, spf
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Finding, Row, row, unknown

Found = tuple[Row, list[Finding]]
# Of these texts a name has one: of two, servers take none
TITLES = {"spf": "an SPF", "dmarc": "a DMARC", "dkim": "a DKIM", "tlsrptv1": "a TLS-report",
          "stsv1": "an MTA-STS"}  # fmt: skip
# What a tag of DKIM means that is not there (RFC 6376, 3.6.1); v only says itself, n is for people
_DKIM_DEFAULTS = {"k": "rsa", "s": "*"}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What an SPF record of the site has to come to: addresses that may send, and names that it includes."""

    addresses: tuple[str, ...]
    includes: tuple[str, ...]


def purpose(owner: str, text: str) -> str:
    """Return what a text is for; of one purpose a name has one text."""
    text = dns_answers.meant(text)
    if spf.is_spf(text):
        return "spf"
    if owner.startswith(dns_dmarc.PREFIX) and dns_dmarc.is_dmarc(text):
        return "dmarc"
    if "._domainkey." in owner:
        return "dkim"
    word = re.match(r"v\s*=\s*([A-Za-z0-9]+)", text)
    return word[1].lower() if word else text


def compare(record: Record, answer: Answer, needs: Needs, ask: spf.Ask) -> Found:
    """Compare a text with those of its name."""
    if answer.status == "unknown":
        return unknown(record, answer), []
    ours = joined(record)
    what = purpose(record.owner, ours)
    there = [text for text in answer.values if purpose(record.owner, text) == what]
    stray = [text for text in answer.values if what == "dmarc" and "dmarc1" in text.lower()]
    if stray and not there:
        return row(record, "different", stray, "a DMARC record begins in another way: v=DMARC1; p=..."), []
    if not there:
        above = dns_dmarc.inherited(record.owner, ours, ask) if what == "dmarc" else ""
        return row(record, "missing"), [Finding(above)] if above else []
    if len(there) > 1 and what in TITLES:
        title = TITLES[what].split()[1]
        sentence = f"{record.owner} has {len(there)} {title} records, and servers take none of them: leave one"
        return row(record, "different", there), [Finding(sentence)]
    judge = {"spf": _spf, "dmarc": _dmarc, "dkim": _dkim}.get(what, _plain)
    verdicts = [judge(record, ours, text, needs, ask) for text in there]
    return next((found for found in verdicts if found[0].status == "right"), verdicts[0])


def _plain(record: Record, ours: str, theirs: str, _needs: Needs, _ask: spf.Ask) -> Found:
    same = dns_dmarc.tags(ours) == dns_dmarc.tags(theirs)
    return row(record, "right") if same else row(record, "different", [theirs]), []


def _spf(record: Record, ours: str, theirs: str, needs: Needs, ask: spf.Ask) -> Found:
    walk = spf.Walk(record.owner, theirs, ask)
    findings = [Finding(sentence) for sentence in _about_spf(record.owner, theirs, walk)]
    end = spf.end(theirs)
    if end == "?all" and spf.end(ours) != "?all":
        text = f"the SPF record of {record.owner} leaves open who may send (?all): end it in -all or ~all"
        findings.append(Finding(text, serious=False))
    if spf.same(ours, theirs):
        return row(record, "right"), findings
    if walk.wrong:
        return row(record, "different", [theirs], "servers take it for no valid record"), findings
    said = {one: walk.policy.says(one) for one in needs.addresses}
    lacking = [one for one in said if said[one] not in ("pass", "unclear")]
    left_out = [name for name in needs.includes if name.lower() not in walk.names]
    if (lacking or left_out) and walk.unknown:
        return row(record, "unknown", [theirs], f"it could not be followed: {walk.unknown}"), findings
    if lacking or (left_out and not walk.macros):
        who = " and ".join([*lacking, *(f"include:{name}" for name in left_out)])
        return row(record, "different", [theirs], f"it does not let the site's mail be sent by {who}"), findings
    if left_out or "unclear" in said.values():
        return row(record, "unknown", [theirs], "whom it lets send depends on the message (macros, ptr)"), findings
    if any(finding.serious for finding in findings):
        return row(record, "different", [theirs]), findings
    return row(record, "different", [theirs], "it lets the site send, and may stay", harmless=True), findings


def _about_spf(owner: str, text: str, walk: spf.Walk) -> Iterable[str]:
    if spf.end(text) in ("+all", "all"):
        yield f"the SPF record of {owner} lets everybody send mail in its name (+all): end it in -all or ~all"
    elif walk.policy.everybody:
        yield f"the SPF record of {owner} lets everybody send mail in its name, by a network or by what it includes"
    if walk.lookups > spf.MOST_LOOKUPS or walk.cut:
        count = "too many" if walk.cut else walk.lookups
        yield (
            f"the SPF record of {owner} needs {count} look-ups, and servers give up after {spf.MOST_LOOKUPS}: include "
            "fewer names"
        )
    if walk.cut:
        return  # what else was seen is a part of too much
    if walk.void > spf.MOST_VOID:
        yield (
            f"the SPF record of {owner} names {walk.void} names that give nothing, and servers give up after "
            f"{spf.MOST_VOID}: take them out"
        )
    yield from walk.wrong


def _dmarc(record: Record, ours: str, theirs: str, _needs: Needs, _ask: spf.Ask) -> Found:
    said, wanted = dns_dmarc.tags(theirs), dns_dmarc.tags(ours)
    policy = said.get("p", "").lower()
    if policy not in dns_dmarc.POLICIES:
        what = f"p={policy[:40]}" if policy else "no p="
        text = f"{record.owner} has a DMARC record with {what}: p must be none, quarantine or reject"
        return row(record, "different", [theirs]), [Finding(text)]
    if said | {"p": policy} == wanted:
        return row(record, "right"), []
    weak = ", ".join(dns_dmarc.weaker(said, wanted))
    text = f"the DMARC record at {record.owner} does less than the site's variables say ({weak[:200]})"
    findings = [Finding(text, serious=False)] if weak else []
    return row(record, "different", [theirs], "it is valid, and may stay", harmless=True), findings


def _dkim(record: Record, ours: str, theirs: str, _needs: Needs, _ask: spf.Ask) -> Found:
    fault = dkim_keys.fault(ours, dns_answers.meant(theirs))
    if fault:
        return row(record, "different", [theirs], f"what the site signs does not pass: it {fault}"), []

    def rest(text: str) -> dict[str, str]:
        found = _DKIM_DEFAULTS | dict(dkim_keys.tags(dns_answers.meant(text)))
        return {name: value for name, value in found.items() if name not in ("v", "n")}

    if rest(theirs) == rest(ours):
        return row(record, "right"), []
    return row(record, "different", [theirs], "it has the right key, and other tags", harmless=True), []

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's records and what the DNS answers today: each record is right, different, missing, or nobody could say.

Compared is what records mean: names in any case, addresses in any spelling, sets in any order, and no TTL.
"""

from __future__ import annotations

import collections
import ipaddress
import re
from collections.abc import Iterable, Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_text
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Finding, Row, row, unknown
from ansible_collections.postamt.mail.plugins.plugin_utils._run.spf import Ask

_NO_SERVICE = "."
_KNOWN = ("issue", "issuewild", "issuemail", "iodef")  # to all CAs (RFC 8659, RFC 9495)


def questions(records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    """Yield what is asked to compare records."""
    for record in records:
        if record.kind == "CAA":
            yield from ((name, "CAA") for name in _upwards(record.owner))
        else:
            yield record.owner, record.kind


def compare(
    records: Iterable[Record], needs: dns_text.Needs, hosts: Iterable[str], ask: Ask
) -> tuple[list[Row], list[Finding]]:
    """Return what is said of each record of a domain, and what else is there. hosts: the names of the site's hosts."""
    sets: dict[tuple[str, str], list[Record]] = collections.defaultdict(list)
    for record in records:
        sets[record.owner, record.kind].append(record)
    rows, findings = [], []
    for (owner, kind), wanted in sets.items():
        answer = ask(owner, kind)
        if kind == "TXT":
            found = [dns_text.compare(record, answer, needs, ask) for record in wanted]
            rows += [one for one, _more in found]
            findings += [sentence for _one, more in found for sentence in more]
        elif kind == "CAA":
            rows += [_caa(record, ask) for record in wanted]
            findings += _critical(owner, ask)
        else:
            rows += _set(wanted, answer)
            findings += _beside(owner, kind, wanted, answer)
            if kind == "MX" and answer.status == "found":
                findings += _exchangers(owner, answer, set(hosts), ask)
    return rows, findings + _aliases(sets, ask)


def canonical(kind: str, data: str) -> str:
    """Return what a record's data comes to."""
    words = data.lower().split()
    try:
        if kind in ("A", "AAAA"):
            return str(ipaddress.ip_address(data))
        if kind == "MX":  # a preference says something only beside another
            return _name(words[1])
        if kind == "SRV":
            return f"{_name(words[3])} {int(words[2])}" if words[3] != _NO_SERVICE else _NO_SERVICE
        if kind == "TLSA":
            return exchangers.canonical(data)
    except (ValueError, IndexError):
        pass
    return " ".join(words)


def _name(text: str) -> str:
    return text.rstrip(".") or _NO_SERVICE


def _set(wanted: list[Record], answer: Answer) -> list[Row]:
    if answer.status == "unknown":
        return [unknown(record, answer) for record in wanted]
    there = {canonical(answer.kind, value) for value in answer.values}
    ours = {canonical(record.kind, record.data) for record in wanted}
    others = [value for value in answer.values if canonical(answer.kind, value) not in ours]
    return [
        row(record, "right")
        if canonical(record.kind, record.data) in there
        else row(record, "different" if others else "missing", others)
        for record in wanted
    ]


def _beside(owner: str, kind: str, wanted: list[Record], answer: Answer) -> Iterator[Finding]:
    """Yield what stands beside the site's own records, and leads away from its hosts."""
    ours = {canonical(kind, record.data) for record in wanted}
    others = [value for value in answer.values if canonical(kind, value) not in ours]
    if not others or len(others) == len(answer.values):
        return  # where none of ours is there, the row says so
    listed = ", ".join(value[:100] for value in others[:5]) + (", ..." if len(others) > 5 else "")
    if kind in ("A", "AAAA"):
        yield Finding(f"{owner} also has the {kind} record {listed}, which is no address of the site's host")
    elif kind == "SRV":
        yield Finding(f"{owner} also has the SRV record {listed}, which the site does not serve", serious=False)


def _exchangers(domain: str, answer: Answer, hosts: set[str], ask: Ask) -> Iterator[Finding]:
    """Yield what is wrong with the hosts that take a domain's mail."""
    for value in answer.values[:20]:
        target = canonical("MX", value)
        if target == _NO_SERVICE:
            yield Finding(f'{domain} has the MX record "0 .", which says that it takes no mail at all')
            continue
        if _is_address(target):
            yield Finding(f"the MX record of {domain} has the address {target}, where only a host's name may stand")
            continue
        if target not in hosts:
            yield Finding(f"the MX record of {domain} names {target}, which takes no mail for the site")
        answers = [ask(target, kind) for kind in ("A", "AAAA")]
        aliases = [one.alias for one in answers if one.alias]
        if aliases:
            yield Finding(
                f"the MX record of {domain} names {target}, which is an alias (CNAME) of {aliases[0]}: "
                "it must name a host that has addresses"
            )
        elif all(one.status == "none" for one in answers):
            yield Finding(f"the MX record of {domain} names {target}, which has no address")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _aliases(sets: Iterable[tuple[str, str]], ask: Ask) -> list[Finding]:
    """Return the names that are aliases, where the site needs records: beside a CNAME there is none."""
    found = {}
    for owner, kind in sets:
        alias = ask(owner, kind).alias
        if alias and not owner.startswith("_") and "._" not in owner:  # there an alias leads to a provider's record
            found[owner] = alias
    return [
        Finding(f"{owner} is an alias (CNAME) of {alias}, so it has no records of its own: give it records instead")
        for owner, alias in found.items()
    ]


def _upwards(name: str) -> Iterator[str]:
    """Yield a name and those above it, where a CA looks for CAA records (RFC 8659, 3)."""
    labels = name.split(".")
    yield from (".".join(labels[start:]) for start in range(len(labels) - 1))


def _caa(record: Record, ask: Ask) -> Row:
    """Say whether the CA of a record may issue: the nearest name that has CAA records decides."""
    authority = _issuers([record.data])
    for name in _upwards(record.owner):
        answer = ask(name, "CAA")
        if answer.status == "unknown":
            return unknown(record, answer)
        issuers = _issuers(answer.values)
        if issuers is None:
            if answer.values:
                break  # they restrict nothing, and end the search
            continue
        if authority is not None and authority <= issuers:
            return row(record, "right")
        where = "" if name == record.owner else f"at {name}: "
        note = "they forbid the CA that the site's certificates come from"
        return row(record, "different", [f"{where}{value}" for value in answer.values], note)
    return row(record, "missing")


def _critical(owner: str, ask: Ask) -> Iterator[Finding]:
    """Yield what no CA understands and each has to (RFC 8659, 4.1), at the name that decides."""
    decides = next((values for name in _upwards(owner) if (values := ask(name, "CAA").values)), ())
    for value in decides:
        flags, tag, *_rest = [*value.split(), "", ""]
        if flags.isdecimal() and int(flags) & 128 and tag.lower() not in _KNOWN:
            yield Finding(f"no CA issues a certificate for {owner}, since its CAA record {value[:100]} is critical")


def _issuers(values: Iterable[str]) -> set[str] | None:
    """Return the CAs that may issue, None where all may."""
    found = [re.fullmatch(r'\d+ issue "([^";]*).*"', value, re.IGNORECASE) for value in values]
    names = {one[1].strip().lower() for one in found if one}
    return names if any(found) else None

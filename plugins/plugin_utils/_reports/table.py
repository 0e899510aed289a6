# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of a month for people, in lines of at most 100 characters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import shown
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.tally import (
    Domain,
    Sender,
    Sessions,
    Tally,
    in_order,
    worst_first,
)

WIDTH = 100
_MOST = 20  # rows of one kind
_NAMED = 5  # reporters, and kinds of failures of one reporter
_LEFT_OUT = {
    "foreign": "reports on domains that are not the site's",
    "duplicates": "reports that came twice",
    "other_months": "reports on other months",
    "without_report": "messages without a report",
    "too_large": "messages that are too large",
    "too_many": "messages beyond the most that are read (reports_most)",
    "no_time": "messages, because the time for reading was over",
}


def table(tally: Tally) -> str:
    lines: list[str] = []
    for month, domains in tally.months.items():
        lines += [f"Month {month}" + ("" if domains else ": no reports"), ""]
        for name, domain in sorted(domains.items()):
            lines += [*_dmarc(name, domain), *_tls(name, domain)]
    return "\n".join(map(_cut, [*lines, *_rest(tally)])).rstrip()  # numbers, too, can be longer than their column


def _dmarc(name: str, domain: Domain) -> Iterator[str]:
    if not domain.reporters:
        return
    senders = in_order(domain.senders.values())
    total, passed = (sum(getattr(one, word) for one in senders) for word in ("messages", "passed"))
    yield f"DMARC, {name}: {_counted(total, 'message')}, {passed} passed, {total - passed} failed"
    yield from _wrapped("  reported by ", _reporters(domain))
    yield _row("source", "messages", "DKIM", "SPF", "failed", "quarantined", "rejected")
    for own, group in itertools.groupby(senders, key=lambda one: one.own):
        yield "  addresses of the site" if own else "  unknown sources"
        yield from _senders(list(group))
    yield ""


def _senders(senders: list[Sender]) -> Iterator[str]:
    for one in senders[:_MOST]:
        yield _sender(f"  {one.address}", [one])
        if one.failed and not one.own and one.claims:
            names = ", ".join(name for name, _count in one.claims.most_common(_NAMED))
            yield f"      signed or sent as {names}"
    if rest := senders[_MOST:]:
        yield _sender(f"  {len(rest)} more", rest)


def _sender(title: str, senders: list[Sender]) -> str:
    words = ("messages", "dkim", "spf", "failed", "quarantined", "rejected")
    return _row(title, *(str(sum(getattr(one, word) for one in senders)) for word in words))


def _row(title: str, *cells: str) -> str:
    widths = (9, 8, 8, 8, 12, 9)
    return f"  {title:<43}" + "".join(f" {cell:>{width - 1}}" for cell, width in zip(cells, widths, strict=True))


def _reporters(domain: Domain) -> str:
    names = [name for name, _count in domain.reporters.most_common()]
    more = f" and {len(names) - 2 * _NAMED} more" if len(names) > 2 * _NAMED else ""
    return ", ".join(names[: 2 * _NAMED]) + more


def _tls(name: str, domain: Domain) -> Iterator[str]:
    if not domain.sessions:
        return
    found = worst_first(domain.sessions.values())
    successful, failed = (sum(getattr(one, word) for one in found) for word in ("successful", "failed"))
    yield f"TLS, {name}: {_counted(successful + failed, 'session')}, {failed} failed"
    yield _session("reporter", "policy", "successful", "failed")
    for one in found[:_MOST]:
        yield _session(shown(one.reporter, 50), one.policy, str(one.successful), str(one.failed))
        yield from _failures(one)
    if rest := found[_MOST:]:
        sums = (str(sum(getattr(one, word) for one in rest)) for word in ("successful", "failed"))
        yield _session(f"{len(rest)} more", "", *sums)
    yield ""


def _failures(sessions: Sessions) -> Iterator[str]:
    for (kind, receiver), count in sessions.failures.most_common(_NAMED):
        yield (f"      {count} x {shown(kind, 40)}" + (f" at {receiver}" if receiver else ""))
    if more := sessions.failures.most_common()[_NAMED:]:
        yield f"      {sum(count for _kind, count in more)} x something else ({len(more)} kinds)"


def _session(reporter: str, policy: str, successful: str, failed: str) -> str:
    return f"  {reporter:<52}{policy:<18} {successful:>12} {failed:>12}"


def _rest(tally: Tally) -> Iterator[str]:
    yield f"{_counted(tally.read, 'report')} read"
    left = [(count, text) for word, text in _LEFT_OUT.items() if (count := getattr(tally.left_out, word))]
    if left:
        yield "Left out:"
        yield from (f"{count:>8}  {text}" for count, text in left)
    if tally.broken:
        yield "Could not be read:"
        for name, why in tally.broken:
            yield f"  {name}"
            yield f"    {why}"
    if tally.more_broken:
        yield f"  and {tally.more_broken} more"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _wrapped(head: str, text: str) -> Iterable[str]:
    line = head
    for word in text.split(" "):
        if len(line) + len(word) > WIDTH and line.strip() != head.strip():
            yield line.rstrip()
            line = "    "
        line += f"{word} "
    yield line.rstrip()

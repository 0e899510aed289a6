# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS reports (RFC 8460): JSON."""

from __future__ import annotations

import datetime
import json
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._reports import facts
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import Broken, Failure, TlsPolicy, TlsReport

_KINDS = ("sts", "tlsa", "no-policy-found")
_MOST = 1000  # policies of a report, and failures of a policy


def read(content: bytes, about: str = "") -> TlsReport:
    """Return what a report says, or raise Broken. about: the domain for which its message says that it reports."""
    try:
        said = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or numbers and lists beyond limits
        raise Broken("has JSON that cannot be read") from None
    if not isinstance(said, dict) or "policies" not in said:
        raise Broken("has JSON that is no TLS report")
    time = said.get("date-range")
    if not isinstance(time, Mapping):
        raise Broken("has no date-range")
    begin, end = (_seconds(time.get(f"{word}-datetime")) for word in ("start", "end"))
    return TlsReport(
        reporter=facts.text(said.get("organization-name") or said.get("contact-info"), "organization-name"),
        number=facts.text(said.get("report-id"), "report-id", facts.NUMBER),
        begin=begin,
        month=facts.month(begin, end),
        domain=about,
        policies=tuple(_policy(one, about) for one in _list(said["policies"], "policies")),
    )


def _refuse(_word: str) -> t.NoReturn:
    raise ValueError  # NaN, Infinity


def _seconds(value: object) -> float:
    try:
        found = datetime.datetime.fromisoformat(facts.text(value, "date-range"))
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Broken("has a time that cannot be") from None


def _list(value: object, what: str) -> Iterator[Mapping[str, t.Any]]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise Broken(f"has no list of at most {_MOST} as {what}")
    for one in value:
        if not isinstance(one, Mapping):
            raise Broken(f"has something else than mappings in {what}")
        yield one


def _policy(said: Mapping[str, t.Any], about: str) -> TlsPolicy:
    policy, summary = said.get("policy"), said.get("summary")
    if not isinstance(policy, Mapping) or not isinstance(summary, Mapping):
        raise Broken("has a policy without policy or summary")
    kind = policy.get("policy-type")
    return TlsPolicy(
        # Postfix leaves it out where it found no policy.
        domain=facts.domain(policy.get("policy-domain") or about, "policy-domain"),
        kind=kind if kind in _KINDS else "other",
        successful=facts.count(summary.get("total-successful-session-count"), "count of successful sessions"),
        # Some leave it out where nothing failed.
        failed=facts.count(summary.get("total-failure-session-count", 0), "count of failed sessions"),
        failures=tuple(_failure(one) for one in _list(said.get("failure-details") or [], "failure-details")),
    )


def _failure(said: Mapping[str, t.Any]) -> Failure:
    receiver = said.get("receiving-mx-hostname") or said.get("receiving-ip") or ""
    return Failure(
        facts.text(said.get("result-type"), "result-type"),
        facts.shown(receiver) if isinstance(receiver, str) else "",
        facts.count(said.get("failed-session-count"), "count of failed sessions"),
    )

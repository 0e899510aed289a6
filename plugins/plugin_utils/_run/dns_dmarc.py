# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies of DMARC (RFC 7489): which of two is weaker, and which one a domain has from a name above it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model import dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_answers
from ansible_collections.postamt.mail.plugins.plugin_utils._run.spf import Ask

POLICIES = ("none", "quarantine", "reject")
PREFIX = "_dmarc."
_BEGIN = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")  # 6.4: the first tag, in this spelling
Tags = Mapping[str, str]


def is_dmarc(text: str) -> bool:
    return _BEGIN.match(dns_answers.meant(text)) is not None


def tags(text: str) -> dict[str, str]:
    """Return the tags of a record (6.4)."""
    return {name.lower(): value for name, value in dkim_keys.tags(dns_answers.meant(text), packed=())}


def weaker(theirs: Tags, ours: Tags) -> Iterator[str]:
    """Yield in what a valid record does less than the site's: each a few words."""
    wanted = _rank(ours["p"])
    yield from (f"{name}={theirs[name]}" for name in ("p", "sp") if 0 <= _rank(theirs.get(name, "")) < wanted)
    share = theirs.get("pct", "")
    if wanted and re.fullmatch("[0-9]{1,2}", share):
        yield f"pct={share}"
    lacking = _readers(ours) - _readers(theirs)
    yield from (f"no rua={reader}" for reader in sorted(lacking))


def inherited(owner: str, ours: str, ask: Ask) -> str:
    """Return why a new record would weaken its domain; empty where it would not. owner: the record's name."""
    labels = owner.removeprefix(PREFIX).split(".")
    wanted = _rank(tags(ours)["p"])
    for start in range(1, len(labels) - 1):
        name = f"{PREFIX}{'.'.join(labels[start:])}"
        answer = ask(name, "TXT")
        if answer.status == "unknown":
            return f"whether {name} has a policy that is stricter, nobody could say: {answer.why}"
        found = [tags(text) for text in answer.values if is_dmarc(text)]
        said = found[0] if len(found) == 1 else {}
        policy = said.get("sp") or said.get("p", "")
        if _rank(policy) > wanted:
            return (
                f"{owner} has no record, so that {name} decides, whose policy ({policy.lower()}) is stricter than "
                f"mail_dmarc_policy ({POLICIES[wanted]}): make that as strict, or publish the record by hand"
            )
    return ""


def _rank(policy: str) -> int:
    return POLICIES.index(policy.lower()) if policy.lower() in POLICIES else -1


def _readers(said: Tags) -> set[str]:
    """Return to whom reports go, without the sizes that they may have."""
    return {one.strip().partition("!")[0].lower() for one in said.get("rua", "").split(",")} - {""}

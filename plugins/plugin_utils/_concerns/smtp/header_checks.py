# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Header checks: refuse, hold or change mail by a line of its header (header_checks(5))."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.pcre import groups_of
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Table, table

_FILLED = r"\$\$|\$[0-9]+|\$\{[0-9]+\}|\$\([0-9]+\)"  # pcre_table(5), "text substitution"
_LINE = (r"[!-9;-~]+:.*", "a header line such as X-Checked: yes")
_FORMS = {  # header_checks(5), "actions"
    "redirect": (rf"(?:[^\s@$]|{_FILLED})+@(?:[^\s@$]|{_FILLED})+", "a mail address"),
    "replace": _LINE,
    "prepend": _LINE,
    "filter": (r"[A-Za-z0-9_-]+:\S*", "transport:destination"),
}


@dataclasses.dataclass(frozen=True)
class HeaderCheck:
    """One check: what it looks for, and what it does."""

    match: str = var(
        "Regular expression over one logical header line, case ignored (pcre_table(5)).",
        example="'^Subject: .*lottery'",
    )
    action: t.Literal["reject", "discard", "hold", "warn", "ignore", "redirect", "replace", "prepend", "filter"] = var(
        "What to do with the line or the message."
    )
    text: str = var(
        "The action's text: a reply, an address, a header line, or transport:destination. $1 is what the first pair of "
        "parentheses in match has found, $$ is a dollar.", "",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_header_checks: list[HeaderCheck] = var(
        "Checks in order; the first that matches decides.", [],
        example="[{match: '^Subject: .*lottery', action: reject, text: No lotteries here}]",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    for index, item in enumerate(site.of(Variables).mail_header_checks):
        where = f"mail_header_checks[{index}]"
        try:
            if r"\Q" in item.match or re.search(r"(?<!\\)(\\\\)*\\\Z", item.match):
                raise Refused("must not have \\Q, nor end in a backslash: in Postfix's table it stands between slashes")
            groups = groups_of(_within_slashes(item.match))
        except Refused as refused:
            yield Problem(f"{where}.match", item.match, str(refused))
            continue
        if not item.match:
            yield Problem(f"{where}.match", item.match, "must not be empty")
        filled = {int(number) for number in re.findall(r"\$[{(]?([0-9]+)", item.text.replace("$$", ""))}
        there = filled if groups is None else set(range(1, groups + 1))
        if not re.fullmatch(rf"(?:[^$]|{_FILLED})*", item.text) or not filled <= there:
            pairs = "some" if groups is None else groups
            allowed = f"must have $$ for a dollar; match has {pairs} pairs of parentheses for $1 and so on"
            yield Problem(f"{where}.text", item.text, allowed)
        elif item.action in _FORMS and not re.fullmatch(_FORMS[item.action][0], item.text):
            allowed = f"must be {_FORMS[item.action][1]}, which action {item.action} needs"
            yield Problem(f"{where}.text", item.text, allowed)


def postfix(site: Site, host: Host) -> Postfix | None:
    checks = site.of(Variables).mail_header_checks
    if not checks:
        return None
    lines = [f"/{_within_slashes(item.match)}/ {item.action.upper()} {item.text}".rstrip() for item in checks]
    return Postfix(
        parameters={"header_checks": [table("header_checks", "pcre")]},
        tables={"header_checks": Table("pcre", "".join(f"{line}\n" for line in lines))},
    )


def _within_slashes(pattern: str) -> str:
    """Return a pattern whose own slashes do not end it; what has a backslash before it has that already."""
    return re.sub(r"\\.|/", lambda found: "\\/" if found[0] == "/" else found[0], pattern)

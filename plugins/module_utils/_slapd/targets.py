# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where aliases and forwards lead: targets that reach nobody, which are kept out of them, and circles.

The record has in `withdrawn`, by DN, what is kept out; whole() puts it back before a change is made out, and expanded()
takes it out of the change again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import circle
from ansible_collections.postamt.mail.plugins.module_utils._slapd.entries import (
    Attributes,
    Entry,
    EntryRequest,
    disabled,
    is_account,
    three_way,
)


def whole(current: Mapping[str, Entry], record: Mapping[str, Any]) -> dict[str, Entry]:
    """Return entries with the targets, too, that are kept out of them while nobody gets mail there."""
    found = dict(current)
    for dn, targets in record.get("withdrawn", {}).items():
        if dn in current:
            attributes = current[dn].attributes
            have = attributes.get("mailForwardingAddress", [])
            both = three_way(have, (), targets)
            found[dn] = Entry(dn, {**attributes, "mailForwardingAddress": both})
    return found


def expanded(
    changes: Collection[EntryRequest], current: Mapping[str, Entry], record: Mapping[str, Any]
) -> tuple[list[EntryRequest], dict[str, list[str]]]:
    """Return changes of whole() entries as they are made, and by DN the targets of aliases and forwards that stay out.

    Mail to such a target, an address of disabled accounts alone, would be taken first and come back later.
    current: the entries as they are.
    """
    asked = {change.dn: change for change in changes}
    after = {dn: entry.attributes for dn, entry in whole(current, record).items()}
    after.update({dn: change.after or {} for dn, change in asked.items()})
    was = {(dn, target.casefold()) for dn, targets in record.get("withdrawn", {}).items() for target in targets}
    owners = _owners(after)
    withdrawn: dict[str, list[str]] = {}
    made = {dn: change for dn, change in asked.items() if change.after is None}
    for dn, attributes in after.items():
        targets = attributes.get("mailForwardingAddress", [])
        if not attributes or not (targets or dn in asked):
            continue
        kept = [
            target
            for target in targets
            if disabled(Entry(dn, attributes)) or _answers(target, owners, (dn, target.casefold()) in was)
        ]
        if kept != targets:
            withdrawn[dn] = sorted(set(targets) - set(kept))
        goal = {name: values for name, values in {**attributes, "mailForwardingAddress": kept}.items() if values}
        have = current[dn].attributes if dn in current else None
        if dn in asked:
            change = replace(asked[dn], before=have, after=goal)
        else:
            kind = "account" if is_account(current[dn]) else "alias"
            change = EntryRequest("change", kind, "".join(attributes.get("mail", [dn])[:1]).lower(), dn, have, goal)
        if have is None or change.modifications():
            made[dn] = change
    return [made[dn] for dn in dict.fromkeys([*asked, *made]) if dn in made], withdrawn


def circle_in(current: Mapping[str, Entry], changes: Iterable[EntryRequest]) -> str:
    """Return what is wrong where aliases and forwards point in a circle after changes of whole() entries."""
    after = {dn: entry.attributes for dn, entry in current.items()}
    after.update({change.dn: change.after or {} for change in changes})
    leads: dict[str, list[str]] = {}
    kept: set[str] = set()
    for dn, attributes in after.items():
        if disabled(Entry(dn, attributes)):
            continue
        own = "".join(attributes.get("mail", [])[:1]).casefold() if is_account(Entry(dn, attributes)) else ""
        targets = [value.casefold() for value in attributes.get("mailForwardingAddress", [])]
        for key in ("mail", "mailAlias"):
            for name in map(str.casefold, attributes.get(key, [])):
                leads[name] = [target for target in targets if target != own]
                if own in targets:
                    kept.add(name)
    return circle(leads, kept)


def _owners(entries: Mapping[str, Attributes]) -> dict[str, bool]:
    """Return whether mail to an address reaches somebody, for each that an account or alias has."""
    accounts, aliases = [], []
    for dn, attributes in entries.items():
        names = [value.casefold() for key in ("mail", "mailAlias") for value in attributes.get(key, [])]
        if names and is_account(Entry(dn, attributes)):
            accounts.append((names, not disabled(Entry(dn, attributes))))
        elif names and attributes.get("mailForwardingAddress"):
            aliases.append((names, attributes["mailForwardingAddress"]))
    found: dict[str, bool] = dict.fromkeys((name for names, _targets in aliases for name in names), True)
    while True:
        now: dict[str, bool] = {}
        for names, alive in accounts:
            now.update({name: alive or now.get(name, False) for name in names})
        for names, targets in aliases:
            alive = any(_answers(target, found | now, False) for target in targets)
            now.update({name: alive or now.get(name, False) for name in names})
        if now == found:
            return found
        found = now


def _answers(target: str, owners: Mapping[str, bool], was_out: bool) -> bool:
    """Tell whether mail to a target reaches somebody; an address that is nobody's stays out if it was."""
    local, _at, domain = target.casefold().partition("@")
    known = (owners[name] for name in (f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}") if name in owners)
    return next(known, not was_out)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which entries have to change: a three-way merge of inventory, directory, and what was last applied.

Pure functions, values as text. What others added through LDAP stays; what left the inventory goes; an account that the
inventory no longer lists is disabled and its mail kept. Where the inventory is exclusive, what others added goes too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._slapd.entries import (
    ACCOUNT,
    FORWARD,
    LOGINS,
    Attributes,
    Entry,
    EntryRequest,
    Verb,
    both,
    disabled,
    escaped,
    is_account,
    leaving,
    merged,
    names,
    new_account,
    permanent,
    three_way,
)
from ansible_collections.postamt.mail.plugins.module_utils._slapd.targets import circle_in, expanded, whole

_RDN_CLASSES = {"o": ("organization",), "dc": ("organization", "dcObject"), "ou": ("organizationalUnit",)}
# Branches, and what names an entry there
BRANCHES = {
    "accounts": "mail", "aliases": "mail", "domains": "dc", "services": "cn", "clients": "cn", "policies": "cn",
}  # fmt: skip


@dataclass
class Merge:
    """The outcome: requests, the new record, accounts whose password is needed, and what is to be said."""

    changes: list[EntryRequest] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    needed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)  # addresses of others in entries of an exclusive inventory


def merge(
    desired: Mapping[str, Any],
    current: Mapping[str, Entry],
    record: Mapping[str, Any],
    digest: Callable[[Iterable[str]], str],
    new_id: Callable[[], str] = lambda: secrets.token_hex(8),
) -> Merge:
    """Return what makes the directory as the inventory means it.

    desired: the plan's `entries`. current: every entry below the suffix, by DN. record: what the last merge left.
    digest: of the stored values of userPassword, to see that a user has changed it.
    """
    result = Merge()
    suffix = desired["suffix"]
    actual, current = current, whole(current, record)
    found = {name: _named(current, f",ou={name},{suffix}".lower(), attribute) for name, attribute in BRANCHES.items()}
    _branches(result, desired, {dn.lower() for dn in current})
    result.record["domains"] = _domains(result, desired, found["domains"], record.get("domains", []))
    result.record["aliases"] = _aliases(result, desired, found["aliases"], record.get("aliases", {}))
    for kind, (branch, structural) in LOGINS.items():
        goals = dict.fromkeys(desired["clients"], {}) if kind == "client" else desired["services"]
        result.record[branch] = _logins(result, kind, structural, goals, found[branch], record.get(branch, []), suffix)
    _policies(result, desired["policies"], found["policies"], suffix)
    record = {**record, **_renamed(result, desired, found["accounts"], record)}
    result.record["accounts"] = _accounts(result, desired, found["accounts"], record["accounts"], new_id)
    result.record["leaving"] = leaving(desired["accounts"], current, record)
    _passwords(result, desired, found, record, digest)
    if wrong := circle_in(current, result.changes):
        result.notes.append(f"aliases and forwards {wrong}; mail to them waits (postamt.mail.account lists them)")
    result.changes, result.record["withdrawn"] = expanded(result.changes, actual, record)
    if result.theirs:
        listed = names(sorted(set(result.theirs)))
        result.notes.append(f"addresses that are not in the inventory are removed (mail_accounts_exclusive): {listed}")
    return result


def united(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record while a merge is under way: what either says was applied."""
    was, now = old.get("accounts", {}), new["accounts"]
    return {
        **{name: sorted({*old.get(name, ()), *new[name]}) for name, _class in LOGINS.values() if name in new},
        "domains": sorted({*old.get("domains", ()), *new["domains"]}),
        "aliases": both(old.get("aliases", {}), new["aliases"]),
        "accounts": {name: both(was.get(name, {}), now.get(name, {})) for name in {**was, **now}},
        "withdrawn": both(old.get("withdrawn", {}), new["withdrawn"]),
    }


def _named(current: Mapping[str, Entry], below: str, attribute: str) -> dict[str, Entry]:
    """Return the entries below a branch by what names them to people."""
    return {
        entry.attributes[attribute][0].lower(): entry
        for dn, entry in current.items()
        if dn.lower().endswith(below) and entry.attributes.get(attribute)
    }


def _renamed(
    result: Merge, desired: Mapping[str, Any], found: dict[str, Entry], record: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Let the entries of renamed accounts, and what is recorded of them, go by their new names."""
    accounts, passwords = dict(record.get("accounts", {})), dict(record.get("passwords", {}))
    for name, former in desired["renamed"].items():
        old = former["from"]
        if old in found and name in found:
            if old in accounts:
                result.notes.append(f"account {old} was not renamed to {name}, which is there already")
            continue
        if old in found:
            found[name] = found.pop(old)
            accounts[name] = accounts.get(old, {})
        accounts.pop(old, None)
        was = passwords.pop(old, None)
        if was and name not in passwords:  # the name is part of a fingerprint
            same_value = was["fingerprint"] == former["fingerprint"]
            passwords[name] = {**was, "fingerprint": desired["fingerprints"][name]} if same_value else was
    return {"accounts": accounts, "passwords": passwords}


def _branches(result: Merge, desired: Mapping[str, Any], there: Collection[str]) -> None:
    suffix = desired["suffix"]
    kind, _equals, value = suffix.partition(",")[0].partition("=")
    roots: dict[str, Attributes] = {suffix: {"objectClass": list(_RDN_CLASSES[kind]), kind: [value]}}
    if kind == "dc":
        roots[suffix]["o"] = [value]
    for name in BRANCHES if desired["clients"] else [name for name in BRANCHES if name != "clients"]:
        roots[f"ou={name},{suffix}"] = {"objectClass": ["organizationalUnit"], "ou": [name]}
    for dn, attributes in roots.items():
        if dn.lower() not in there:
            result.changes.append(EntryRequest("add", "branch", dn, dn, None, attributes))


def _domains(result: Merge, desired: Mapping[str, Any], current: Mapping[str, Entry], base: Iterable[str]) -> list[str]:
    for name in desired["domains"]:
        if name not in current:
            dn, attributes = f"dc={name},ou=domains,{desired['suffix']}", {"objectClass": ["domain"], "dc": [name]}
            result.changes.append(EntryRequest("add", "domain", name, dn, None, attributes))
    for name in sorted(set(base) - set(desired["domains"])):
        entry = current.get(name)
        if entry:
            result.changes.append(EntryRequest("remove", "domain", name, entry.dn, entry.attributes, None))
    return list(desired["domains"])


def _aliases(
    result: Merge, desired: Mapping[str, Any], current: Mapping[str, Entry], base: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    for name in {**base, **desired["aliases"], **(current if desired["exclusive"] else {})}:
        dn = f"cn={escaped(name)},ou=aliases,{desired['suffix']}"
        targets, was, entry = desired["aliases"].get(name, []), base.get(name, []), current.get(name)
        if entry is None:
            if targets:
                attributes = {
                    "objectClass": ["organizationalRole", FORWARD], "cn": [name], "mail": [name], "mailAlias": [name],
                    "mailForwardingAddress": targets,
                }  # fmt: skip
                result.changes.append(EntryRequest("add", "alias", name, dn, None, attributes))
            continue
        if desired["exclusive"]:
            have = entry.attributes.get("mailForwardingAddress", [])
            ours = [*was, *targets] or have  # an alias that is all theirs is named as such
            was = _disowned(result, entry, {"mailForwardingAddress": ours})["mailForwardingAddress"]
        after = merged(entry.attributes, {"mailForwardingAddress": was}, {"mailForwardingAddress": targets})
        if targets:
            after = merged(after, {}, {"mail": [name], "mailAlias": [name], "objectClass": [FORWARD]})
        if not after.get("mailForwardingAddress"):
            result.changes.append(EntryRequest("remove", "alias", name, entry.dn, entry.attributes, None))
        else:
            _differs(result, "change", "alias", name, entry, after)
    return dict(desired["aliases"])


def _logins(
    result: Merge,
    kind: str,
    structural: str,
    desired: Mapping[str, Attributes],
    current: Mapping[str, Entry],
    base: Iterable[str],
    suffix: str,
) -> list[str]:
    """See to the entries by which programs, or other servers, log in; desired: further attributes by name."""
    for name, more in desired.items():
        entry = current.get(name)
        if entry is not None:
            _differs(result, "change", kind, name, entry, {**entry.attributes, **more})
            continue
        attributes = {
            "objectClass": [structural, "simpleSecurityObject"], "cn": [name], **more,
            "userPassword": [secrets.token_urlsafe(32)],  # which the class needs, and nobody knows
        }  # fmt: skip
        dn = f"cn={name},ou={LOGINS[kind][0]},{suffix}"
        result.changes.append(EntryRequest("add", kind, name, dn, None, attributes))
    for name in sorted(set(base) - set(desired)):
        if name in current:
            result.changes.append(EntryRequest("remove", kind, name, current[name].dn, current[name].attributes, None))
    return sorted(desired)


def _policies(result: Merge, desired: Mapping[str, Attributes], current: Mapping[str, Entry], suffix: str) -> None:
    """See to what passwords must be; further attributes of such an entry are somebody else's and stay."""
    for name, goal in desired.items():
        entry = current.get(name)
        if entry is not None:
            _differs(result, "change", "policy", name, entry, {**entry.attributes, **goal})
            continue
        attributes = {"objectClass": ["applicationProcess", "pwdPolicy"], "cn": [name], **goal}
        result.changes.append(EntryRequest("add", "policy", name, f"cn={name},ou=policies,{suffix}", None, attributes))


def _accounts(
    result: Merge,
    desired: Mapping[str, Any],
    current: Mapping[str, Entry],
    base: Mapping[str, Attributes],
    new_id: Callable[[], str],
) -> dict[str, Attributes]:
    left = {name: {"mailEnabled": ["FALSE"]} for name in base if name not in desired["accounts"]}
    record = {**left, **desired["accounts"]}
    for name, goal in record.items():
        entry, was = current.get(name), base.get(name, {})
        if entry is None:
            if name in left:  # deleted by somebody who knows why
                continue
            result.changes.append(new_account(desired, name, goal, new_id()))
            continue
        if desired["exclusive"]:
            ours = {key: [*was.get(key, []), *goal.get(key, [])] for key in ("mailAlias", "mailForwardingAddress")}
            was = {**was, **_disowned(result, entry, ours)}
        after = merged(entry.attributes, was, goal)
        if name in left and desired["exclusive"]:
            after["mailEnabled"] = ["FALSE"]
        if name in left:  # cn and sn have to stay
            after.update({key: entry.attributes[key] for key in ("cn", "sn") if key in entry.attributes})
        classes = [*ACCOUNT, *([FORWARD] if after.get("mailForwardingAddress") else [])]
        kept = [c for c in entry.attributes["objectClass"] if c.lower() != FORWARD.lower() or FORWARD in classes]
        after["objectClass"] = three_way(kept, (), classes)
        fixed = permanent(desired["new_account"], entry.attributes.get("uid", [new_id()])[0])
        after = {**{key: values for key, values in fixed.items() if key != "uid"}, **after}
        if not set(after["mailStorageDirectory"]) & set(desired["stores"]):  # its mailboxes have been moved
            after["mailStorageDirectory"] = fixed["mailStorageDirectory"]
        former = entry.attributes["mail"][0]
        if former.lower() != name:
            after["mail"] = [name, *(value for value in entry.attributes["mail"][1:] if value.lower() != name)]
            _differs(result, "rename", "account", f"{former} -> {name}", entry, after)
            continue
        leaves = name in left and after.get("mailEnabled") != entry.attributes.get("mailEnabled")
        _differs(result, "disable" if leaves else "change", "account", name, entry, after)
    for name, entry in current.items() if desired["exclusive"] else ():
        if name not in record and is_account(entry) and not disabled(entry):
            after = {**entry.attributes, "mailEnabled": ["FALSE"]}
            _differs(result, "disable", "account", name, entry, after)
    return {name: goal for name, goal in record.items() if name in desired["accounts"] or name in current}


def _disowned(result: Merge, entry: Entry, ours: Attributes) -> Attributes:
    """Return what an entry has of some attributes, as if it had all been applied; notes what others added to ours."""
    have = {key: entry.attributes.get(key, []) for key in ours}
    for key, values in have.items():
        known = {value.casefold() for value in ours[key]}
        result.theirs += [value for value in values if value.casefold() not in known]
    return have


def _differs(result: Merge, verb: Verb, kind: str, name: str, entry: Entry, after: Attributes) -> None:
    change = EntryRequest(verb, kind, name, entry.dn, entry.attributes, after)
    if change.modifications():
        result.changes.append(change)


def _passwords(
    result: Merge,
    desired: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Entry]],
    record: Mapping[str, Any],
    digest: Callable[[Iterable[str]], str],
) -> None:
    """See which passwords have to be applied: those whose inventory value changed since it last was.

    An existing password of which nothing is recorded (an adopted entry, a lost record, another fingerprint key) is
    kept and what the inventory says now becomes its base. A service's or client's password is nobody else's: it always
    is as said. Of an account that left the inventory it stays recorded as long as its entry is there: it may come back
    with another password because the old one is known to somebody.
    """
    known = record.get("passwords", {}) if record.get("key") == desired["key"] else {}
    kept = {
        name: was for name, was in known.items() if name not in desired["fingerprints"] and name in found["accounts"]
    }
    strangers, own = [], []
    for name, fingerprint in desired["fingerprints"].items():
        kind, _colon, login = name.partition(":")
        service = kind in LOGINS
        entry = found[LOGINS[kind][0]].get(login) if service else found["accounts"].get(name)
        values = entry.attributes.get("userPassword", []) if entry else []
        was = known.get(name)
        if not values or (was and was["fingerprint"] != fingerprint) or (service and not was):
            result.needed.append(name)
            if was:  # until it is applied, what was applied before counts
                kept[name] = was
            continue
        stored = digest(values)
        if was is None:
            strangers.append(name)
            kept[name] = {"fingerprint": fingerprint, "stored": stored}
            continue
        kept[name] = was
        if was["stored"] != stored:
            if service:
                result.needed.append(name)
            else:
                own.append(name)
    if own:
        result.notes.append(f"passwords kept that the users changed themselves: {names(own)}")
    if strangers:
        result.notes.append(f"passwords kept that were there before: {names(strangers)}")
    result.record["passwords"] = kept
    result.record["key"] = desired["key"]

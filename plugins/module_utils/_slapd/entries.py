# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which entries have to change: a three-way merge of inventory, directory, and what was last applied.

Pure functions, values as text. What others added through LDAP stays; what left the inventory goes; an account that the
inventory no longer lists is disabled and its mail kept. Where the inventory is exclusive, what others added goes too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import circle

Attributes = dict[str, list[str]]
Verb = Literal["add", "change", "remove", "disable", "enable", "rename", "delete"]

ACCOUNT = ("inetOrgPerson", "PostfixBookMailAccount")
FORWARD = "PostfixBookMailForward"
_SINGLE = ("mailQuota",)
_SPELT = ("cn", "sn")  # as the inventory has them, capitals too
_RDN_CLASSES = {"o": ("organization",), "dc": ("organization", "dcObject"), "ou": ("organizationalUnit",)}
# and what names an entry there
BRANCHES = {
    "accounts": "mail", "aliases": "mail", "domains": "dc", "services": "cn", "clients": "cn", "policies": "cn",
}  # fmt: skip
# Logins of programs and of other servers, by how their passwords are called: branch and structural class
LOGINS = {"service": ("services", "applicationProcess"), "client": ("clients", "device")}


@dataclass
class Entry:
    """An entry as it is in the directory."""

    dn: str
    attributes: Attributes


@dataclass(frozen=True)
class EntryRequest:
    """One request on one entry."""

    verb: Verb
    kind: str  # account, alias, domain, service, client, policy, branch
    name: str
    dn: str
    before: Attributes | None  # None: a new entry
    after: Attributes | None  # None: an entry that goes

    def modifications(self) -> Attributes:
        """Return the new values of each attribute that differs; none to delete it."""
        before, after = self.before or {}, self.after or {}
        names_of_both = {**before, **after}
        return {name: after.get(name, []) for name in names_of_both if not equal(before.get(name), after.get(name))}

    def lines(self, values: Attributes | None) -> list[str]:
        """Return what of this entry differs, as lines of a diff."""
        names = self.modifications() if self.before is not None and self.after is not None else (values or {})
        return [
            f"{self.kind} {self.name}: {name}: {value}"
            for name in sorted(names)
            if name not in ("objectClass", "userPassword")
            for value in sorted((values or {}).get(name, []))
        ]


@dataclass
class Merge:
    """The outcome: requests, the new record, accounts whose password is needed, and what is to be said."""

    changes: list[EntryRequest] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    needed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)  # addresses of others in entries of an exclusive inventory


def equal(left: Iterable[str] | None, right: Iterable[str] | None) -> bool:
    """Compare two sets of values."""
    return sorted(left or ()) == sorted(right or ())


def three_way(current: list[str], base: Iterable[str], desired: Iterable[str]) -> list[str]:
    """Return current without what was applied and is desired no more, and with what is desired; case does not count."""
    want = {value.casefold(): value for value in desired}
    gone = {value.casefold() for value in base} - set(want)
    have = {value.casefold() for value in current}
    kept = [value for value in current if value.casefold() not in gone]
    return kept + [value for folded, value in want.items() if folded not in have]


def merged(current: Attributes, base: Attributes, desired: Attributes) -> Attributes:
    """Return the attributes that an entry shall have: a single value is the inventory's, several are merged.

    mailEnabled is left alone while the inventory says what it said before: an account that somebody disabled in the
    directory stays so.
    """
    after = {name: list(values) for name, values in current.items()}
    for name in {**base, **desired}:
        want, was, have = desired.get(name, []), base.get(name, []), current.get(name, [])
        if name == "mailEnabled":
            after[name] = have if have and want == was else want
        elif name in _SINGLE:
            after[name] = want or ([] if was else have)
        else:
            spelt = {value.casefold(): value for value in want if name in _SPELT}
            after[name] = [spelt.get(value.casefold(), value) for value in three_way(have, was, want)]
    return {name: values for name, values in after.items() if values}


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
            if _disabled(attributes) or _answers(target, owners, (dn, target.casefold()) in was)
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
        if _disabled(attributes):
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
            accounts.append((names, not _disabled(attributes)))
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


def _named(current: Mapping[str, Entry], below: str, attribute: str) -> dict[str, Entry]:
    """Return the entries below a branch by what names them to people."""
    return {
        entry.attributes[attribute][0].lower(): entry
        for dn, entry in current.items()
        if dn.lower().endswith(below) and entry.attributes.get(attribute)
    }


def escaped(value: str) -> str:
    """Return a value as it stands in a DN (RFC 4514)."""
    inner = "".join(f"\\{char}" if char in ',+"\\<>;=' else char for char in value)
    return f"\\{inner}" if inner.startswith("#") else inner


def disabled(entry: Entry) -> bool:
    """Tell whether an account is disabled."""
    return _disabled(entry.attributes)


def _disabled(attributes: Attributes) -> bool:
    return attributes.get("mailEnabled") == ["FALSE"]


def leaving(listed: Collection[str], current: Mapping[str, Entry], record: Mapping[str, Any]) -> dict[str, str]:
    """Return the days on which accounts may be deleted, by DN: not of those that are listed or enabled again."""
    return {
        dn: day
        for dn, day in record.get("leaving", {}).items()
        if dn in current and disabled(current[dn]) and current[dn].attributes["mail"][0].lower() not in listed
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
        fixed = _fixed(desired["new_account"], entry.attributes.get("uid", [new_id()])[0])
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


def is_account(entry: Entry) -> bool:
    """Tell whether an entry is a mail account."""
    return ACCOUNT[1].lower() in (name.lower() for name in entry.attributes.get("objectClass", ()))


def _fixed(new: Mapping[str, str], identifier: str) -> Attributes:
    """Return what an account gets at its creation and keeps."""
    numbers = {key: [new[key]] for key in ("mailUidNumber", "mailGidNumber", "mailStorageDirectory")}
    return {"uid": [identifier], "mailHomeDirectory": [f"{new['home']}/{identifier}"], **numbers}


def new_account(desired: Mapping[str, Any], name: str, goal: Attributes, identifier: str) -> EntryRequest:
    """Return what adds an account; identifier: its uid, which names entry and mailbox and never changes."""
    classes = [*ACCOUNT, *([FORWARD] if goal.get("mailForwardingAddress") else [])]
    attributes = {"objectClass": classes, "mail": [name], **_fixed(desired["new_account"], identifier), **goal}
    return EntryRequest("add", "account", name, f"uid={identifier},ou=accounts,{desired['suffix']}", None, attributes)


def account_attributes(address: str, said: Mapping[str, Any], have: Attributes) -> Attributes:
    """Return what is said of an account, in the directory's words; none to remove an attribute.

    said: name, quota (bytes), aliases, forward and keep_copy, each if it is said. have: what the entry has now. A
    forward is found by mailAlias, so the account's own address is one of them then.
    """
    name = said["name"].strip() if "name" in said else ""
    local = address.rpartition("@")[0]
    now = have.get("mailForwardingAddress", [])
    targets = said.get("forward", [value for value in now if value != address])
    copy = said.get("keep_copy", address in now)
    aliases = [value for value in said.get("aliases", have.get("mailAlias", [])) if value != address]
    found: Attributes = {
        "cn": [name or local] if "name" in said or not have else have["cn"],
        "sn": [(name or local).split()[-1]] if "name" in said or not have else have["sn"],
        "mailAlias": sorted({*aliases, *([address] if targets else [])}),
        "mailForwardingAddress": sorted({*targets, *([address] if targets and copy else [])}),
    }
    if said.get("quota") is not None:
        found["mailQuota"] = [str(said["quota"] // 1024)]
    return found


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


def both(left: Mapping[str, list[str]], right: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what either says, by name."""
    return {name: [*dict.fromkeys([*left.get(name, ()), *right.get(name, ())])] for name in {**left, **right}}


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


def names(items: Iterable[str], most: int = 5) -> str:
    """Return names for a sentence; of many only the first."""
    listed = list(items)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")

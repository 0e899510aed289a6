# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entries of the directory, and requests that change one: pure functions, values as text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Attributes = dict[str, list[str]]
Verb = Literal["add", "change", "remove", "disable", "enable", "rename", "delete"]

PAST: dict[Verb, str] = {
    "add": "added", "change": "changed", "remove": "removed", "disable": "disabled", "enable": "enabled",
    "rename": "renamed", "delete": "deleted",
}  # fmt: skip

ACCOUNT = ("inetOrgPerson", "PostfixBookMailAccount")
FORWARD = "PostfixBookMailForward"
_SINGLE = ("mailQuota",)
_SPELT = ("cn", "sn")  # as the inventory has them, capitals too
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


def is_account(entry: Entry) -> bool:
    """Tell whether an entry is a mail account."""
    return ACCOUNT[1].lower() in (name.lower() for name in entry.attributes.get("objectClass", ()))


def disabled(entry: Entry) -> bool:
    """Tell whether an account is disabled."""
    return entry.attributes.get("mailEnabled") == ["FALSE"]


def leaving(listed: Collection[str], current: Mapping[str, Entry], record: Mapping[str, Any]) -> dict[str, str]:
    """Return the days on which accounts may be deleted, by DN: not of those that are listed or enabled again."""
    return {
        dn: day
        for dn, day in record.get("leaving", {}).items()
        if dn in current and disabled(current[dn]) and current[dn].attributes["mail"][0].lower() not in listed
    }


def new_account(desired: Mapping[str, Any], name: str, goal: Attributes, identifier: str) -> EntryRequest:
    """Return what adds an account; identifier: its uid, which names entry and mailbox and never changes."""
    classes = [*ACCOUNT, *([FORWARD] if goal.get("mailForwardingAddress") else [])]
    attributes = {"objectClass": classes, "mail": [name], **permanent(desired["new_account"], identifier), **goal}
    return EntryRequest("add", "account", name, f"uid={identifier},ou=accounts,{desired['suffix']}", None, attributes)


def permanent(new: Mapping[str, str], identifier: str) -> Attributes:
    """Return what an account gets at its creation and keeps."""
    numbers = {key: [new[key]] for key in ("mailUidNumber", "mailGidNumber", "mailStorageDirectory")}
    return {"uid": [identifier], "mailHomeDirectory": [f"{new['home']}/{identifier}"], **numbers}


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


def escaped(value: str) -> str:
    """Return a value as it stands in a DN (RFC 4514)."""
    inner = "".join(f"\\{char}" if char in ',+"\\<>;=' else char for char in value)
    return f"\\{inner}" if inner.startswith("#") else inner


def both(left: Mapping[str, list[str]], right: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what either says, by name."""
    return {name: [*dict.fromkeys([*left.get(name, ()), *right.get(name, ())])] for name in {**left, **right}}


def names(items: Iterable[str], most: int = 5) -> str:
    """Return names for a sentence; of many only the first."""
    listed = list(items)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")

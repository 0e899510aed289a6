# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts in the directory between two runs: list, add, change or disable them, set a password, delete after grace.

It leaves the record as the next run expects it, so that the run takes what was done here for what it is: somebody
else's account, or one that somebody disabled, or a password that is as desired.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._accounts.store import AccountStore, kick
from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import without_plus
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import entries, targets
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import (
    ENTRY_ATTRIBUTES,
    Connection,
    stored_digest,
)
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import RECORD
from ansible_collections.postamt.mail.plugins.module_utils._slapd.replica import refuse_late

INVENTORY, LEFT, BY_HAND = "inventory", "left the inventory", "by hand"


def listed(
    desired: Mapping[str, Any], current: Mapping[str, entries.Entry], record: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the accounts by address: what the entry says, its source, and the day from which it may be deleted."""
    leaving = entries.leaving(desired["accounts"], current, record)
    found = []
    for dn, entry in current.items():
        if not entries.is_account(entry) or not entry.attributes.get("mail"):
            continue
        address = entry.attributes["mail"][0].lower()
        source = (
            INVENTORY if address in desired["accounts"] else LEFT if address in record.get("accounts", {}) else BY_HAND
        )
        found.append(
            {
                "address": address,
                "dn": dn,
                "user": "",
                "enabled": not entries.disabled(entry),
                "aliases": others(entry, "mailAlias"),
                "forward": others(entry, "mailForwardingAddress"),
                "quota": quota(entry),
                "source": source,
                "delete_from": leaving.get(dn, ""),
            }
        )
    return sorted(found, key=lambda account: str(account["address"]))


def others(entry: entries.Entry, attribute: str) -> list[str]:
    """Return the addresses in an attribute, without the account's own (entries.account_attributes)."""
    own = entry.attributes["mail"][0].lower()
    return sorted(value.lower() for value in entry.attributes.get(attribute, []) if value.lower() != own)


def quota(entry: entries.Entry) -> str:
    """Return an account's own quota as mail_accounts has it, empty where it has none."""
    text = "".join(entry.attributes.get("mailQuota", []))
    if not text.isdecimal() or int(text) == 0:
        return text
    size, units = int(text), "KMGT"
    while size % 1024 == 0 and len(units) > 1:
        size, units = size // 1024, units[1:]
    return f"{size}{units[0]}"


def due(accounts: Iterable[Mapping[str, Any]], today: str) -> list[Mapping[str, Any]]:
    """Return the accounts whose time of grace is over; today: a date such as 2026-12-24."""
    return [account for account in accounts if account["delete_from"] and account["delete_from"] <= today]


def taken(current: Mapping[str, entries.Entry], dn: str, addresses: Iterable[str]) -> dict[str, str]:
    """Return by whom addresses are taken already; dn: the entry that may have them."""
    asked = {address.lower() for address in addresses}
    return {
        value.lower(): entry.attributes["mail"][0]
        for other, entry in current.items()
        if other != dn and entry.attributes.get("mail")
        for value in (*entry.attributes["mail"], *entry.attributes.get("mailAlias", []))
        if value.lower() in asked
    }


def lost(
    current: Mapping[str, entries.Entry], desired: Mapping[str, Any], own: Iterable[str], targets: Iterable[str]
) -> list[str]:
    """Return the targets in domains of the site that are nobody's; own: addresses of the account that is asked for."""
    known = {*own, *desired["accounts"], *desired["aliases"]}
    for entry in current.values():
        known.update(value.lower() for name in ("mail", "mailAlias") for value in entry.attributes.get(name, []))
    here = [target for target in targets if target.rpartition("@")[2] in desired["domains"]]
    return [target for target in here if not {target, without_plus(target)} & known]


def mailbox(entry: entries.Entry, others: Iterable[entries.Entry], root: str) -> str:
    """Return the folder that goes with an account, empty where it has none.

    root: the folder of all mailboxes. Raises Failed for a folder that is not the account's alone, right below root.
    """
    home = "".join(entry.attributes.get("mailHomeDirectory", []))
    if not home:
        return ""
    plain = os.path.normpath(home)
    used = {os.path.normpath(path) for other in others for path in other.attributes.get("mailHomeDirectory", [])}
    if os.path.dirname(plain) != root or os.path.basename(plain).startswith(".") or plain in used:
        raise Failed(f"mailbox {home} of {entry.attributes['mail'][0]} is not one folder of its own in {root}")
    return plain


def maildir(pattern: str, address: str) -> str:
    """Return the folder of an account's mail where that is not in its home, else nothing; pattern: mail_maildir."""
    if not pattern.startswith("/"):
        return ""
    local, _at, domain = address.rpartition("@")
    parts = {"{user}": address, "{local}": local, "{domain}": domain}
    if "/" in address or {".", "..", ""} & set(parts.values()):
        raise Failed(f"{address} is no address by which a mailbox could lie in {pattern}")
    return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], pattern).rstrip("/")


def delete(home: str, dry: bool) -> bool:
    """Delete the folder of a mailbox; tells whether there is one."""
    there = bool(home) and files.folder(home) is not None
    if there and not dry:
        files.remove_tree(home)  # never follows a link, not even in place of the folder
    return there


def delete_mail(address: str, home: str, pattern: str, dry: bool) -> str:
    """Delete an account's mail in its home and where mail_maildir lies by address; returns where there was some."""
    return " and ".join(folder for folder in (home, maildir(pattern, address)) if delete(folder, dry))


def do_left(module: AnsibleModule) -> None:
    """Do on the mailboxes' host what the directory's host has left to do; ends the module."""
    left, dry = module.params["request"]["left"], module.check_mode
    actions: list[str] = []
    for address in left.get("kick", ()) if not dry else ():
        kick(address)
    for address, home in left.get("delete", {}).items():
        root, name = os.path.split(home)
        if home and (root != module.params["request"]["mailboxes"] or name.startswith(".") or not name):
            module.fail_json(msg=f"{home} is no mailbox", actions=actions)
        try:
            there = delete_mail(address, home, left.get("maildir", ""), dry)
        except (Failed, OSError) as error:
            module.fail_json(msg=str(error), changed=bool(actions), actions=actions)
        if there:
            actions.append(f"{'would delete' if dry else 'deleted'} the mail of {address} in {there}")
    module.exit_json(changed=bool(actions), actions=actions)


class Accounts(AccountStore):
    """Accounts are entries of this host's directory."""

    lock = "ldap"

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(module)
        self.desired: dict[str, Any] = self.request["entries"]
        self.here: bool = self.request["here"]  # whether mailboxes are on this host
        self.today = datetime.datetime.now(datetime.UTC).date()

    def execute(self) -> None:
        self.record = files.load(RECORD)
        if not self.record:
            raise Failed("this host holds no directory of the site yet: run postamt.mail.site first")
        self.kept = dict(self.record)
        self.connection = Connection()
        if self.request["state"] != "listed" and self.request["followed"]:
            refuse_late(self.connection, self.desired["suffix"])
        super().execute()

    def finish(self) -> None:
        if self.record != self.kept and not self.dry:
            files.save(RECORD, self.record)

    def look(self) -> None:
        tree = self.connection.search(self.desired["suffix"], "subtree", names=ENTRY_ATTRIBUTES)
        self.actual = {dn: entries.Entry(dn, attributes) for dn, attributes in tree.items()}
        self.current = targets.whole(self.actual, self.record)

    def listed(self) -> list[dict[str, Any]]:
        return listed(self.desired, self.current, self.record)

    def did(self, verb: entries.Verb, what: str) -> bool:
        self.actions.append(f"would {verb} {what}" if self.dry else f"{entries.PAST[verb]} {what}")
        return not self.dry

    def send(self, change: entries.EntryRequest) -> None:
        """Send a change of one account, and of the aliases and forwards that point to it, and say so; raises Failed."""
        wrong = targets.circle_in(self.current, [change])
        if wrong and not targets.circle_in(self.current, ()):
            raise Failed(f"aliases and forwards would {wrong}; nothing was changed")
        changes, withdrawn = targets.expanded([change], self.actual, self.record)
        if not self.dry:  # before the first change: what is lost of it would be lost for good
            self.record["withdrawn"] = entries.both(self.record.get("withdrawn", {}), withdrawn)
            files.save(RECORD, self.record)
        for one in changes:
            if self.did(one.verb, f"{one.kind} {one.name}"):
                self.connection.all_of([self.connection.entry_request(one)])
        self.record["withdrawn"] = withdrawn

    def entry(self, address: str) -> entries.Entry | None:
        by_address = {account["address"]: account["dn"] for account in self.listed()}
        return self.current.get(by_address.get(address, ""))

    def known(self, address: str) -> entries.Entry:
        """Return an account that has to be there; raises Failed."""
        found = self.entry(address)
        if found is None:
            raise Failed(f"account: there is no account {address} in the directory{self.nearest(address)}")
        return found

    def nearest(self, address: str) -> str:
        addresses = [account["address"] for account in self.listed()]
        close = difflib.get_close_matches(address, addresses, n=1, cutoff=0.6)
        return f"; did you mean {close[0]}?" if close else ""

    # --- what can be asked for

    def add(self, address: str) -> None:
        """Add an account that is not in the inventory, or change what is said of it."""
        said = self.request["said"]
        entry = self.entry(address)
        have = entry.attributes if entry else {}
        for used, owner in taken(self.current, entry.dn if entry else "", [address, *said.get("aliases", [])]).items():
            raise Failed(f"{used} is taken already by {owner}")
        own = [address, *said.get("aliases", entry.attributes.get("mailAlias", []) if entry else [])]
        for target in lost(self.current, self.desired, own, said.get("forward", [])):
            raise Failed(f"forward is '{target}': does not exist{self.nearest(target)}")
        goal = entries.account_attributes(address, said, have)
        if entry is None:
            goal = {name: values for name, values in {**goal, "mailEnabled": ["TRUE"]}.items() if values}
            change = entries.new_account(self.desired, address, goal, secrets.token_hex(8))
            self.send(change)
            if not self.dry:
                self.connection.all_of([self.password_request(change.dn, address)])
            self.answer["password_set"] = True
            return
        after = {name: values for name, values in {**have, **goal}.items() if values}
        classes = [name for name in have["objectClass"] if name.lower() != entries.FORWARD.lower()]
        after["objectClass"] = [*classes, *([entries.FORWARD] if goal["mailForwardingAddress"] else [])]
        self.send(entries.EntryRequest("change", "account", address, entry.dn, have, after))

    def enable(self, address: str) -> None:
        self.alter(address, "enabled")

    def disable(self, address: str) -> None:
        self.alter(address, "disabled")

    def remove(self, address: str) -> None:
        """Disable an account, and note the day from which it may be deleted."""
        if self.entry(address) is None:
            self.answer["note"] = f"there is no account {address} in the directory{self.nearest(address)}"
            return
        self.alter(address, "absent")

    def alter(self, address: str, state: str) -> None:
        entry = self.known(address)
        leaving = entries.leaving(self.desired["accounts"], self.current, self.record)
        if state == "enabled":
            leaving.pop(entry.dn, None)
        elif state == "absent" and entry.dn not in leaving:
            day = self.today + datetime.timedelta(days=self.request["grace_days"])
            leaving[entry.dn] = day.isoformat()
            self.actions.append(
                f"{'would note' if self.dry else 'noted'} that account {address} and its mail may be deleted "
                f"from {day.isoformat()} on"
            )
        self.record["leaving"] = leaving
        verb: entries.Verb = "enable" if state == "enabled" else "disable"
        after = {**entry.attributes, "mailEnabled": ["TRUE" if state == "enabled" else "FALSE"]}
        self.send(entries.EntryRequest(verb, "account", address, entry.dn, entry.attributes, after))
        if state != "enabled":  # who is logged in would stay so
            if self.here and not self.dry:
                kick(address)
            elif not self.here:
                self.answer["left"] = {"kick": [address]}

    def purge(self) -> None:
        """Delete accounts whose time of grace is over, their mail first: a purge that was killed goes on next time.

        Mail on another host is left to a task there; where that is done, the request names the accounts in `gone`.
        """
        over = due(self.listed(), self.today.isoformat())
        plans = []
        for account in over:
            entry = self.current[account["dn"]]
            store = "".join(entry.attributes.get("mailStorageDirectory", []))
            if store not in ("", *self.request["stores"]):
                raise Failed(f"the mail of {account['address']} lies on {store}, which is no host of group mail_store")
            others = [other for dn, other in self.current.items() if dn != entry.dn]
            plans.append((account["address"], entry, mailbox(entry, others, self.request["mailboxes"])))
        gone: list[str] | None = self.request.get("gone")
        if not self.here and gone is None:
            self.answer["left"] = {"delete": {address: home for address, _entry, home in plans}} if plans else {}
            return
        for address, entry, home in plans:
            if self.here:
                there = delete_mail(address, home, self.request["maildir"], self.dry)
                what = f"account {address}" + (
                    f" and its mail in {there}" if there else ", which had no mail on this host"
                )
            elif address in (gone or ()):
                what = f"account {address}"
            else:
                continue
            self.actions.append(f"{'would delete' if self.dry else 'deleted'} {what}")
            self.answer["deleted"].append(address)
            if self.dry:
                continue
            self.connection.all_of([(f"to delete account {address}", self.deleter(entry.dn))])
            for part in ("accounts", "passwords"):
                self.record[part] = {name: kept for name, kept in self.record.get(part, {}).items() if name != address}
            self.record["leaving"] = {dn: day for dn, day in self.record["leaving"].items() if dn != entry.dn}
            files.save(RECORD, self.record)

    def deleter(self, dn: str) -> Any:
        return lambda: self.connection.delete(dn)

    def set_password(self, address: str) -> None:
        """Set a new password; what the inventory says of it counts as applied."""
        entry = self.known(address)
        self.actions.append(f"{'would set' if self.dry else 'set'} the password of {address}")
        self.answer["password_set"] = True
        if self.dry:
            return
        self.connection.all_of([self.password_request(entry.dn, address)])
        if self.record.get("key") != self.desired["key"] or address not in self.desired["fingerprints"]:
            return  # the next run takes it as it finds it
        passwords = self.record.setdefault("passwords", {})
        mine = self.request["fingerprint"]  # of the new password, where the controller keeps it
        stored = passwords.get(address, {}).get("stored", "")
        if mine:
            found = self.connection.search(entry.dn, "base", names=["userPassword"])
            stored = stored_digest(found[entry.dn].get("userPassword", []))
        print_of = mine or self.desired["fingerprints"][address]
        self.record["passwords"] = {**passwords, address: {"fingerprint": print_of, "stored": stored}}

    def password_request(self, dn: str, address: str) -> tuple[str, Any]:
        return f"to set the password of {address}", lambda: self.connection.password(dn, self.request["password"])

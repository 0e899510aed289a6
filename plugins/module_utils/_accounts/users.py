# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts that are users of this host: added by useradd(8), disabled and enabled by usermod(8).

A disabled user has a locked password and has expired, so that ssh keys and cron jobs do not work either. The password
reaches chpasswd(8) by its standard input.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._accounts.store import AccountStore, kick
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed

DISABLED = 1  # the day, since 1970, on which usermod(8) has a locked user expire
_DAY = 86400  # seconds
_NAME = re.compile(r"[a-z_][a-z0-9_.-]*")  # what every release takes; a number would be taken for a UID


@dataclasses.dataclass(frozen=True)
class User:
    """A user of the host."""

    name: str
    uid: int
    comment: str = ""  # passwd(5)
    password: str = ""  # its field in shadow(5)
    expires: int | None = None  # days since 1970, None for never

    @property
    def locked(self) -> bool:
        return self.password.startswith("!")

    @property
    def has_password(self) -> bool:
        """Whether some password opens it, now or as soon as it is unlocked."""
        return self.password.removeprefix("!")[:1] not in ("", "!", "*")

    @property
    def full_name(self) -> str:
        return self.comment.partition(",")[0]

    def expired(self, today: int) -> bool:
        return self.expires is not None and self.expires <= today

    def logs_in(self, today: int) -> bool:
        """Tell whether a password opens it now."""
        return self.has_password and not self.locked and not self.expired(today)


def parse(passwd: str, shadow: str) -> dict[str, User]:
    """Return the users that are in both files, by name; lines of another form are nobody's.

    A line ends with a line feed alone: users may have other separators, such as U+2028, in their full names.
    """
    secret = {line.split(":")[0]: line.split(":") for line in shadow.split("\n") if line.count(":") == 8}
    found: dict[str, User] = {}
    for words in (line.split(":") for line in passwd.split("\n") if line.count(":") == 6):
        kept = secret.get(words[0])
        if kept and words[0] and words[2].isdecimal():
            expires = int(kept[7]) if kept[7].isdecimal() else None
            found.setdefault(words[0], User(words[0], int(words[2]), words[4], kept[1], expires))
    return found


def to_disable(user: User, today: int) -> list[str]:
    """Return the options of usermod that are needed to disable a user; none for one who is."""
    return [
        *([] if user.locked else ["--lock"]),
        *([] if user.expired(today) else ["--expiredate", str(DISABLED)]),
    ]


def to_enable(user: User, today: int) -> list[str]:
    """Return the options of usermod that take to_disable() back; raises Failed for a user who expired otherwise."""
    if user.expired(today) and user.expires != DISABLED:
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=user.expires or 0)
        raise Failed(f"user {user.name} has expired on {day}: set another date on the host (usermod --expiredate)")
    # usermod(8) unlocks nobody who would have no password at all
    unlock = user.locked and user.password != "!"
    return [*(["--unlock"] if unlock else []), *(["--expiredate", ""] if user.expires == DISABLED else [])]


class Users(AccountStore):
    """Accounts are the users of this host that the inventory names."""

    lock = "accounts"

    def look(self) -> None:
        self.today = int(time.time() // _DAY)
        self.accounts: dict[str, dict[str, Any]] = {one["address"]: one for one in self.request["accounts"]}
        self.users = parse(files.text("/etc/passwd"), files.text("/etc/shadow"))

    def listed(self) -> list[dict[str, Any]]:
        found = []
        for address, account in sorted(self.accounts.items()):
            user = self.users.get(account["user"])
            opens = user is not None and self.is_person(user) and user.logs_in(self.today)
            found.append(
                {
                    "address": address,
                    "dn": "",
                    "user": user.name if user else "",
                    "enabled": account["enabled"] and opens,
                    "aliases": account["aliases"],
                    "forward": account["forward"],
                    "quota": "",
                    "source": "inventory",
                    "delete_from": "",
                }
            )
        return found

    def is_person(self, user: User) -> bool:
        least, most = self.request["uids"]
        return bool(least <= user.uid <= most)

    def person(self, name: str) -> User | None:
        """Return a user, None where there is none; raises Failed for one that is no person or not of this host."""
        user = self.users.get(name)
        if user is None and files.uid_of(name) is not None:
            raise Failed(f"user {name} is not in /etc/passwd and /etc/shadow (nsswitch.conf(5)): change it elsewhere")
        if user and not self.is_person(user):
            least, most = self.request["uids"]
            raise Failed(
                f"user {name} has number {user.uid}, and people have {least} to {most}: a user of the system has no "
                "mail"
            )
        return user

    def known(self, address: str) -> User:
        """Return an account's user, who has to be there."""
        name = self.accounts[address]["user"]
        user = self.person(name)
        if user is None:
            raise Failed(f"there is no user {name} on this host: -e state=present adds it")
        return user

    def say(self, verb: str, past: str, what: str) -> None:
        """Say what was done, or would be."""
        self.actions.append(f"would {verb} {what}" if self.dry else f"{past} {what}")

    def modify(self, user: User, *options: str) -> None:
        if not self.dry:
            units.output("usermod", *options, "--", user.name)

    def note(self, text: str) -> None:
        self.answer["note"] = text

    # --- what can be asked for

    def add(self, address: str) -> None:
        """Add the user of an account, with a home, or change its full name."""
        name, said = self.accounts[address]["user"], self.request["said"]
        user = self.person(name)
        if user is None:
            self.refuse_unfit(name)
            if not self.dry:
                least, most = self.request["uids"]
                rules = (f"UID_MIN={least}", f"UID_MAX={most}", "HOME_MODE=0700")  # login.defs(5)
                options = [word for rule in rules for word in ("-K", rule)]
                options += ["--comment", said["name"]] if said.get("name") else []
                self.useradd(name, options)
            self.say("add", "added", f"user {name} for {address}")
            self.give_password(name)
            return
        if "name" in said and said["name"] != user.full_name:
            self.modify(user, "--comment", "".join((said["name"], *user.comment.partition(",")[1:])))
            self.say("change", "changed", f"the full name of user {name}")
        self.note_missing_password(user)

    def useradd(self, name: str, options: list[str]) -> None:
        try:
            units.output("useradd", "--create-home", "--user-group", *options, "--", name)
        except Failed as error:
            self.look()
            if name not in self.users:
                raise
            self.actions.append(f"added user {name}, not completely")
            raise Failed(
                f"{error}; user {name} is there, without a password: remove it by deluser, and try again"
            ) from None

    def refuse_unfit(self, name: str) -> None:
        """Raise Failed for a name that useradd(8) would refuse, or would give somebody else's group or files."""
        if not _NAME.fullmatch(name):
            raise Failed(
                f"{name} is no name for a new user: a letter or _, then letters, digits, . _ and -. "
                "Add it on the host by useradd(8), or choose another address"
            )
        if files.gid_of(name) is not None:
            raise Failed(f"group {name} is there, and a new user has a group of its own name: choose another address")
        said = units.output("useradd", "--defaults").stdout
        lines = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        home = f"{lines.get('HOME') or '/home'}/{name}"
        if files.status(home) is not None:
            raise Failed(f"{home} is there and may be somebody else's: move it away, or add user {name} by useradd(8)")

    def give_password(self, name: str) -> None:
        if not self.dry:
            units.output("chpasswd", data=f"{name}:{self.request['password']}")  # run_command() ends the line
        self.answer["password_set"] = True

    def note_missing_password(self, user: User) -> None:
        if not user.has_password:
            self.note(f"user {user.name} has no password: postamt.mail.password sets one")

    def enable(self, address: str) -> None:
        user = self.known(address)
        options = to_enable(user, self.today)
        if options:
            self.modify(user, *options)
            self.say("enable", "enabled", f"user {user.name}")
        self.note_missing_password(user)

    def disable(self, address: str) -> None:
        user = self.known(address)
        options = to_disable(user, self.today)
        if options:
            self.modify(user, *options)
            self.say("disable", "disabled", f"user {user.name}: no login, not even by key")
        if not self.dry:
            kick(user.name)  # who is logged in would stay so
        if options and user.expires is not None and not user.expired(self.today):
            day = datetime.date(1970, 1, 1) + datetime.timedelta(days=user.expires)
            self.note(f"user {user.name} was going to expire on {day}: set that date again when it is enabled")
        elif self.accounts[address]["enabled"]:
            self.note(f"mail to {address} still arrives: to refuse it, set enabled: false in mail_accounts")

    def set_password(self, address: str) -> None:
        user = self.known(address)
        disabled = user.expires == DISABLED or (user.locked and user.has_password)
        opens = disabled and not user.expired(self.today)
        if opens:
            self.modify(user, "--expiredate", str(DISABLED))  # chpasswd(8) unlocks: nobody logs in meanwhile
        self.give_password(user.name)
        self.say("set", "set", f"the password of {address}")
        if disabled:
            self.modify(user, "--lock")
            if opens:
                self.modify(user, "--expiredate", "" if user.expires is None else str(user.expires))
        if user.expired(self.today) and user.expires != DISABLED:
            self.note(f"user {user.name} has expired: the password is for when it has another date")
        elif disabled:
            self.note(f"user {user.name} is disabled: the password works once the user is enabled")

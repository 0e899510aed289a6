# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users of the host as accounts: who is one, what each state needs, and that no password is on a command line."""

from __future__ import annotations

import shutil
import time
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._accounts import users
from ansible_collections.postamt.mail.plugins.module_utils._accounts.users import User
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed

TODAY = 20000  # 2024-10-04
HASH = "$y$j9T$abc$def"
PASSWORD = "a-new-one-of-24-letters"
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
anna:x:1000:1000:Anna Ast,Room 5,,:/home/anna:/bin/bash
ben:x:1001:1001::/home/ben:/bin/sh
keys:x:1002:1002::/home/keys:/bin/sh
guest:x:1003:1003::/home/guest:/bin/sh
past:x:1004:1004::/home/past:/bin/sh
svc:x:998:998::/home/svc:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
+::::::
odd:x:1005
alone:x:1006:1006::/home/alone:/bin/sh
"""
SHADOW = f"""\
root:{HASH}:20000:0:99999:7:::
anna:{HASH}:20000:0:99999:7:::
ben:!{HASH}:20000:0:99999:7::1:
keys:*:20000:0:99999:7:::
guest:{HASH}:20000:0:99999:7::20100:
past:{HASH}:20000:0:99999:7::19000:
svc:{HASH}:20000:0:99999:7:::
nobody:{HASH}:20000:0:99999:7:::
"""
FOUND = users.parse(PASSWD, SHADOW)


def test_users_are_those_of_both_files() -> None:
    assert sorted(FOUND) == ["anna", "ben", "guest", "keys", "nobody", "past", "root", "svc"]
    assert FOUND["anna"] == User("anna", 1000, "Anna Ast,Room 5,,", HASH, None)
    assert FOUND["anna"].full_name == "Anna Ast"
    assert (FOUND["ben"].locked, FOUND["ben"].expires, FOUND["guest"].expires) == (True, 1, 20100)


@pytest.mark.parametrize(
    ("name", "opens"),
    [("anna", True), ("ben", False), ("keys", False), ("guest", True), ("past", False)],
)
def test_a_user_logs_in_with_a_password_that_is_neither_locked_nor_expired(name: str, opens: bool) -> None:
    assert FOUND[name].logs_in(TODAY) is opens


@pytest.mark.parametrize(
    ("name", "disable", "enable"),
    [
        ("anna", ["--lock", "--expiredate", "1"], []),
        ("ben", [], ["--unlock", "--expiredate", ""]),
        ("keys", ["--lock", "--expiredate", "1"], []),
        ("guest", ["--lock", "--expiredate", "1"], []),
        ("past", ["--lock"], None),  # its own date stays
    ],
)
def test_what_it_takes_to_disable_and_to_enable(name: str, disable: list[str], enable: list[str] | None) -> None:
    assert users.to_disable(FOUND[name], TODAY) == disable
    if enable is None:
        with pytest.raises(Failed, match="user past has expired on 2022-01-08: set another date on the host"):
            users.to_enable(FOUND[name], TODAY)
    else:
        assert users.to_enable(FOUND[name], TODAY) == enable


def test_nobody_is_unlocked_who_would_have_no_password() -> None:
    assert users.to_enable(User("new", 1010, "", "!", 1), TODAY) == ["--expiredate", ""]
    assert users.to_enable(User("keys", 1010, "", "!*", 1), TODAY) == ["--unlock", "--expiredate", ""]


class Host:
    """A host whose commands are noted; useradd, usermod and chpasswd change its two files as the real ones do."""

    check_mode = False

    def __init__(self) -> None:
        self.broken = ""
        self.half = False  # whether useradd fails when the user is there
        self.commands: list[list[str]] = []
        self.inputs: list[str] = []
        self.users = dict(FOUND)
        self.params: dict[str, t.Any] = {}

    def run_command(self, words: list[str], /, data: str | None = None, **_how: t.Any) -> tuple[int, str, str]:
        if words == ["useradd", "--defaults"]:
            return 0, "GROUP=100\nHOME=/srv/homes\nINACTIVE=-1\n", ""
        self.commands.append(words)
        if words[0] == self.broken:
            return 1, "", "cannot lock /etc/passwd; try again later."
        if data:
            self.inputs.append(data)
        if words[0] == "useradd":
            self.users[words[-1]] = User(words[-1], 1020, "", "!")
            if self.half:
                return 12, "", "cannot create directory"
        elif words[0] == "chpasswd" and data:
            name, _colon, _word = data.partition(":")
            self.users[name] = User(name, self.users[name].uid, "", HASH, self.users[name].expires)
        return 0, "", ""

    def ask(self, state: str, address: str | None = None, **said: t.Any) -> users.Users:
        names = ["anna", "ben", "keys", "guest", "past", "svc", "nobody", "dora", "staff", "12", "a&b"]
        listed = [
            {"address": f"{name}@example.org", "user": name, "enabled": True, "aliases": [], "forward": []}
            for name in names
        ]
        request = {"state": state, "account": address, "said": said, "password": PASSWORD, "uids": [1000, 60000]}
        self.params = {"request": {**request, "accounts": listed}}
        self.call = users.Users(self)
        self.call.execute()
        return self.call

    @property
    def passwd(self) -> str:
        return "".join(f"{one.name}:x:{one.uid}:0:{one.comment}:/:/bin/sh\n" for one in self.users.values())

    @property
    def shadow(self) -> str:
        return "".join(
            f"{one.name}:{one.password}:1:0:9:7::{'' if one.expires is None else one.expires}:\n"
            for one in self.users.values()
        )


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    units.set_runner(found)
    monkeypatch.setattr(files, "text", lambda path: found.passwd if path == "/etc/passwd" else found.shadow)
    monkeypatch.setattr(files, "uid_of", lambda name: 5 if name in found.users or name == "ldapuser" else None)
    monkeypatch.setattr(files, "gid_of", lambda name: 50 if name == "staff" else None)
    monkeypatch.setattr(files, "status", lambda path: "there" if path == "/srv/homes/keys" else None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(time, "time", lambda: TODAY * 86400 + 5)
    return found


def test_a_new_user_gets_a_home_and_a_password_that_is_on_no_command_line(host: Host) -> None:
    call = host.ask("present", "dora@example.org", name="Dora Dachs")
    assert call.actions == ["added user dora for dora@example.org"]
    assert [words[0] for words in host.commands] == ["useradd", "chpasswd"]
    assert host.commands[0][-2:] == ["--", "dora"]
    assert {"--create-home", "--user-group", "UID_MIN=1000", "HOME_MODE=0700", "Dora Dachs"} <= set(host.commands[0])
    assert host.inputs == [f"dora:{PASSWORD}"]
    assert PASSWORD not in str(host.commands)
    assert call.answer["password_set"]
    (dora,) = [one for one in call.answer["accounts"] if one["address"] == "dora@example.org"]
    assert (dora["enabled"], dora["user"]) == (True, "dora")


def test_a_user_that_is_there_is_left_alone(host: Host) -> None:
    call = host.ask("present", "anna@example.org", name="Anna Ast")
    assert (call.actions, host.commands, call.answer["password_set"]) == ([], [], False)
    host.ask("present", "anna@example.org", name="Anna Eck")
    assert host.commands == [["usermod", "--comment", "Anna Eck,Room 5,,", "--", "anna"]]


def test_check_mode_says_it_all_and_does_nothing(host: Host) -> None:
    host.check_mode = True
    assert host.ask("present", "dora@example.org").actions == ["would add user dora for dora@example.org"]
    assert host.ask("disabled", "anna@example.org").actions == ["would disable user anna: no login, not even by key"]
    assert host.ask("enabled", "ben@example.org").actions == ["would enable user ben"]
    assert host.ask("password", "anna@example.org").actions == ["would set the password of anna@example.org"]
    assert host.commands == []


def test_what_failed_is_not_said_to_be_done(host: Host) -> None:
    host.broken = "usermod"
    with pytest.raises(Failed, match="usermod --lock .* cannot lock /etc/passwd"):
        host.ask("disabled", "anna@example.org")
    assert host.call.actions == []
    host.broken = "chpasswd"
    with pytest.raises(Failed) as failed:
        host.ask("present", "dora@example.org")
    assert host.call.actions == ["added user dora for dora@example.org"]
    assert not host.call.answer["password_set"] and PASSWORD not in str(failed.value)
    host.broken = ""
    assert (
        host.ask("present", "dora@example.org").answer["note"].startswith("user dora has no password: postamt.mail.p")
    )


def test_the_second_call_changes_nothing(host: Host) -> None:
    assert host.ask("disabled", "ben@example.org").actions == []
    assert host.ask("enabled", "anna@example.org").actions == []
    assert host.commands == []


def test_a_new_password_enables_nobody(host: Host) -> None:
    call = host.ask("password", "ben@example.org")
    assert host.commands == [["chpasswd"], ["usermod", "--lock", "--", "ben"]]
    assert "user ben is disabled" in call.answer["note"]
    host.commands.clear()
    host.ask("password", "keys@example.org")
    assert host.commands == [["chpasswd"]]


def test_a_date_of_its_own_is_not_lost_in_silence(host: Host) -> None:
    note = host.ask("disabled", "guest@example.org").answer["note"]
    assert note == "user guest was going to expire on 2025-01-12: set that date again when it is enabled"


@pytest.mark.parametrize("state", ["present", "enabled", "disabled", "password"])
@pytest.mark.parametrize(("name", "number"), [("svc", 998), ("nobody", 65534)])
def test_no_user_of_the_system_is_touched(host: Host, state: str, name: str, number: int) -> None:
    with pytest.raises(Failed, match=f"user {name} has number {number}, and people have 1000 to 60000"):
        host.ask(state, f"{name}@example.org")
    assert host.commands == []


@pytest.mark.parametrize("state", ["enabled", "disabled", "password"])
def test_who_is_not_there_is_said(host: Host, state: str) -> None:
    with pytest.raises(Failed, match="there is no user dora on this host: -e state=present adds it"):
        host.ask(state, "dora@example.org")


@pytest.mark.parametrize("state", ["absent", "purged"])
def test_no_user_is_removed(host: Host, state: str) -> None:
    with pytest.raises(Failed, match="accounts are not (removed|deleted) here"):
        host.ask(state, "anna@example.org")
    assert host.commands == []


def test_nobody_gets_the_files_of_a_former_user(host: Host) -> None:
    del host.users["keys"]
    with pytest.raises(Failed, match="/srv/homes/keys is there and may be somebody else's"):
        host.ask("present", "keys@example.org")
    assert host.commands == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("12", "12 is no name for a new user"), ("a&b", "a&b is no name for a new"), ("staff", "group staff is there")],
)
def test_what_useradd_would_refuse_is_said_in_check_mode_too(host: Host, name: str, sentence: str) -> None:
    host.check_mode = True
    with pytest.raises(Failed, match=sentence):
        host.ask("present", f"{name}@example.org")


def test_a_user_from_elsewhere_is_changed_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "uid_of", lambda name: 70000)
    with pytest.raises(Failed, match="user dora is not in /etc/passwd and /etc/shadow"):
        host.ask("present", "dora@example.org")


def test_the_list_says_who_logs_in(host: Host) -> None:
    said = {one["address"].partition("@")[0]: (one["user"], one["enabled"]) for one in host.ask("listed").listed()}
    assert said == {
        "anna": ("anna", True), "ben": ("ben", False), "keys": ("keys", False), "guest": ("guest", True),
        "past": ("past", False), "svc": ("svc", False), "nobody": ("nobody", False),
        **dict.fromkeys(("dora", "staff", "12", "a&b"), ("", False)),
    }  # fmt: skip


def test_a_full_name_breaks_no_line() -> None:
    """chfn(1) takes U+2028 and U+0085, which are line breaks to Python."""
    found = users.parse("ann:x:1001:1001:x\u2028y\x85z,,,:/:/bin/sh\n", "ann:$y$z:1:0:9:7:::\n")
    assert found["ann"].full_name == "x\u2028y\x85z"


def test_nobody_logs_in_while_a_locked_user_gets_a_password(host: Host) -> None:
    host.users["ben"] = User("ben", 1002, "", f"!{HASH}", None)
    host.ask("password", "ben@example.org")
    assert host.commands == [
        ["usermod", "--expiredate", "1", "--", "ben"],
        ["chpasswd"],
        ["usermod", "--lock", "--", "ben"],
        ["usermod", "--expiredate", "", "--", "ben"],
    ]


def test_a_user_who_has_expired_is_not_said_to_log_in(host: Host) -> None:
    host.users["past"] = User("past", 1005, "", HASH, TODAY - 5)
    assert "has expired" in host.ask("password", "past@example.org").answer["note"]


def test_half_a_user_is_said_to_be_there(host: Host) -> None:
    host.half = True
    with pytest.raises(Failed, match="cannot create directory; user dora is there, without a password: remove it"):
        host.ask("present", "dora@example.org")
    assert host.call.actions == ["added user dora, not completely"]

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be asked of an account between two runs, and where its password is kept."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.action import account
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import AccountStore, Asked
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, parse_fields
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address

ANNA, BEN, DORA = "anna@example.org", "ben@example.org", "dora@example.org"


def site(**more: t.Any) -> Site:
    variables = {
        "mail_domains": ["example.org"],
        "mail_accounts": [
            {"address": ANNA, "aliases": ["a@example.org"], "password": "open-sesame-1"},
            {"address": BEN, "enabled": False},
        ],
        **more,
    }
    known = Secrets({"left@example.org": "1"})
    return parse_site(variables, {"mail.example.org": HostInput()}, compose.concerns().values(), known)


def said(state: str, address: str | None = None, on: Site | None = None, **more: t.Any) -> list[str]:
    problems: list[Problem] = []
    who = {"account": address} if address else {}
    asked = parse_fields(Asked, {"state": state, **who, **more}, "", problems, prefix="")
    return [*map(str, problems), *(map(str, account.check(on or site(), asked)) if asked else [])]


def store(on: Site) -> AccountStore:
    assert on.lookups.store
    return on.lookups.store


@pytest.mark.parametrize(
    ("state", "address", "more", "sentence"),
    [
        ("absent", ANNA, {}, f"account is '{ANNA}': is in the inventory: take it out there"),
        ("present", ANNA, {}, f"account is '{ANNA}': is in the inventory: change it there"),
        ("enabled", BEN, {}, f"account is '{BEN}': is disabled in the inventory: take enabled: false out there"),
        ("present", "dora@example.rog", {}, "must be in one of mail_domains (example.org); did you mean example.org?"),
        ("present", "postmaster@example.org", {}, "is taken already by an account or alias of the inventory"),
        ("present", DORA, {"aliases": ["a@example.org"]}, "aliases is 'a@example.org': is taken already"),
        ("present", DORA, {"quota": 1500}, "quota is 1500: must be a multiple of 1024 bytes"),
        ("present", DORA, {"quota": "much"}, "quota is 'much': must be a size"),
        ("present", "dora", {}, "account is 'dora': must be a mail address"),
        ("present", "x+y@example.org", {}, "account is 'x+y@example.org': must not have + before its @"),
        ("present", "x%y@example.org", {}, "account is 'x%y@example.org': must not have % before its @"),
        ("present", DORA, {"aliases": ["x!y@example.org"]}, "aliases[0] is 'x!y@example.org': must not have ! before"),
        ("present", DORA, {"forward": ["dora+x@example.org"]}, "forward: point in a circle: dora@example.org -> dora@"),
        (
            "present",
            DORA,
            {"forward": ["dora+x@example.org"], "keep_copy": True},
            "forward: point in a circle: mail to",
        ),
        ("disabled", DORA, {"quota": 1024}, "quota: is allowed with state=present only"),
        ("disabled", ANNA, {}, f"account is '{ANNA}': reads mail to root and postmaster"),
        ("password", None, {}, "account: must name an account: -e account=ADDRESS"),
        ("purged", DORA, {}, "state is 'purged': works on all accounts"),
    ],
)
def test_what_cannot_be_is_said(state: str, address: str | None, more: dict[str, t.Any], sentence: str) -> None:
    (problem,) = said(state, address, **more)
    assert sentence in problem


@pytest.mark.parametrize(
    ("state", "address"),
    [
        ("listed", None), ("purged", None), ("present", DORA), ("absent", DORA), ("enabled", DORA), ("enabled", ANNA),
        ("disabled", BEN), ("password", BEN), ("password", DORA),
    ],
)  # fmt: skip
def test_the_rest_is_for_the_host_to_decide(state: str, address: str | None) -> None:
    assert said(state, address) == []


def test_an_account_that_was_there_before_the_rule_can_still_go() -> None:
    assert said("absent", "x+y@example.org") == said("disabled", "x+y@example.org") == []


def test_the_last_reader_of_the_postmasters_mail_stays() -> None:
    listed = site(mail_postmaster="team@example.org", mail_aliases={"team@example.org": [ANNA, BEN]})
    assert "reads mail to root and postmaster" in said("disabled", ANNA, listed)[0]
    assert said("disabled", BEN, listed) == []


def test_an_exclusive_inventory_takes_none_beside_it() -> None:
    exclusive = site(mail_accounts_exclusive=True)
    for state in ("present", "enabled"):
        assert "which alone decides here" in said(state, DORA, exclusive)[0]
    assert said("disabled", DORA, exclusive) == said("absent", DORA, exclusive) == []


def test_a_line_of_the_list() -> None:
    plain = {"address": DORA, "enabled": True, "source": "by hand", "dn": "uid=1", "delete_from": ""}
    plain |= {"aliases": [], "forward": [], "quota": ""}
    assert account.line(plain) == f"{DORA}  enabled  by hand  uid=1"
    more = {**plain, "aliases": ["d@example.org"], "forward": ["x@example.net"], "quota": "2G"}
    assert "  aliases d@example.org  forwards to x@example.net  quota 2G  " in account.line(more)


USERS = {
    "mail_accounts_backend": "system",
    "mail_accounts": [{"address": ANNA, "aliases": ["a@example.org"]}, {"address": BEN, "enabled": False}],
}


@pytest.mark.parametrize(
    ("state", "address", "more", "sentence"),
    [
        ("present", DORA, {}, f"account is '{DORA}': is not in mail_accounts, and only users of the host listed there"),
        ("password", "ana@example.org", {}, "postamt.mail.site first; did you mean anna@example.org?"),
        ("disabled", "root@example.org", {}, "account is 'root@example.org': is not in mail_accounts"),
        ("password", "a@example.org", {}, f"account is 'a@example.org': is an alias: name its account, {ANNA}"),
        (
            "present",
            ANNA,
            {"quota": 1024},
            "quota: is for accounts in the directory; for users of the host, mail_quota",
        ),
        ("present", ANNA, {"aliases": []}, "aliases: is set in the inventory only for users of the host"),
        ("present", ANNA, {"forward": [BEN]}, "forward: is set in the inventory only for users of the host"),
        ("present", ANNA, {"keep_copy": True}, "keep_copy: is set in the inventory only for users of the host"),
        ("present", ANNA, {"name": "A:B"}, "name is 'A:B': must not have : , = or control characters"),
        ("present", BEN, {}, f"account is '{BEN}': is disabled in the inventory"),
        ("enabled", BEN, {}, f"account is '{BEN}': is disabled in the inventory"),
        ("disabled", ANNA, {}, f"account is '{ANNA}': reads mail to root and postmaster"),
        ("absent", ANNA, {}, "state is 'absent': is for accounts in the directory; a user of the host has a home"),
        ("purged", None, {}, "remove the user there with deluser(8)"),
        ("password", None, {}, "account: must name an account: -e account=ADDRESS"),
    ],
)
def test_what_cannot_be_with_users_of_the_host_is_said(
    state: str, address: str | None, more: dict[str, t.Any], sentence: str
) -> None:
    (problem,) = said(state, address, site(**USERS), **more)
    assert sentence in problem


@pytest.mark.parametrize(
    ("state", "address", "more"),
    [("listed", None, {}), ("present", ANNA, {"name": "Anna"}), ("password", BEN, {}), ("disabled", BEN, {})],
)
def test_users_of_the_host_are_changed_there(state: str, address: str | None, more: dict[str, t.Any]) -> None:
    assert said(state, address, site(**USERS), **more) == []


def test_the_controller_keeps_no_password_of_a_users() -> None:
    users = site(**USERS)
    assert not any(store(users).keeps(users, address) for address in (ANNA, BEN, "left@example.org"))
    assert store(users).forgotten(users, ["left@example.org"]) == set()


def test_a_line_of_the_list_of_users() -> None:
    plain = {"address": ANNA, "enabled": True, "source": "inventory", "dn": "", "user": "anna", "delete_from": ""}
    plain |= {"aliases": [], "forward": [], "quota": ""}
    assert account.line(plain) == f"{ANNA}  enabled  inventory  user anna"
    assert account.line({**plain, "enabled": False, "user": ""}) == f"{ANNA}  disabled  inventory  not there yet"


def test_the_controller_keeps_generated_passwords_only() -> None:
    kept = {address: store(site()).keeps(site(), address) for address in (ANNA, BEN, DORA, "left@example.org")}
    assert kept == {ANNA: False, BEN: True, DORA: False, "left@example.org": True}


def test_no_password_but_a_deleted_accounts_is_forgotten() -> None:
    deleted = ["left@example.org", ANNA, BEN, "service:postfix", "client:app1.example.org", "fingerprint-key"]
    assert store(site()).forgotten(site(), deleted) == {"left@example.org"}


def test_no_more_is_left_to_another_host_than_was_asked_for() -> None:
    left = {"kick": ["*", "-f", BEN], "delete": {ANNA: "/var/vmail/0123"}}
    assert account.allowed(Asked("listed"), left) == {}
    assert account.allowed(Asked("disabled", Address(DORA)), left) == {"kick": [DORA]}
    assert account.allowed(Asked("purged"), left) == {"delete": left["delete"]}
    assert account.allowed(Asked("absent", Address(DORA)), {}) == {}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts between two runs: whose they are, when they may be deleted, and what goes with them."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import accounts, entries


def entry(name: str, *aliases: str, enabled: str = "TRUE", home: str | None = None) -> entries.Entry:
    values = {
        "objectClass": [*entries.ACCOUNT], "mail": [f"{name}@example.org"], "mailEnabled": [enabled],
        "mailAlias": list(aliases), "mailHomeDirectory": [f"/var/vmail/{name}" if home is None else home],
    }  # fmt: skip
    return entries.Entry(f"uid={name},ou=accounts,o=mail", {key: value for key, value in values.items() if value})


CURRENT = {found.dn: found for found in (entry("anna"), entry("ben", enabled="FALSE"), entry("carl", "c@example.org"))}
DN = {name: f"uid={name},ou=accounts,o=mail" for name in ("anna", "ben", "carl")}


def test_whose_an_account_is_and_when_it_may_go() -> None:
    record = {"accounts": {"anna@example.org": {}, "ben@example.org": {}}, "leaving": {DN["ben"]: "2026-12-24"}}
    anna, ben, carl = accounts.listed({"accounts": {"anna@example.org": {}}}, CURRENT, record)
    assert (anna["source"], anna["enabled"], anna["delete_from"]) == ("inventory", True, "")
    assert (ben["source"], ben["enabled"], ben["delete_from"]) == ("left the inventory", False, "2026-12-24")
    assert (carl["source"], carl["dn"]) == ("by hand", DN["carl"])
    assert accounts.due([anna, ben, carl], "2026-12-23") == []
    assert accounts.due([anna, ben, carl], "2026-12-24") == [ben]


@pytest.mark.parametrize(
    ("kib", "shown"), [("2097152", "2G"), ("1500", "1500K"), ("3072", "3M"), ("0", "0"), ("", ""), ("odd", "odd")]
)
def test_the_list_says_what_an_account_has(kib: str, shown: str) -> None:
    found = entry("dora", "Dora@example.org", "d@example.org")
    found.attributes.update(mailForwardingAddress=["dora@example.org", "x@example.net"], mailQuota=[kib])
    (dora,) = accounts.listed({"accounts": {}}, {found.dn: found}, {})
    assert (dora["aliases"], dora["forward"], dora["quota"]) == (["d@example.org"], ["x@example.net"], shown)


def test_nobody_who_is_enabled_or_in_the_inventory_may_go() -> None:
    record = {"leaving": dict.fromkeys(DN.values(), "2026-01-01")}
    found = accounts.listed({"accounts": {"ben@example.org": {}}}, CURRENT, record)
    assert accounts.due(found, "2026-12-24") == []


def test_an_address_is_taken_by_an_account_or_alias() -> None:
    wanted = ["anna@example.org", "C@example.org", "dora@example.org"]
    assert accounts.taken(CURRENT, "", wanted) == {
        "anna@example.org": "anna@example.org", "c@example.org": "carl@example.org",
    }  # fmt: skip
    assert accounts.taken(CURRENT, DN["anna"], ["anna@example.org"]) == {}


@pytest.mark.parametrize(
    ("pattern", "address", "folder"),
    [
        ("~/Maildir", "a@example.org", ""),
        ("/mail/{user}/", "a@example.org", "/mail/a@example.org"),
        ("/mail/{domain}/{local}", "a@example.org", "/mail/example.org/a"),
        ("/mail/{domain}/{local}", "{domain}@example.org", "/mail/example.org/{domain}"),
    ],
)
def test_mail_may_lie_by_address(pattern: str, address: str, folder: str) -> None:
    assert accounts.maildir(pattern, address) == folder


@pytest.mark.parametrize("address", ["../a@example.org", "..@example.org", "a@..", "a@", "a"])
def test_no_address_leads_elsewhere(address: str) -> None:
    with pytest.raises(Failed, match="is no address by which"):
        accounts.maildir("/mail/{domain}/{local}", address)


def test_a_forward_goes_to_somebody_who_is_there() -> None:
    wanted = {"domains": ["example.org"], "accounts": {"eva@example.org": {}}, "aliases": {"info@example.org": []}}
    there = ["c@example.org", "anna+x@example.org", "eva@example.org", "info@example.org", "dora+y@example.org"]
    assert accounts.lost(CURRENT, wanted, ["dora@example.org"], [*there, "x@elsewhere.example"]) == []
    assert accounts.lost(CURRENT, wanted, [], ["dora@example.org", "c+x@example.org"]) == ["dora@example.org"]


def test_a_mailbox_is_a_folder_of_its_own() -> None:
    assert accounts.mailbox(entry("anna"), [entry("ben")], "/var/vmail") == "/var/vmail/anna"
    assert accounts.mailbox(entry("anna", home=""), [], "/var/vmail") == ""


@pytest.mark.parametrize(
    "home",
    ["/var/vmail", "/var/vmail/", "/var/vmail/.", "/var/vmail/a/b", "/var/vmail/../lib", "/", "/etc", "/var/vmail/ben",
     "/var/vmail/x/../ben/", "/var/vmail/.hidden", "var/vmail/anna"],
)  # fmt: skip
def test_no_other_folder_is_deleted(home: str) -> None:
    with pytest.raises(Failed, match="of anna@example.org is not one folder of its own in /var/vmail"):
        accounts.mailbox(entry("anna", home=home), [entry("ben")], "/var/vmail")


class Ended(Exception):
    """The module has ended with this answer."""


@pytest.mark.parametrize("home", ["/var/vmail/..", "/var/vmail/", "/var/vmail/.x", "/var/vmail/a/b", "/etc", "x"])
def test_nothing_but_a_mailbox_is_deleted_for_another_host(home: str) -> None:
    class Module:
        check_mode = True
        params = {"request": {"left": {"delete": {"x@example.org": home}}, "mailboxes": "/var/vmail"}}

        def fail_json(self, **answer: object) -> None:
            raise Ended(str(answer["msg"]))

    with pytest.raises(Ended, match="is no mailbox$"):
        accounts.do_left(Module())

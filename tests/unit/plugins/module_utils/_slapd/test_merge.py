# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The three-way merge of entries: a directory as a dictionary, merged until nothing is left to do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._slapd import entries
from ansible_collections.postamt.mail.plugins.module_utils._slapd.merge import Merge, merge, united

ANNA, BEN = "anna@example.org", "ben@example.org"
NEW = {
    "home": "/var/vmail",
    "mailUidNumber": "5000",
    "mailGidNumber": "5000",
    "mailStorageDirectory": "mail.example.org",
}


def account(*aliases: str, **more: list[str]) -> dict[str, list[str]]:
    found = {"cn": ["Anna"], "sn": ["Anna"], "mailEnabled": ["TRUE"], "mailAlias": list(aliases), **more}
    return {name: values for name, values in found.items() if values}


def wish(accounts: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    accounts = accounts or {}
    return {
        "suffix": "o=mail",
        "domains": ["example.org"],
        "services": {},
        "clients": [],
        "policies": {},
        "stores": ["mail.example.org"],
        "aliases": {},
        "accounts": accounts,
        "new_account": NEW,
        "key": "k",
        "renamed": {},
        "exclusive": False,
        "fingerprints": {name: f"print of {name}" for name in accounts},
        **more,
    }


def digest(values: Any) -> str:
    return "digest of " + "".join(values)


class Directory:
    """What slapd would hold, and the record beside it."""

    def __init__(self) -> None:
        self.entries: dict[str, entries.Entry] = {}
        self.record: dict[str, Any] = {}
        self.numbers = map(str, itertools.count(1))

    def merge(self, wanted: dict[str, Any]) -> Merge:
        return merge(wanted, self.entries, self.record, digest, lambda: next(self.numbers))

    def run(self, wanted: dict[str, Any]) -> Merge:
        """Merge as a run does: changes, then the passwords asked for; nothing may be left afterwards."""
        first = merge = self.merge(wanted)
        for change in merge.changes:
            if change.after is None:
                del self.entries[change.dn]
            else:
                values = change.after
                self.entries[change.dn] = entries.Entry(change.dn, {name: list(values[name]) for name in values})
        self.record.update(merge.record)
        for name in merge.needed:
            found = self.account(name) if "@" in name else self.entries[f"cn={name[8:]},ou=services,o=mail"]
            stored = [f"hash of {wanted['fingerprints'][name]}"]
            found.attributes["userPassword"] = stored
            print_of = wanted["fingerprints"][name]
            self.record["passwords"][name] = {"fingerprint": print_of, "stored": digest(stored)}
        again = self.merge(wanted)
        assert (again.changes, again.needed) == ([], [])
        return first

    def account(self, address: str) -> entries.Entry:
        return next(e for e in self.entries.values() if "uid" in e.attributes and e.attributes["mail"] == [address])


@pytest.fixture
def directory() -> Directory:
    return Directory()


def verbs(merge: Merge) -> list[tuple[str, str, str]]:
    return [(change.verb, change.kind, change.name) for change in merge.changes if change.kind != "branch"]


def test_a_new_account_gets_an_id_that_it_keeps(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    anna = directory.account(ANNA)
    assert anna.dn == "uid=1,ou=accounts,o=mail"
    assert anna.attributes["mailHomeDirectory"] == ["/var/vmail/1"]
    directory.run(wish({ANNA: account("a@example.org", mailQuota=["1024"])}))
    assert directory.account(ANNA).dn == anna.dn
    assert directory.account(ANNA).attributes["mailQuota"] == ["1024"]


def test_what_others_added_stays_and_what_left_the_inventory_goes(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org")}))
    directory.account(ANNA).attributes["mailAlias"].append("theirs@example.org")
    directory.run(wish({ANNA: account("b@example.org")}))
    assert directory.account(ANNA).attributes["mailAlias"] == ["theirs@example.org", "b@example.org"]


def test_case_does_not_count(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org")}))
    directory.account(ANNA).attributes["mailAlias"] = ["A@Example.org"]
    assert verbs(directory.run(wish({ANNA: account("a@example.org")}))) == []


def test_a_name_is_spelt_as_the_inventory_has_it(directory: Directory) -> None:
    directory.run(wish({ANNA: account(cn=["anna maier"], sn=["maier"])}))
    directory.run(wish({ANNA: account(cn=["Anna Maier"], sn=["Maier"])}))
    found = directory.account(ANNA).attributes
    assert (found["cn"], found["sn"]) == (["Anna Maier"], ["Maier"])


def test_a_circle_with_somebody_elses_account_is_said(directory: Directory) -> None:
    directory.run(wish({ANNA: account(ANNA, mailForwardingAddress=[BEN])}))
    theirs = account(BEN, mailForwardingAddress=[ANNA], mail=[BEN], objectClass=[*entries.ACCOUNT, entries.FORWARD])
    directory.entries["uid=ben,ou=accounts,o=mail"] = entries.Entry("uid=ben,ou=accounts,o=mail", theirs)
    wanted = wish({ANNA: account(ANNA, mailForwardingAddress=[BEN])})
    said = f"aliases and forwards point in a circle: {ANNA} -> {BEN} -> {ANNA}; mail to them waits"
    assert any(said in note for note in directory.merge(wanted).notes)
    theirs["mailEnabled"] = ["FALSE"]
    assert not any("circle" in note for note in directory.merge(wanted).notes)
    theirs.update(mailEnabled=["TRUE"], mailForwardingAddress=[ANNA, BEN])  # a copy is kept
    assert not any("circle" in note for note in directory.merge(wanted).notes)


def test_a_forward_comes_and_goes_with_its_class(directory: Directory) -> None:
    forward = account(ANNA, mailForwardingAddress=[BEN])
    directory.run(wish({ANNA: forward}))
    assert entries.FORWARD in directory.account(ANNA).attributes["objectClass"]
    directory.run(wish({ANNA: account()}))
    assert entries.FORWARD not in directory.account(ANNA).attributes["objectClass"]
    assert "mailAlias" not in directory.account(ANNA).attributes


def test_a_limit_that_is_no_longer_set_goes_and_one_set_by_others_stays(directory: Directory) -> None:
    directory.run(wish({ANNA: account(mailQuota=["10"])}))
    directory.run(wish({ANNA: account()}))
    assert "mailQuota" not in directory.account(ANNA).attributes
    directory.account(ANNA).attributes["mailQuota"] = ["77"]
    directory.run(wish({ANNA: account()}))
    assert directory.account(ANNA).attributes["mailQuota"] == ["77"]
    directory.run(wish({ANNA: account(mailQuota=["10"])}))
    assert directory.account(ANNA).attributes["mailQuota"] == ["10"]


def test_an_account_that_left_is_disabled_and_comes_back_as_it_was(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org"), BEN: account()}))
    home = directory.account(ANNA).attributes["mailHomeDirectory"]
    assert verbs(directory.run(wish({BEN: account()}))) == [("disable", "account", ANNA)]
    anna = directory.account(ANNA).attributes
    assert anna["mailEnabled"] == ["FALSE"]
    assert "mailAlias" not in anna
    directory.run(wish({ANNA: account(), BEN: account()}))
    assert directory.account(ANNA).attributes["mailEnabled"] == ["TRUE"]
    assert directory.account(ANNA).attributes["mailHomeDirectory"] == home


def test_a_strangers_account_is_left_alone(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    theirs = {"objectClass": ["inetOrgPerson"], "mail": ["x@example.org"], "uid": ["x"], "cn": ["X"], "sn": ["X"]}
    directory.entries["uid=x,ou=accounts,o=mail"] = entries.Entry("uid=x,ou=accounts,o=mail", theirs)
    assert verbs(directory.run(wish({ANNA: account()}))) == []


def test_an_account_disabled_in_the_directory_stays_so(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    directory.account(ANNA).attributes["mailEnabled"] = ["FALSE"]
    assert verbs(directory.run(wish({ANNA: account()}))) == []


def test_aliases(directory: Directory) -> None:
    info, other = "info@example.org", "o+x,y@example.org"
    directory.run(wish({ANNA: account()}, aliases={info: [ANNA], other: [ANNA]}))
    dn = f"cn={info},ou=aliases,o=mail"
    assert directory.entries[dn].attributes["mailForwardingAddress"] == [ANNA]
    assert "cn=o\\+x\\,y@example.org,ou=aliases,o=mail" in directory.entries
    directory.entries[dn].attributes["mailForwardingAddress"].append("theirs@example.net")
    assert verbs(directory.run(wish({ANNA: account()}))) == [("change", "alias", info), ("remove", "alias", other)]
    assert directory.entries[dn].attributes["mailForwardingAddress"] == ["theirs@example.net"]


def test_domains(directory: Directory) -> None:
    directory.run(wish(domains=["example.org", "example.net"]))
    assert verbs(directory.run(wish())) == [("remove", "domain", "example.net")]


def test_a_password_that_the_user_changed_stays_until_the_inventorys_changes(directory: Directory) -> None:
    wanted = wish({ANNA: account()})
    assert directory.run(wanted).needed == [ANNA]
    directory.account(ANNA).attributes["userPassword"] = ["own"]
    merge = directory.merge(wanted)
    assert merge.needed == []
    assert merge.notes == [f"passwords kept that the users changed themselves: {ANNA}"]
    assert directory.run({**wanted, "fingerprints": {ANNA: "another"}}).needed == [ANNA]


def test_an_account_that_comes_back_has_the_password_that_the_inventory_says_now(directory: Directory) -> None:
    wanted = wish({ANNA: account()})
    directory.run(wanted)
    assert verbs(directory.run(wish())) == [("disable", "account", ANNA)]
    assert directory.merge(wanted).needed == [], "the same password"
    merge = directory.run({**wanted, "fingerprints": {ANNA: "another"}})
    assert (merge.needed, merge.notes) == ([ANNA], [])
    del directory.entries[next(dn for dn in directory.entries if dn.startswith("uid="))]
    directory.run(wish())
    assert directory.record["passwords"] == {}


def test_a_password_asked_for_and_not_brought_is_asked_for_again(directory: Directory) -> None:
    wanted = wish({ANNA: account()})
    directory.run(wanted)
    changed = {**wanted, "fingerprints": {ANNA: "another"}}
    directory.record.update(directory.merge(changed).record)
    assert directory.merge(changed).needed == [ANNA]


@pytest.mark.parametrize("loss", ["record", "key"])
def test_without_a_base_passwords_of_users_stay_and_those_of_services_are_set(directory: Directory, loss: str) -> None:
    wanted = wish({ANNA: account()}, services={"postfix": {}})
    wanted["fingerprints"]["service:postfix"] = "p"
    directory.run(wanted)
    if loss == "record":
        directory.record.clear()
    else:
        wanted["key"] = "another"
    merge = directory.run(wanted)
    assert merge.needed == ["service:postfix"]
    assert merge.notes == [f"passwords kept that were there before: {ANNA}"]


def test_a_service_whose_password_somebody_changed_gets_its_own_back(directory: Directory) -> None:
    wanted = wish(services={"postfix": {}}, fingerprints={"service:postfix": "p"})
    directory.run(wanted)
    directory.entries["cn=postfix,ou=services,o=mail"].attributes["userPassword"] = ["x"]
    assert directory.run(wanted).needed == ["service:postfix"]


def test_a_record_of_a_run_that_ended_half_way_holds_both(directory: Directory) -> None:
    old = {"accounts": {ANNA: account("a@example.org")}, "aliases": {"x@e.org": [ANNA]}, "domains": ["a"]}
    new = {"accounts": {ANNA: account("b@example.org")}, "aliases": {"y@e.org": [ANNA]}, "domains": ["b"]}
    both = united(old, {**new, "withdrawn": {"cn=y": [ANNA]}})
    assert both["withdrawn"] == {"cn=y": [ANNA]}
    assert both["accounts"][ANNA]["mailAlias"] == ["a@example.org", "b@example.org"]
    assert list(both["aliases"]) == ["x@e.org", "y@e.org"]
    assert both["domains"] == ["a", "b"]


def test_a_suffix_of_domain_components(directory: Directory) -> None:
    merge = directory.merge(wish(suffix="dc=example,dc=org"))
    assert merge.changes[0].after == {"objectClass": ["organization", "dcObject"], "dc": ["example"], "o": ["example"]}


# Renamed accounts

ANNE = "anne@example.org"


def renamed(**more: Any) -> dict[str, Any]:
    former = {ANNE: {"from": ANNA, "fingerprint": f"print of {ANNA}"}}
    return wish({ANNE: account()}, renamed=former, **more)


def test_a_renamed_account_keeps_everything_but_its_address(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org", ANNA, mailForwardingAddress=[BEN], mailQuota=["1024"])}))
    before = directory.account(ANNA)
    before.attributes["mailAlias"].append("theirs@example.org")
    before.attributes["userPassword"] = ["chosen by the user"]
    done = directory.run(renamed())
    assert verbs(done) == [("rename", "account", f"{ANNA} -> {ANNE}")]
    assert done.notes == [f"passwords kept that the users changed themselves: {ANNE}"]
    after = directory.account(ANNE)
    assert (after.dn, after.attributes["mailHomeDirectory"]) == (before.dn, before.attributes["mailHomeDirectory"])
    assert after.attributes["mailAlias"] == ["theirs@example.org"]
    assert directory.record["passwords"].keys() == directory.record["accounts"].keys() == {ANNE}
    directory.run(wish({ANNE: account()}))
    assert verbs(directory.run(renamed())) == []


def test_a_password_that_changes_with_the_address_is_applied(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    former = {ANNE: {"from": ANNA, "fingerprint": "print of another"}}
    assert directory.run(wish({ANNE: account()}, renamed=former)).needed == [ANNE]


def test_a_former_address_may_be_somebody_elses_later(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    directory.run(renamed())
    theirs = {"objectClass": [*entries.ACCOUNT], "mail": [ANNA], "uid": ["x"]}
    directory.entries["uid=x,ou=accounts,o=mail"] = entries.Entry("uid=x,ou=accounts,o=mail", theirs)
    done = directory.run(renamed())
    assert (verbs(done), done.notes) == ([], [])


def test_a_name_that_is_taken_is_said(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    directory.run(wish({ANNE: account()}))
    done = directory.run(renamed())
    assert done.notes == [f"account {ANNA} was not renamed to {ANNE}, which is there already"]


def test_a_run_killed_while_renaming_is_finished(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org")}))
    merge = directory.merge(renamed())
    directory.record.update(united(directory.record, merge.record))
    for sent in (False, True):
        if sent:
            (change,) = merge.changes
            assert change.after is not None
            directory.entries[change.dn] = entries.Entry(change.dn, change.after)
        again = directory.merge(renamed())
        assert verbs(again) == ([] if sent else [("rename", "account", f"{ANNA} -> {ANNE}")])
        assert (again.needed, again.notes) == ([], [])
        assert again.record["accounts"].keys() == {ANNE}


# An inventory that alone decides


def test_an_exclusive_inventory_lets_nothing_else_be(directory: Directory) -> None:
    directory.run(wish({ANNA: account("a@example.org")}, aliases={"info@example.org": [ANNA]}))
    directory.account(ANNA).attributes["mailAlias"].append("theirs@example.org")
    guest = {"objectClass": [*entries.ACCOUNT], "mail": ["guest@example.org"], "uid": ["x"], "mailEnabled": ["TRUE"]}
    directory.entries["uid=x,ou=accounts,o=mail"] = entries.Entry("uid=x,ou=accounts,o=mail", guest)
    list_ = {
        "objectClass": [entries.FORWARD],
        "mail": ["list@example.org"],
        "mailForwardingAddress": ["carl@example.org"],
    }
    directory.entries["cn=list,ou=aliases,o=mail"] = entries.Entry("cn=list,ou=aliases,o=mail", list_)
    directory.entries["cn=info@example.org,ou=aliases,o=mail"].attributes["mailForwardingAddress"].append(BEN)
    same = {"aliases": {"info@example.org": [ANNA]}}
    assert verbs(directory.run(wish({ANNA: account("a@example.org")}, **same))) == []
    done = directory.run(wish({ANNA: account("a@example.org")}, exclusive=True, **same))
    gone = f"{BEN}, theirs@example.org"
    assert done.notes == [f"addresses that are not in the inventory are removed (mail_accounts_exclusive): {gone}"]
    assert verbs(done) == [
        ("change", "alias", "info@example.org"),
        ("remove", "alias", "list@example.org"),
        ("change", "account", ANNA),
        ("disable", "account", "guest@example.org"),
    ]
    assert directory.account(ANNA).attributes["mailAlias"] == ["a@example.org"]


def test_an_account_that_left_cannot_be_enabled_beside_an_exclusive_inventory(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    directory.run(wish({}))
    directory.account(ANNA).attributes["mailEnabled"] = ["TRUE"]
    assert verbs(directory.run(wish({}))) == []
    assert verbs(directory.run(wish({}, exclusive=True))) == [("disable", "account", ANNA)]


# Accounts that may be deleted


def test_the_day_of_deletion_is_forgotten_where_an_account_is_wanted_again(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    directory.run(wish({}))
    directory.record["leaving"] = {
        directory.account(ANNA).dn: "2026-12-24",
        "uid=gone,ou=accounts,o=mail": "2026-12-24",
    }
    directory.run(wish({}))
    assert directory.record["leaving"] == {directory.account(ANNA).dn: "2026-12-24"}
    directory.run(wish({ANNA: account()}))
    assert directory.record["leaving"] == {}


# What is said of an account


def test_logins_of_other_servers_come_and_go(directory: Directory) -> None:
    with_app = wish(clients=["app.example.org"], fingerprints={"client:app.example.org": "p"})
    merge = directory.merge(with_app)
    assert "ou=clients,o=mail" in [change.name for change in merge.changes]
    dn = "cn=app.example.org,ou=clients,o=mail"
    assert [change.dn for change in merge.changes if change.kind == "client"] == [dn]
    assert merge.needed == ["client:app.example.org"]
    directory.run(wish())
    directory.entries[dn] = entries.Entry(dn, {"cn": ["app.example.org"], "objectClass": ["device"]})
    directory.entries["cn=theirs,ou=clients,o=mail"] = entries.Entry(
        "cn=theirs,ou=clients,o=mail", {"cn": ["theirs"], "objectClass": ["device"]}
    )
    directory.record["clients"] = ["app.example.org"]
    directory.run(wish())
    assert dn not in directory.entries
    assert "cn=theirs,ou=clients,o=mail" in directory.entries


def test_a_service_gets_the_attributes_that_it_needs_and_goes_when_it_is_not_wanted(directory: Directory) -> None:
    wanted = wish(services={"replica": {"authzTo": ["dn.onelevel:x"]}}, fingerprints={"service:replica": "p"})
    directory.run(wanted)
    entry = directory.entries["cn=replica,ou=services,o=mail"]
    assert entry.attributes["authzTo"] == ["dn.onelevel:x"]
    entry.attributes["authzTo"] = ["dn:*"]
    directory.run(wanted)
    assert directory.entries["cn=replica,ou=services,o=mail"].attributes["authzTo"] == ["dn.onelevel:x"]
    directory.run(wish())
    assert "cn=replica,ou=services,o=mail" not in directory.entries


def test_accounts_follow_the_store(directory: Directory) -> None:
    directory.run(wish({ANNA: account()}))
    new = {**NEW, "mailStorageDirectory": "new.example.org"}
    moved = wish({ANNA: account()}, stores=["new.example.org"], new_account=new)
    directory.run(moved)
    assert directory.account(ANNA).attributes["mailStorageDirectory"] == ["new.example.org"]


def test_what_passwords_must_be_is_the_inventorys_and_what_else_stands_there_is_not(directory: Directory) -> None:
    directory.run(wish(policies={"passwords": {"pwdAttribute": ["userPassword"], "pwdMinLength": ["10"]}}))
    entry = directory.entries["cn=passwords,ou=policies,o=mail"]
    entry.attributes["pwdMaxAge"] = ["7"]
    goal = {"passwords": {"pwdAttribute": ["userPassword"], "pwdMinLength": ["12"]}}
    assert verbs(directory.run(wish(policies=goal))) == [("change", "policy", "passwords")]
    entry = directory.entries["cn=passwords,ou=policies,o=mail"]
    assert (entry.attributes["pwdMinLength"], entry.attributes["pwdMaxAge"]) == (["12"], ["7"])


TEAM, LIST, ALL = (f"{name}@example.org" for name in ("team", "list", "all"))


def targets(directory: Directory, name: str) -> list[str]:
    (found,) = (e for e in directory.entries.values() if e.attributes.get("mail") == [name])
    return found.attributes.get("mailForwardingAddress", [])


def two(ben: str = "TRUE", **more: Any) -> dict[str, Any]:
    aliases = {TEAM: [ANNA, "ben+team@example.org"], LIST: [BEN], ALL: [LIST, "x@example.net"]}
    return wish({ANNA: account(), BEN: account("b@example.org", mailEnabled=[ben])}, aliases=aliases, **more)


def test_who_is_disabled_leaves_lists_and_comes_back(directory: Directory) -> None:
    directory.run(two())
    record = dict(directory.record)
    changed = verbs(directory.run(two("FALSE")))
    assert changed == [("change", "account", BEN), *(("change", "alias", name) for name in (TEAM, LIST, ALL))]
    assert [targets(directory, name) for name in (TEAM, LIST, ALL)] == [[ANNA], [], ["x@example.net"]]
    assert {name: directory.record[name] for name in ("aliases", "domains")} == {
        name: record[name] for name in ("aliases", "domains")
    }
    directory.run(two())
    assert [sorted(targets(directory, name)) for name in (TEAM, LIST, ALL)] == [
        [ANNA, "ben+team@example.org"], [BEN], [LIST, "x@example.net"],
    ]  # fmt: skip
    assert directory.record["withdrawn"] == {}


def test_who_was_disabled_in_the_directory_leaves_lists_too_and_others_targets_come_back(directory: Directory) -> None:
    directory.run(two())
    (team,) = (e for e in directory.entries.values() if e.attributes.get("mail") == [TEAM])
    team.attributes["mailForwardingAddress"] += ["b@example.org", "theirs@example.net"]
    ben = directory.account(BEN)
    ben.attributes["mailEnabled"] = ["FALSE"]
    directory.run(two())
    assert targets(directory, TEAM) == [ANNA, "theirs@example.net"]
    directory.account(BEN).attributes["mailEnabled"] = ["TRUE"]
    directory.run(two())
    assert sorted(targets(directory, TEAM)) == sorted(
        [ANNA, "b@example.org", "ben+team@example.org", "theirs@example.net"]
    )


def test_a_forward_to_a_disabled_account_leaves_the_own_mailbox(directory: Directory) -> None:
    anna = account(ANNA, mailForwardingAddress=[BEN])
    directory.run(wish({ANNA: anna, BEN: account(mailEnabled=["FALSE"])}))
    assert targets(directory, ANNA) == []
    directory.run(wish({ANNA: anna, BEN: account()}))
    assert targets(directory, ANNA) == [BEN]


def test_whoever_is_deleted_stays_out_until_somebody_has_the_address(directory: Directory) -> None:
    directory.run(two("FALSE"))
    del directory.entries[directory.account(BEN).dn]
    without = {**two(), "accounts": {ANNA: account()}, "fingerprints": {ANNA: "p"}}
    directory.run(without)
    assert targets(directory, LIST) == []
    directory.run(two())
    assert targets(directory, LIST) == [BEN]

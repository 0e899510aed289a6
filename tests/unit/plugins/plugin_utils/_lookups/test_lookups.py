# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Another way to look accounts up needs nothing but itself."""

from __future__ import annotations

import dataclasses
import types
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.action import account
from ansible_collections.postamt.mail.plugins.filter.places import accounts_host
from ansible_collections.postamt.mail.plugins.module_utils._accounts import store as host_store
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.accounts import accounts
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import AccountStore, Ask, Asked, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL, VMAIL_UID, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, remote, stored_secrets
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"


class Rows(host_store.AccountStore):
    """The store's half on the host: accounts are keys of a mapping, and values whether they log in."""

    rows: t.ClassVar[dict[str, bool]] = {}
    passwords: t.ClassVar[dict[str, str]] = {}

    def look(self) -> None:
        self.found = dict(self.rows)

    def listed(self) -> list[dict[str, t.Any]]:
        plain = {"aliases": [], "forward": [], "quota": "", "source": "by hand", "dn": "", "delete_from": ""}
        return [{**plain, "address": name, "user": name, "enabled": on} for name, on in self.found.items()]

    def put(self, address: str, enabled: bool) -> None:
        if self.found.get(address) != enabled:
            self.actions.append(f"{'would put' if self.dry else 'put'} {address} {'in' if enabled else 'aside'}")
            self.rows.update({} if self.dry else {address: enabled})

    def add(self, address: str) -> None:
        if address not in self.found:
            self.put(address, True)
            self.set_password(address)

    def enable(self, address: str) -> None:
        self.put(address, True)

    def disable(self, address: str) -> None:
        self.put(address, False)

    def set_password(self, address: str) -> None:
        self.answer["password_set"] = True
        self.passwords.update({} if self.dry else {address: self.request["password"]})


class ListStore(AccountStore):
    """The store's half on the controller."""

    code = "rows"
    function = "mail_store"

    def check(self, site: Site, asked: Asked) -> Iterator[Problem]:
        if asked.state == "purged":
            yield Problem("state", "purged", "is nothing that files know")

    def request(self, site: Site, asked: Asked, password: str) -> Result:
        return {"file": "/etc/lists"}

    def execute(self, ask: Ask, request: Result) -> Result:
        module = types.SimpleNamespace(check_mode=CHECK_MODE[0], params={"request": request})
        call = Rows(module)
        call.execute()
        return {"changed": bool(call.actions), "actions": call.actions, **call.answer}


CHECK_MODE = [False]


class Lists(Lookups):
    """Accounts are in files that somebody else writes."""

    def check(self, site: Site) -> Iterator[Problem]:
        if len(site.accounts) > 2:
            yield Problem("mail_accounts", len(site.accounts), "must be two at most")

    def secrets(self, site: Site) -> list[str]:
        return ["service:lists"]

    def postfix(self, site: Site, host: Host) -> Postfix:
        return Postfix(
            parameters={
                "virtual_mailbox_domains": list(site.domains),
                "virtual_mailbox_maps": [table("mailboxes", "lmdb")],
                "smtpd_sender_login_maps": [table("mailboxes", "lmdb")],
                "smtpd_sasl_type": "dovecot",
            },
            lists={"virtual_alias_maps": {"accounts": [table("forwards", "lmdb")]}},
            tables={"mailboxes": Table("lmdb", {str(one.address): str(one.address) for one in site.accounts})},
            secrets=[site.service_password("lists")],
        )

    def dovecot(self, site: Site, host: Host) -> Dovecot:
        mailboxes = {"passdb list": {"driver": "passwd-file"}, "userdb list": {"driver": "passwd-file"}}
        return Dovecot(trunk={"mail_uid": VMAIL}, v24=mailboxes)


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_accounts_backend: t.Literal["lists"] = var("Where accounts live.", "lists")


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Site]:
    ways = {"postfix": accounts.postfix, "dovecot": accounts.dovecot, "sasl": accounts.sasl}
    concern = types.SimpleNamespace(Variables=Variables, lookups=lambda said: Lists(), **ways)
    concerns = {**compose.concerns(), "accounts": concern}
    monkeypatch.setattr(compose, "concerns", lambda: concerns)

    def third(
        release: str = "trixie", people: int = 1, others: Mapping[str, HostInput] | None = None, **more: t.Any
    ) -> Site:
        given = {
            "mail_domains": ["example.org"],
            "mail_accounts": [{"address": f"a{number}@example.org"} for number in range(people)],
            "mail_content_filter": "before_queue",
            **more,
        }
        look = looked(release=release, memory=8 << 30)
        return parse_site(given, {NAME: HostInput(look=look), **(others or {})}, concerns.values())

    return third


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
@pytest.mark.parametrize("learning", ["site", "user"])
def test_a_third_way_goes_through_all_programs(third: t.Callable[..., Site], release: str, learning: str) -> None:
    site = third(release, mail_spam_learning=learning)
    plans = {name: compose.plan(name, site, site.hosts[NAME]) for name in compose.programs()}
    assert not plans["ldap"]["wanted"], "no directory runs"
    assert not plans["sasl"]["wanted"], "nothing asks saslauthd"
    assert VMAIL_UID not in [user["uid"] for user in plans["postfix"]["users"]]
    texts = {file["path"]: forms.text(file) for plan in plans.values() for file in plan["files"]}
    assert ",tcp:127.0.0.1:957}, lmdb:$config_directory/tables/forwards\n" in texts["/etc/postfix/main.cf"]
    assert not [path for path, text in texts.items() if "ldap" in text and "dovecot" in path]
    assert "ldap" not in texts["/etc/postfix/main.cf"] + texts["/etc/postfix/master.cf"]
    assert "cyrus" not in texts["/etc/postfix/main.cf"]


def test_it_has_rules_of_its_own(third: t.Callable[..., Site]) -> None:
    with pytest.raises(SiteError, match="mail_accounts is 3: must be two at most"):
        third(people=3)
    with pytest.raises(SiteError, match="mail_accounts_backend is 'directory': must be one of lists"):
        third(mail_accounts_backend="directory")


def test_its_secrets_are_made_first(third: t.Callable[..., Site], tmp_path: Path) -> None:
    others = {"app.example.org": HostInput(["mail", "mail_client"])}
    site = third(others=others)
    site.secrets = kept = stored_secrets.StoredSecrets(State(str(tmp_path / "state")), check_mode=False)
    kept.ensure(stored_secrets.secret_names(site))
    assert set(kept.state.known_secrets()) == {"service:lists", "client:app.example.org", "srs"}
    for host in site.hosts.values():
        for name in compose.programs():
            compose.plan(name, site, host)


def test_it_says_itself_where_accounts_are_changed(
    third: t.Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "Variables", Variables)
    monkeypatch.setattr(Lists, "changed_by", "accounts are in a file")
    (problem,) = account.check(third(), Asked("listed"))
    assert str(problem) == "mail_accounts_backend is 'lists': accounts are in a file"


class Task(account.ActionModule):
    """The task of postamt.mail.account on the site's host; shown: what the administrator reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, site: Site, folder: Path) -> None:
        self.shown: list[str] = []
        self._vars = {"groups": {"mail": [NAME]}, "inventory_hostname": NAME}
        monkeypatch.setattr(inventory, "from_facts", lambda *_words, **_more: [])
        monkeypatch.setattr(inventory, "site_for", lambda *_words, **_more: site)
        monkeypatch.setattr(account, "state_of", lambda *_words: State(str(folder / "state")))
        monkeypatch.setattr(remote, "on_host", lambda *_words, **_more: pytest.fail("a host was asked"))

    def _say(self, text: str, **how: bool) -> None:
        self.shown.append(text)

    def __call__(self, state: str, address: str | None = None, check_mode: bool = False) -> Result:
        self.shown.clear()
        self._task = types.SimpleNamespace(check_mode=check_mode, delegate_to=None)
        CHECK_MODE[0] = check_mode
        return self._answer({"state": state, **({"account": address} if address else {})})


def test_a_third_store_is_all_that_changing_accounts_takes(
    third: t.Callable[..., Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dora = "dora@example.org"
    monkeypatch.setattr(Lists, "store", ListStore())
    monkeypatch.setattr(Rows, "rows", {"old@example.org": True})
    monkeypatch.setattr(Rows, "passwords", {})
    task = Task(monkeypatch, third(), tmp_path)
    assert task("listed")["changed"] is False
    assert task.shown == ["old@example.org  enabled  by hand  user old@example.org"]
    assert task("present", dora, check_mode=True)["changed"] is True
    assert task.shown == [f"would put {dora} in"] and dora not in Rows.rows
    task("present", dora)
    assert task.shown == [f"put {dora} in", f"the new password of {dora} is {Rows.passwords[dora]}"]
    first = Rows.passwords[dora]
    assert task("present", dora)["changed"] is False
    assert task.shown == ["nothing to do"]
    task("disabled", dora)
    assert Rows.rows[dora] is False
    task("password", dora)
    assert Rows.passwords[dora] != first
    assert not (tmp_path / "state" / "secrets.yml").exists()
    task("enabled", dora)
    assert task.shown == [f"put {dora} in"]
    with pytest.raises(SiteError, match="state is 'purged': is nothing that files know"):
        task("purged")
    with pytest.raises(Failed, match="accounts are not removed here"):
        task("absent", dora)


def test_the_playbooks_go_to_the_stores_host(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"mail": ["a", "b", "c"], "mail_store": ["b"], "mail_directory": ["c", "a"]}
    assert accounts_host(groups) == accounts_host(groups, "directory") == "c"
    assert accounts_host(groups, "", "a") == "a"
    assert accounts_host({"mail": ["a"], "mail_directory": []}, "system") == "a"
    with pytest.raises(AnsibleFilterError, match="mail_accounts_backend is 'lists': must be one of directory, system"):
        accounts_host(groups, "lists")
    monkeypatch.setattr(accounts, "Variables", Variables)
    monkeypatch.setattr(accounts, "lookups", lambda said: Lists())
    assert accounts_host(groups, "lists") == "b"
    monkeypatch.setattr(Lists, "store", ListStore())
    assert accounts_host(groups, "lists", "a") == "b"

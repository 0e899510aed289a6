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
from ansible_collections.postamt.mail.plugins.action import account
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.accounts import accounts
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL, VMAIL_UID, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postfix import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_secrets
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State

NAME = "mail.example.org"


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
        look = Look(release=release, memory=8 << 30)
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
    assert "virtual_alias_maps = lmdb:$config_directory/tables/forwards\n" in texts["/etc/postfix/main.cf"]
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
    assert set(kept.state.known_secrets()) == {"service:lists", "client:app.example.org"}
    for host in site.hosts.values():
        for name in compose.programs():
            compose.plan(name, site, host)


def test_it_says_itself_where_accounts_are_changed(
    third: t.Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "Variables", Variables)
    monkeypatch.setattr(Lists, "changed_by", "accounts are in a file")
    (problem,) = account.check(third(), account.Asked("listed"))
    assert str(problem) == "mail_accounts_backend is 'lists': accounts are in a file"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From of users: which hosts check it, where Postfix asks, and what is refused in the variables."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
ASKED = "{ unix:rspamd/milter.sock, default_action=tempfail }"
GROUPS = {
    "in.example.org": ["mail", "mail_mx"],
    "out.example.org": ["mail", "mail_submission"],
    "store.example.org": ["mail", "mail_store"],
    "app.example.org": ["mail", "mail_client"],
}


def site(groups: dict[str, list[str]] | None = None, **variables: t.Any) -> Site:
    given = {"mail_domains": ["example.org"], "mail_dkim": False, "mail_authentication": False, **variables}
    look = looked(memory=8 << 30, cores=2, swap=0)
    inputs = {name: HostInput(mine, look=look) for name, mine in (groups or {NAME: ["mail"]}).items()}
    return parse_site(given, inputs, compose.concerns().values())


def plan(program: str, of: Site, name: str = NAME) -> t.Any:
    return compose.plan(program, of, of.hosts[name])


def rules(of: Site, name: str = NAME) -> t.Any:
    found = plan("rspamd", of, name)["files"]
    text = next(forms.text(item) for item in found if item["path"] == "/etc/rspamd/postamt.conf")
    said, _end = json.JSONDecoder().raw_decode(text.partition("\npostamt_from ")[2])
    return said


def asked_at(of: Site, name: str = NAME) -> dict[str, t.Any]:
    files = {item["path"].rpartition("/")[2]: item["content"] for item in plan("postfix", of, name)["files"]}
    said = {"main.cf": files["main.cf"].get("smtpd_milters"), "sendmail": files["main.cf"].get("non_smtpd_milters")}
    said |= {key: service["options"].get("smtpd_milters") for key, service in files["master.cf"].items()}
    return {key: value for key, value in said.items() if value}


ACCOUNTS = [{"address": "anna@example.org", "aliases": ["a@example.org"]}]
USERS = {"submission/inet": ASKED, "submissions/inet": ASKED}


@pytest.mark.parametrize(
    ("way", "dkim", "at", "logins"),
    [
        ("off", False, USERS, True),
        ("off", True, USERS | {"sendmail": ASKED}, True),
        ("after_queue", False, USERS, True),  # nobody can be told any more when it comes back
        ("after_queue", True, {**USERS, "filtered-users/unix": ASKED, "filtered-hosts/unix": ASKED}, True),
        ("before_queue", False, {"filtered-users/unix": ASKED}, False),
        ("before_queue", True, {"filtered-users/unix": ASKED, "filtered-hosts/unix": ASKED}, False),
    ],
)
def test_users_mail_is_asked_for_while_its_sender_listens(
    way: str, dkim: bool, at: dict[str, str], logins: bool
) -> None:
    of = site(mail_content_filter=way, mail_dkim=dkim)
    assert asked_at(of) == at
    assert rules(of)["logins"] is logins


def test_hosts_to_which_users_send_check_it() -> None:
    of = site(GROUPS)
    assert [name for name in GROUPS if plan("rspamd", of, name)["wanted"]] == ["out.example.org"]
    assert rules(of, "out.example.org")["servers"] == ["app.example.org"]
    assert [unit["name"] for unit in plan("rspamd", of, "out.example.org")["units"]] == [
        "postamt-owners.socket",
        "postamt-rspamd.service",
    ]
    assert not asked_at(of, "in.example.org")


def test_whatever_users_like() -> None:
    of = site(mail_from_of_users="any")
    assert not plan("rspamd", of)["wanted"]
    assert not asked_at(of)


def test_rspamd_s_memory_counts_once() -> None:
    both, one, none = (
        memory.needed(of, of.hosts[NAME]) for of in (site(mail_dkim=True), site(), site(mail_from_of_users="any"))
    )
    assert both == one > none


def test_exceptions_in_the_forms_that_are_compared() -> None:
    said = {"Lists@Example.org": ["*"], "app.example.org": ["Shop@example.org", "Example.NET", "bücher.example"]}
    found = rules(site(GROUPS, mail_from_exceptions=said), "out.example.org")["exceptions"]
    assert found == {
        "lists@example.org": ["*"],
        "app.example.org": ["shop@example.org", "@example.net", "@xn--bcher-kva.example"],
    }
    of = site(
        mail_accounts_backend="system", mail_accounts=[{"address": "anna@example.org"}],
        mail_from_exceptions={"anna@example.org": ["*"]},
    )  # fmt: skip
    assert rules(of)["exceptions"] == {"anna": ["*"]}, "by its login"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            {"ap.example.org": ["*"]},
            "mail_from_exceptions.ap.example.org: must be an account's address, or a host of group mail_client; did "
            "you mean app.example.org?",
        ),
        ({"x@example.net": ["*"]}, "mail_from_exceptions.x@example.net: must be in one of mail_domains (example.org)"),
        ({"x+y@example.org": ["*"]}, "mail_from_exceptions.x+y@example.org: is no account"),
        (
            {"a@example.org": ["*"]},
            "mail_from_exceptions.a@example.org: is an alias: name the account, anna@example.org",
        ),
        (
            {"x@example.org": []},
            "mail_from_exceptions.x@example.org: must list at least one address, domain, or '*'",
        ),
        (
            {"x@example.org": ["*@example.org"]},
            "mail_from_exceptions.x@example.org[0] is '*@example.org': must be the domain alone",
        ),
        ({"x@example.org": ["a b"]}, "mail_from_exceptions.x@example.org[0] is 'a b': must be a domain name such as"),
    ],
)
def test_wrong_exceptions(said: dict[str, list[str]], problem: str) -> None:
    with pytest.raises(SiteError) as caught:
        site(GROUPS, mail_accounts=ACCOUNTS, mail_from_exceptions=said)
    assert problem in str(caught.value)
    assert len(caught.value.problems) == 1


def test_users_of_the_host_are_known() -> None:
    with pytest.raises(SiteError, match="zed@example.org: is no account"):
        site(mail_accounts_backend="system", mail_accounts=ACCOUNTS, mail_from_exceptions={"zed@example.org": ["*"]})

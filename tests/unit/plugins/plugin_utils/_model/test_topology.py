# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host does what, and which topologies are refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.filter.places import hosts_with
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

GOOD: dict[str, t.Any] = {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}]}


def site(groups: dict[str, list[str]], empty: tuple[str, ...] = (), **variables: t.Any) -> Site:
    """A site by its groups; hosts are named by their first label."""
    listed = {group: [f"{name}.example.org" for name in members] for group, members in groups.items()}
    names = dict.fromkeys(name for members in groups.values() for name in members)
    hosts = {
        f"{name}.example.org": HostInput(["mail", *(group for group, members in groups.items() if name in members)])
        for name in names
    }
    return parse_site(
        {**GOOD, **variables}, hosts, compose.concerns().values(), groups={**listed, **dict.fromkeys(empty, ())}
    )


def provider(found: Site) -> str:
    assert found.provider
    return str(found.provider.name)


def functions(groups: dict[str, list[str]]) -> dict[str, list[str]]:
    return {str(host.name).partition(".")[0]: sorted(host.functions) for host in site(groups).hosts.values()}


def message(groups: dict[str, list[str]], empty: tuple[str, ...] = (), **variables: t.Any) -> str:
    with pytest.raises(SiteError) as caught:
        site(groups, empty, **variables)
    return str(caught.value)


def test_a_host_alone_does_everything() -> None:
    assert functions({"mail": ["a"]}) == {
        "a": ["mail_directory", "mail_filter", "mail_mx", "mail_store", "mail_submission"]
    }


def test_clients_do_not_take_anything_from_a_host_alone() -> None:
    found = functions({"mail": ["a"], "mail_client": ["b"]})
    assert found["b"] == ["mail_client"]
    assert "mail_store" in found["a"]


def test_groups_that_are_left_out_fall_to_others() -> None:
    assert functions({"mail_mx": ["a", "b"], "mail_store": ["c"]}) == {
        "a": ["mail_filter", "mail_mx", "mail_submission"],
        "b": ["mail_filter", "mail_mx", "mail_submission"],
        "c": ["mail_directory", "mail_store"],
    }


def test_a_host_in_no_group_does_nothing() -> None:
    found = site({"mail": ["a"], "mail_mx": ["b"], "mail_store": ["b"]})
    left = found.hosts["a.example.org"]
    assert left.functions == frozenset()
    for program in ("postfix", "dovecot", "amavis", "clamav", "sasl", "ldap"):
        plan = compose.plan(program, found, left)
        assert not plan["wanted"] and not any(unit["running"] for unit in plan["units"]), program


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"mail": ["a", "b"]}, "group mail: hold 2 hosts: put each into the groups for its work (mail_mx, "),
        ({"mail_mx": ["a"], "mail_filter": ["b"]}, "group mail_store: must hold a host: without one there are no"),
        ({"mail_store": ["a"], "mail_filter": ["b"]}, "group mail_mx: must hold a host: without one no mail comes in"),
        ({"mail_mx": ["a"], "mail_store": ["a", "b"]}, "group mail_store is 'a.example.org, b.example.org': must hold"),
        (
            {"mail_mx": ["a"], "mail_store": ["a"], "mail_client": ["a"]},
            "group mail_client of host a.example.org: is in mail_directory, mail_filter, mail_mx, mail_store, "
            "mail_submission too",
        ),
    ],
)
def test_wrong_topologies_are_refused(groups: dict[str, list[str]], sentence: str) -> None:
    assert sentence in message(groups)


def test_a_filter_group_may_be_empty_only_where_nothing_is_filtered() -> None:
    groups = {"mail_mx": ["a"], "mail_store": ["b"]}
    said = message(groups, ("mail_filter",), mail_content_filter="before_queue")
    assert "group mail_filter: must hold a host, or be left out: then the hosts of mail_mx do it" in said
    assert site(groups, ("mail_filter",)).hosts
    assert "group mail_submission: must hold a host" in message(groups, ("mail_submission",))


def test_the_provider_is_the_first_directory_or_the_one_that_is_named() -> None:
    groups = {"mail_mx": ["a"], "mail_store": ["a"], "mail_directory": ["b", "c"]}
    assert provider(site(groups)) == "b.example.org"
    turned = {"mail_mx": ["a", "b", "c"], "mail_store": ["a"], "mail_directory": ["c", "b"]}
    assert provider(site(turned)) == "c.example.org"
    named = site(groups, mail_directory_provider="c.example.org")
    assert provider(named) == "c.example.org"
    assert "must be a host of group mail_directory (b.example.org, c.example.org)" in message(
        groups, mail_directory_provider="a.example.org"
    )


def test_users_of_the_host_are_for_a_site_of_one_host() -> None:
    said = message({"mail_mx": ["a"], "mail_store": ["b"]}, mail_accounts_backend="system")
    assert "mail_accounts_backend is 'system': is for a site of one host" in said


def test_two_hosts_with_one_name_are_refused() -> None:
    hosts = {"a.example.org": HostInput(), "b": HostInput(variables={"mail_host_name": "a.example.org"})}
    with pytest.raises(SiteError, match=r"mail_host_name of host b is 'a.example.org': is a.example.org's name"):
        parse_site(GOOD, hosts, compose.concerns().values())


def test_a_client_hands_over_with_a_login_and_its_own_senders_only() -> None:
    groups = {"mail_mx": ["a", "b"], "mail_store": ["c"], "mail_client": ["app"]}
    found = site(groups)
    files = {file["path"]: file for file in compose.plan("postfix", found, found.hosts["app.example.org"])["files"]}
    assert "inet_interfaces = loopback-only\n" in forms.text(files["/etc/postfix/main.cf"])
    assert "relayhost = [a.example.org]:587, [b.example.org]:587\n" in forms.text(files["/etc/postfix/main.cf"])
    login = files["/etc/postfix/tables/submission_login"]
    assert login["secret"] and login["mode"] == "0600" and "[b.example.org]:587\tapp.example.org:" in forms.text(login)
    files = {file["path"]: file for file in compose.plan("postfix", found, found.hosts["a.example.org"])["files"]}
    assert forms.text(files["/etc/postfix/tables/client_senders"]) == "@app.example.org\tapp.example.org\n"
    # it may send notices with the null sender, which is asked for after the owner and before users are refused
    assert forms.text(files["/etc/postfix/tables/logins_of_servers"]) == "app.example.org\tOK\n"
    senders = next(line for line in forms.text(files["/etc/postfix/main.cf"]).splitlines() if "mua_sender_" in line)
    assert [word.rpartition("/")[2] for word in senders.split(", ")[1:]] == [
        "reject_sender_login_mismatch",
        "logins_of_servers",
        "senders_of_users",
    ]


def test_the_certificate_of_users_is_where_users_are() -> None:
    found = site({"mail_mx": ["a"], "mail_store": ["b"], "mail_filter": ["c"], "mail_client": ["d"]})
    names = {
        name.partition(".")[0]: sorted(compose.plan("certificates", found, host)["certificates"])
        for name, host in found.hosts.items()
    }
    both = ["internal", "public"]
    assert names == {"a": both, "b": both, "c": ["internal"], "d": ["internal"]}


@pytest.mark.parametrize(
    ("groups", "store", "directories"),
    [
        ({}, "a", ["a"]),
        ({"mail_store": ["b"]}, "b", ["b"]),
        ({"mail_store": ["b"], "mail_directory": ["c", "a"]}, "b", ["c", "a"]),
        ({"mail_store": ["b"], "mail_directory": []}, "b", ["b"]),
        ({"mail_client": ["b", "c"]}, "a", ["a"]),
    ],
)
def test_playbooks_find_the_hosts_that_a_run_finds(
    groups: dict[str, list[str]], store: str, directories: list[str]
) -> None:
    members = ["a", "b", "c"] if groups else ["a"]
    assert hosts_with({"mail": members, **groups}, "mail_store") == [store]
    assert hosts_with({"mail": members, **groups}, "mail_directory") == directories


def test_a_misspelt_duty_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="mail_sotre is no group of the site"):
        hosts_with({"mail": ["a"]}, "mail_sotre")

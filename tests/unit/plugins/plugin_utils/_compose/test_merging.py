# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Contributions that stack, those that are conflicts, and the sentence of each conflict."""

from __future__ import annotations

import random
import types
import typing as t
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    files_of,
    merged,
    slotted,
    tree_merge,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Directory, File, Plan, Unit, User
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    SLOTS,
    STRICTNESS,
    Extension,
    Front,
    Postfix,
    Service,
    Table,
    table,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Amavis
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.ldap import Ldap
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postfix import services_of
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.sasl import Sasl
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
POSTSCREEN = Service("postscreen", private="n", maxproc="1")


def site(**variables: t.Any) -> Site:
    given = {
        "mail_domains": ["example.org"],
        "mail_accounts": [{"address": "alice@example.org"}],
        "mail_relayhost": {"host": "smtp.example.net", "username": "u", "password": "p"},
        "mail_gateway": {"inner.example": {"host": "10.0.0.5", "recipients": ["x@inner.example"]}},
        "mail_content_filter": "before_queue",
        **variables,
    }
    return parse_site(given, {NAME: HostInput(look=looked(memory=8 << 30))}, compose.concerns().values())


def main_cf(site: Site, *more: tuple[str, Postfix]) -> dict[str, str]:
    """Return the parameters of Postfix with contributions of concerns that there are not."""
    host = site.hosts[NAME]
    plan = postfix.plan(site, host, [*compose.contributions("postfix", site, host), *more], {})
    text = next(forms.text(file) for file in plan["files"] if file["path"] == "/etc/postfix/main.cf")
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def test_tables_of_one_list_stand_in_a_declared_order() -> None:
    more = [
        ("dane", Postfix(lists={"smtp_tls_policy_maps": {"published": ["socketmap:unix:private/dane:QUERY"]}})),
        ("lists", Postfix(lists={"virtual_alias_maps": {"site": [table("lists", "lmdb")]}})),
        ("moves", Postfix(lists={"transport_maps": {"site": [table("moves", "lmdb")]}})),
        ("rules", Postfix(lists={"smtp_tls_policy_maps": {"site": [table("rules", "lmdb")]}})),
    ]
    found = main_cf(site(), *more)
    tables = "lmdb:$config_directory/tables"
    lists, forwards = f"{tables}/lists", "proxy:ldap:$config_directory/tables/forwards"
    assert found["virtual_alias_maps"].startswith(f"{lists}, ") and found["virtual_alias_maps"].endswith(
        f", {forwards}"
    )
    assert found["transport_maps"] == f"{tables}/moves, {tables}/gateway"
    assert found["smtp_tls_policy_maps"] == f"{tables}/rules, {tables}/relayhost_tls, socketmap:unix:private/dane:QUERY"


def test_milters_of_several_concerns() -> None:
    one = ("checker", Postfix(lists={"smtpd_milters": {"check": ["unix:checker", "unix:second"]}}))
    other = ("zeal", Postfix(lists={"smtpd_milters": {"check": ["unix:audit"]}}))
    signing = {"sign": ["unix:signer"]}
    signer = ("a-signer", Postfix(lists={"smtpd_milters": signing, "non_smtpd_milters": signing}))
    found = main_cf(site(), one, other, signer)
    assert found["smtpd_milters"] == "unix:audit, unix:checker, unix:second, unix:signer"
    assert found["non_smtpd_milters"] == "unix:signer"


def test_lists_of_users_ports_have_the_slots_of_their_twins() -> None:
    asks = ["check_policy_service unix:private/rate"]
    found = main_cf(site(), ("rate", Postfix(lists={"mua_recipient_restrictions": {"policy": asks}})))
    assert found["mua_recipient_restrictions"].split(", ")[:3] == [
        "reject_non_fqdn_recipient",
        "reject_unlisted_recipient",
        *asks,
    ]


def test_the_same_entry_stands_once() -> None:
    part = Postfix(lists={"smtpd_milters": {"check": ["unix:a"]}})
    assert slotted([("one", part), ("other", part)], "lists", SLOTS, "list") == {"smtpd_milters": ["unix:a"]}


def test_the_strictest_level_counts() -> None:
    levels = ("may", "encrypt", "none", "secure")
    parts: Contributions = [(level, Postfix(parameters={"smtp_tls_security_level": level})) for level in levels]
    for _ in range(5):
        random.shuffle(parts)
        assert merged(parts, "parameters", "parameter", STRICTNESS) == {"smtp_tls_security_level": "secure"}
    odd = (
        "odd",
        Postfix(parameters={"smtp_tls_security_level": "dane"}),
    )  # stricter where the DNS says so, and only there
    with pytest.raises(ComposeError, match="level: concern may wants 'may', concern odd wants 'dane'"):
        merged([("may", parts[[name for name, _ in parts].index("may")][1]), odd], "parameters", "level", {})


def test_extensions_of_one_service_are_merged_by_option() -> None:
    parts: Contributions = [
        ("mx", Postfix(services={"smtp/inet": Service("smtpd", private="n", options={"syslog_name": "mx"})})),
        ("filter", Postfix(extensions={"smtp/inet": Extension("20", {"smtpd_proxy_filter": "unix:x"})})),
        ("rate", Postfix(extensions={"smtp/inet": Extension(options={"smtpd_milters": "unix:y"}, chroot=False)})),
    ]
    options = {"syslog_name": "mx", "smtpd_proxy_filter": "unix:x", "smtpd_milters": "unix:y"}
    whole = {"smtp/inet": Service("smtpd", private="n", chroot=False, maxproc="20", options=options)}
    assert services_of(parts) == services_of(parts[::-1]) == whole


def test_what_stands_before_a_service_leaves_it_its_extensions() -> None:
    parts: Contributions = [
        ("front", Postfix(fronts={"smtp/inet": Front(POSTSCREEN, "smtpd/pass")})),
        ("mx", Postfix(services={"smtp/inet": Service("smtpd", private="n")})),
        ("filter", Postfix(extensions={"smtp/inet": Extension("20", {"smtpd_proxy_filter": "unix:x"})})),
    ]
    behind = Service("smtpd", maxproc="20", options={"smtpd_proxy_filter": "unix:x"})
    assert services_of(parts) == services_of(parts[::-1]) == {"smtp/inet": POSTSCREEN, "smtpd/pass": behind}


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (
            Postfix(extensions={"smtp/unix": Extension(options={"smtp_bind_address": "192.0.2.1"})}),
            Postfix(extensions={"smtp/unix": Extension(options={"smtp_bind_address": "192.0.2.2"})}),
            "Postfix service smtp/unix, option smtp_bind_address: concern one wants '192.0.2.1', concern other wants "
            "'192.0.2.2'",
        ),
        (
            Postfix(extensions={"smtp/unix": Extension("1")}),
            Postfix(extensions={"smtp/unix": Extension("2")}),
            "Postfix service smtp/unix, maxproc: concern one wants '1', concern other wants '2'",
        ),
        (
            Postfix(extensions={"nowhere/unix": Extension("1")}),
            Postfix(),
            "concern one extends Postfix service nowhere/unix, which no concern brings to this host",
        ),
        (
            Postfix(fronts={"nowhere/inet": Front(POSTSCREEN, "smtpd/pass")}),
            Postfix(),
            "concern one stands before Postfix service nowhere/inet, which no concern brings to this host",
        ),
        (
            Postfix(fronts={"smtp/inet": Front(POSTSCREEN, "lmtp/unix")}),
            Postfix(),
            "Postfix service lmtp/unix: concern one wants it for smtp/inet, concern daemons has it already",
        ),
        (
            Postfix(fronts={"smtp/inet": Front(POSTSCREEN, "smtpd/pass")}),
            Postfix(fronts={"submission/inet": Front(POSTSCREEN, "smtpd/pass")}),
            "Postfix service smtpd/pass: concern other wants it for submission/inet, concern one has it already",
        ),
        (
            Postfix(files=[File("/etc/x", "a")]),
            Postfix(files=[File("/etc/x", "p4ssword")]),
            "Postfix file /etc/x: concern one wants its own file, concern other wants its own file",
        ),
        (
            Postfix(tables={"x": Table("lmdb", {"a": "secret"})}),
            Postfix(tables={"x": Table("lmdb", {"b": "secret"})}),
            "Postfix table x: concern one wants its own table, concern other wants its own table",
        ),
        (
            Postfix(lists={"smtpd_relay_restrictions": {"destination": ["reject"]}}),
            Postfix(),
            "Postfix list smtpd_relay_restrictions: concerns mail_exchange and one both fill slot destination "
            "(['reject_unauth_destination'] and ['reject'])",
        ),
        (
            Postfix(lists={"smtpd_milters": {"sing": ["unix:x"]}}),
            Postfix(),
            "concern one: Postfix list smtpd_milters has no slot sing (slots: check, sign)",
        ),
        (
            Postfix(lists={"smtpd_milter": {"sign": ["unix:x"]}}),
            Postfix(),
            "concern one: Postfix list smtpd_milter has no slots (lists: mua_client_restrictions, ",
        ),
        (
            Postfix(parameters={"transport_maps": ["lmdb:/x"]}),
            Postfix(),
            "Postfix list transport_maps: concern one sets it to ['lmdb:/x'], concern gateway adds {'gateway': "
            "['lmdb:$config_directory/tables/gateway']} to it",
        ),
        (Postfix(parameters={"smtpd_baner": "x"}), Postfix(), "concern one: smtpd_baner is no parameter of Postfix"),
        (
            Postfix(extensions={"smtp/unix": Extension(options={"smtp_bnd": "x"})}),
            Postfix(),
            "concern one: smtp_bnd is no parameter of Postfix",
        ),
        (
            Postfix(lists={"smtpd_recipient_restrictions": {"policy": ["reject_foo"]}}),
            Postfix(),
            "concern one: smtpd_recipient_restrictions: reject_foo is no word of a restriction list",
        ),
    ],
)
def test_conflicts_name_both_concerns(one: Postfix, other: Postfix, sentence: str) -> None:
    for more in ([("one", one), ("other", other)], [("other", other), ("one", one)]):
        with pytest.raises(ComposeError) as caught:
            main_cf(site(), *more)
        assert sentence in str(caught.value)
        assert "secret" not in str(caught.value) and "p4ssword" not in str(caught.value)


def test_a_mistake_of_the_user_is_the_users() -> None:
    found = site()
    options = {"smtp_bnd": "x"}
    given = {"settings": {"smtpd_baner": "x"}, "services": {"x/unix": {"command": "smtp", "options": options}}}
    with pytest.raises(ComposeError) as caught:
        compose.plan("postfix", found, found.hosts[NAME], given)
    assert [line.split(" is no")[0] for line in str(caught.value).splitlines()] == [
        "postfix_settings: smtpd_baner",
        "postfix_services: smtp_bnd",
    ]


def test_blocks_and_values_do_not_meet() -> None:
    block: tuple[str, dict[str, Any]] = ("one", {"service": {"a": {"x": 1}}})
    value: tuple[str, dict[str, Any]] = ("other", {"service": {"a": "x"}})
    sentence = "setting service / a: concern one wants 'a block', concern other wants 'x'"
    for trees in ([block, value], [value, block]):
        with pytest.raises(ComposeError, match=sentence):
            tree_merge(trees, "setting")


def test_files_come_by_their_paths() -> None:
    first, second = Postfix(files=[File("/b", "")]), Postfix(files=[File("/a", "")])
    assert [file.path for file in files_of([("one", first), ("other", second)], "file")] == ["/a", "/b"]


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_the_order_of_file_names_does_not_matter(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look = looked(release=release, memory=8 << 30, addresses=["192.0.2.25"])
    groups = {name: ["one.example.org"] for name in ("mail_mx", "mail_submission", "mail_filter", "mail_directory")}
    groups |= {"mail_store": ["two.example.org"], "mail_client": ["three.example.org"]}
    hosts = {
        f"{name}.example.org": HostInput(
            ["mail", *(group for group in groups if groups[group][0] == f"{name}.example.org")], {}, look
        )
        for name in ("one", "two", "three")
    }
    several = {
        "mail_domains": ["example.org"],
        "mail_accounts": [{"address": "alice@example.org", "password": "only-for-alice"}],
        "mail_server_name": "mail.example.org",
        "mail_content_filter": "before_queue",
    }
    sites = [
        site(),
        site(mail_accounts_backend="system"),
        parse_site(several, hosts, compose.concerns().values(), groups=groups),
    ]

    def plans() -> list[t.Any]:
        found = [
            compose.plan(one, site, host)
            for site in sites
            for host in site.hosts.values()
            for one in compose.programs()
        ]
        for plan in found:  # Dovecot's own file is in the order of the concerns, which means nothing to Dovecot
            for file in plan.get("files", ()):
                file["content"] = (
                    sorted(forms.text(file).splitlines()) if "dovecot.conf" in file["path"] else forms.text(file)
                )
        return found

    before, by_name = plans(), dict(compose.concerns())
    shuffled = dict(random.sample([*by_name.items()], len(by_name)))
    monkeypatch.setattr(compose, "concerns", lambda: shuffled)
    assert plans() == before


def test_a_slot_goes_by_its_name_without_the_star() -> None:
    part = Postfix(lists={"smtpd_milters": {"check*": ["unix:a"]}})
    sentence = r"concern one: list smtpd_milters has no slot check\* \(slots: check, sign\)"
    with pytest.raises(ComposeError, match=sentence):  # its entries were in no list
        slotted([("one", part)], "lists", SLOTS, "list")


def test_a_conflict_after_the_strictest_level_names_who_wants_that() -> None:
    levels = {"lax": "may", "strict": "secure", "odd": "dane"}
    parts: Contributions = [(name, Postfix(parameters={"x": level})) for name, level in levels.items()]
    with pytest.raises(ComposeError, match="x: concern odd wants 'dane', concern strict wants 'secure'"):
        merged(parts, "parameters", "parameter", {"x": ("may", "secure")})


@pytest.mark.parametrize("name", ["aaa", "zzz"])
@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            Postfix(lists={"smtpd_recipient_restrictions": {"policy": ["reject_foo"]}}),
            "smtpd_recipient_restrictions: reject_foo is no word",
        ),
        (  # it would take the entry of quota for its service
            Postfix(lists={"smtpd_recipient_restrictions": {"policy": ["check_policy_service"]}}),
            "smtpd_recipient_restrictions: check_policy_service needs a table",
        ),
        (
            Postfix(
                extensions={"smtp/inet": Extension(options={"smtp_bnd": "x"})},
                fronts={"smtp/inet": Front(POSTSCREEN, "smtpd/pass")},
            ),
            "smtp_bnd is no parameter",
        ),
        (
            Postfix(
                fronts={"smtp/inet": Front(Service("postscreen", private="n", options={"postscrn": "x"}), "smtpd/pass")}
            ),
            "postscrn is no parameter",
        ),
        (
            Postfix(extensions={"new/unix": Extension(options={"smtp_bnd": "x"})}),
            "smtp_bnd is no parameter",
        ),
    ],
)
def test_a_mistake_is_of_who_makes_it_whatever_its_name(name: str, part: Postfix, said: str) -> None:
    found = site()
    host = found.hosts[NAME]
    more: Contributions = [("middle", Postfix(services={"new/unix": Service("smtp", options={"smtp_bnd": "y"})}))]
    more = more if "new/unix" in part.extensions else []
    parts = sorted([*compose.contributions("postfix", found, host), *more, (name, part)], key=lambda one: one[0])
    with pytest.raises(ComposeError) as caught:
        postfix.plan(found, host, parts, {})
    assert str(caught.value).splitlines()[0].startswith(f"concern {name}: {said}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_list_that_the_user_sets_is_the_users() -> None:
    found = site()
    host = found.hosts[NAME]
    part = Postfix(lists={"smtpd_recipient_restrictions": {"policy": ["reject_foo"]}})
    parts = [*compose.contributions("postfix", found, host), ("one", part)]
    postfix.plan(found, host, parts, {"settings": {"smtpd_recipient_restrictions": None}})
    with pytest.raises(ComposeError, match="^postfix_settings: smtpd_recipient_restrictions: reject_bar"):
        postfix.plan(found, host, parts, {"settings": {"smtpd_recipient_restrictions": ["reject_bar"]}})


def test_restriction_classes_may_be_a_list() -> None:
    given = {"smtpd_restriction_classes": ["strict", "lax"], "strict": ["reject"], "lax": "permit"}
    found = site()
    plan = compose.plan("postfix", found, found.hosts[NAME], {"settings": {**given, "smtpd_etrn_restrictions": "lax"}})
    assert any("smtpd_restriction_classes = strict, lax" in forms.text(file) for file in plan["files"])


def test_a_daemon_may_stand_before_another() -> None:
    base: Contributions = [("mx", Postfix(services={"smtp/inet": Service("smtpd", private="n")}))]
    first = ("zzz", Postfix(fronts={"smtp/inet": Front(POSTSCREEN, "smtpd/pass")}))
    second = ("aaa", Postfix(fronts={"smtpd/pass": Front(Service("proxy"), "smtpd2/pass")}))
    assert services_of([*base, first, second]) == services_of([second, *base, first])


def with_more(program: str, *more: tuple[str, t.Any]) -> Plan:
    found = site()
    host = found.hosts[NAME]
    plan: Plan = compose.programs()[program].plan(
        found, host, [*compose.contributions(program, found, host), *more], {}
    )
    return plan


SCRIPTS = Directory("/etc/dovecot/scripts")


@pytest.mark.parametrize(
    ("program", "one", "other", "sentence"),
    [
        (
            "ldap",
            Ldap(settings={"global": {"olcIdleTimeout": ["1"]}}),
            Ldap(settings={"global": {"olcIdleTimeout": ["2"]}}),
            r"directory setting global / olcIdleTimeout: concern one wants \['1'\], concern other wants \['2'\]",
        ),
        (
            "ldap",
            Ldap(settings={"global": {"olcLocalSSF": ["1"]}}),
            Ldap(),
            r"directory setting global / olcLocalSSF: concern one wants \['1'\], and the collection has its own",
        ),
        (
            "ldap",
            Ldap(settings={"globul": {"olcIdleTimeout": ["1"]}}),
            Ldap(),
            "concern one: directory setting globul must be one of global, frontend, database",
        ),
        (
            "sasl",
            Sasl(settings={"ldap_passwrd": "x"}),
            Sasl(),
            "^concern one: ldap_passwrd is no setting of saslauthd",
        ),
        (
            "sasl",
            Sasl(settings={"ldap_password": "p4ssword"}),
            Sasl(),
            "ldap_password: concern accounts wants its own, concern one wants its own$",
        ),
        (
            "dovecot",
            Dovecot(trunk={"ldap_auth_dn_password": "p4ssword"}),
            Dovecot(),
            "ldap_auth_dn_password: concern accounts wants its own, concern one wants its own$",
        ),
        (
            "dovecot",
            Dovecot(directories=[SCRIPTS]),
            Dovecot(directories=[Directory(SCRIPTS.path, "0700")]),
            "/etc/dovecot/scripts: concern one wants .*0755.*, concern other wants .*0700",
        ),
        (
            "dovecot",
            Dovecot(users=[User("vmail", 6000)]),
            Dovecot(),
            "vmail: concern accounts wants .*5000.*, concern one wants .*6000",
        ),
        (
            "dovecot",
            Dovecot(v24={"passdb masters": {"driver": "passwd-file"}}),
            Dovecot(),
            "Dovecot setting passdb: concerns accounts, one bring blocks with no order",
        ),
        (
            "amavis",
            Amavis(settings={"max_servers": 3}),
            Amavis(),
            "^concern one: max_servers must be a variable of amavis with its sigil",
        ),
        (
            "amavis",
            Amavis(units=[Unit("postamt-learn.path", running=False)]),
            Amavis(),
            "postamt-learn.path: concern one wants .*False.*, concern spam_learning wants .*True",
        ),
    ],
)
def test_conflicts_in_other_programs(program: str, one: t.Any, other: t.Any, sentence: str) -> None:
    for more in ([("one", one), ("other", other)], [("other", other), ("one", one)]):
        with pytest.raises(ComposeError, match=sentence):
            with_more(program, *more)


def test_two_concerns_may_want_the_same_folder_and_user() -> None:
    part = Dovecot(directories=[SCRIPTS], users=[User("reader")])
    plan = with_more("dovecot", ("one", part), ("other", part))
    assert [one["name"] for one in plan["users"]].count("reader") == 1
    assert [one["path"] for one in plan["directories"]].count(SCRIPTS.path) == 1


@pytest.mark.parametrize("path", ["/etc/postfix/main.cf", "/etc/postfix/tables/forwards"])
def test_no_concern_writes_a_file_of_the_program(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = site()
    more = types.SimpleNamespace(postfix=lambda site, host: Postfix(files=[File(path, "")]))
    concerns = {**compose.concerns(), "one": more}
    monkeypatch.setattr(compose, "concerns", lambda: concerns)
    with pytest.raises(ComposeError, match=f"concern one brings {path}, which program postfix writes itself"):
        compose.plan("postfix", found, found.hosts[NAME])


def test_what_was_made_for_services_that_the_user_takes_out_goes_with_them() -> None:
    found = site()
    none = {"services": {"submission/inet": None, "submissions/inet": None}}
    plan = compose.plan("postfix", found, found.hosts[NAME], none)
    assert not [file["path"] for file in plan["files"] if "mua_" in forms.text(file)]
    one = {"services": {"submission/inet": None}}
    plan = compose.plan("postfix", found, found.hosts[NAME], one)
    assert [file["path"] for file in plan["files"] if "\nmua_relay_restrictions = " in forms.text(file)]
    with pytest.raises(ComposeError, match="^postfix_settings: mua_relay_restrictions is no parameter"):
        own = {**none, "settings": {"mua_relay_restrictions": "reject"}}
        compose.plan("postfix", found, found.hosts[NAME], own)
    with pytest.raises(ComposeError, match="^concern one: smtpd_baner is no parameter"):
        part = ("one", Postfix(parameters={"smtpd_baner": "x"}))
        parts = [*compose.contributions("postfix", found, found.hosts[NAME]), part]
        postfix.plan(found, found.hosts[NAME], parts, none)


def test_a_slot_takes_a_list() -> None:
    part = types.SimpleNamespace(lists={"smtpd_milters": {"check": "unix:a"}})
    with pytest.raises(ComposeError, match="concern one: list smtpd_milters, slot check: must be a list of entries"):
        slotted([("one", part)], "lists", SLOTS, "list")  # it was a list of letters


def test_one_concern_alone_says_where_accounts_live(monkeypatch: pytest.MonkeyPatch) -> None:
    saying = types.SimpleNamespace(__name__="x", lookups=None)
    monkeypatch.setattr(compose, "_modules", lambda folder: {"one": saying, "other": saying})
    with pytest.raises(ComposeError, match="concerns one and other both say where accounts live"):
        compose.concerns.__wrapped__()

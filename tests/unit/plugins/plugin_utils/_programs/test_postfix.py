# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a site to what Postfix gets: golden cases, the concern that is turned off included."""

from __future__ import annotations

import itertools
import re
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError, merged
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postfix import _lists
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"


def files(release: str = "trixie", overrides: t.Any = None, **variables: t.Any) -> dict[str, str]:
    given = {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}], **variables}
    site = parse_site(given, {NAME: HostInput(look=looked(release=release))}, compose.concerns().values())
    plan = compose.plan("postfix", site, site.hosts[NAME], overrides)
    return {item["path"].rpartition("/")[2]: forms.text(item) for item in plan["files"]}


def settings(**arguments: t.Any) -> dict[str, str]:
    lines = [line.split(" = ", 1) for line in files(**arguments)["main.cf"].splitlines() if " = " in line]
    return dict(lines)


def test_port_25_relays_for_nobody() -> None:
    found = settings()
    assert found["smtpd_relay_restrictions"] == "permit_mynetworks, reject_unauth_destination"
    assert found["smtpd_sasl_auth_enable"] == "no"


def service(name: str, **arguments: t.Any) -> dict[str, str]:
    """Return the options of a line of master.cf."""
    lines = files(**arguments)["master.cf"].split(f"\n{name} inet", 1)[1].split("\n")[1:]
    options = itertools.takewhile(lambda line: line.startswith("  -o { "), lines)
    return dict(line.removeprefix("  -o { ").removesuffix(" }").split(" = ", 1) for line in options)


@pytest.mark.parametrize("name", ["submission", "submissions"])
def test_users_ports_ask_for_the_directory_before_they_greet(name: str) -> None:
    asked, system = service(name), service(name, mail_accounts_backend="system")
    directory = "proxy:ldap:$config_directory/tables/directory"
    assert asked["smtpd_client_restrictions"] == f"check_client_access {directory}"
    assert directory in settings()["proxy_read_maps"], "proxymap would not open what stands in master.cf alone"
    assert system["smtpd_client_restrictions"] == "" and "proxy_read_maps" not in settings(
        mail_accounts_backend="system"
    )
    assert "directory" in files() and not {"directory", "no_directory"} & set(files(mail_accounts_backend="system"))
    for options in (asked, system):
        assert options["smtpd_delay_reject"] == "no"
        assert options["smtpd_sender_restrictions"] == "$mua_sender_restrictions, $mua_client_restrictions"
        assert options["smtpd_tls_security_level"] == "encrypt"


def test_the_null_sender_is_for_other_servers_alone() -> None:
    assert files()["senders_of_users"].startswith("<>\t550 5.7.1 ")
    assert settings()["mua_sender_restrictions"].split(", ") == [
        "reject_non_fqdn_sender",
        "reject_sender_login_mismatch",
        "check_sender_access lmdb:$config_directory/tables/senders_of_users",
    ]


def test_names_that_nobody_else_greets_with() -> None:
    (lines, helo) = files()["own_names"].splitlines(), settings()["smtpd_helo_restrictions"].split(", ")
    assert lines == [r"/^mail\.example\.org\.?$/ 554 5.7.1 You greet with a name or an address of mine"]
    assert helo[0] == "permit_mynetworks" and helo[-1] == "check_helo_access regexp:$config_directory/tables/own_names"


def test_mail_to_unknown_users_of_the_host_is_read_and_nobody_elses_is() -> None:
    accounts = [{"address": f"{name}@example.org"} for name in ("al$ice", "ben", *(f"user{n}" for n in range(60)))]
    found = files(mail_accounts_backend="system", mail_postmaster="al$ice@example.org", mail_accounts=accounts)
    *conditions, last, end, _end = found["local_others"].splitlines()
    assert last == "!/^owner-/\tal$$ice@example.org", "a dollar begins what regexp_table(5) fills in"
    assert len(conditions) == 2 and end == "endif"
    patterns = [re.compile(one.removeprefix("if !/").removesuffix("/")) for one in conditions]
    mine, others = ("al$ice", "ben", "ben+x", "user59"), ("alxice", "benn", "user60", "www-data", "www-data+x")
    for name in (*mine, *others):  # local(8) looks NAME+WORD up before NAME
        assert any(pattern.search(name) for pattern in patterns) == (name in mine), name
    assert files()["local_others"] == "!/^owner-/\talice@example.org\n"


def test_no_host_says_which_addresses_there_are() -> None:
    assert settings()["disable_vrfy_command"] == "yes"
    groups = {"mail_mx": ["mx.example.org"], "mail_submission": ["out.example.org"], "mail_store": ["st.example.org"]}
    given = {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}]}
    hosts = {name: HostInput(["mail", group]) for group, names in groups.items() for name in names}
    site = parse_site(given, hosts, compose.concerns().values(), groups=groups)
    for host in site.hosts.values():
        texts = [forms.text(item) for item in compose.plan("postfix", site, host)["files"]]
        assert any("disable_vrfy_command = yes\n" in text for text in texts), host.name


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_smuggling_is_closed_on_both_releases(release: str) -> None:
    assert settings(release=release)["smtpd_forbid_bare_newline"] == "normalize"


def test_a_concern_that_is_off_leaves_nothing() -> None:
    off = files()
    assert "header_checks" not in off and "header_checks" not in off["main.cf"]
    assert "relayhost_login" not in off and "relayhost" not in off["main.cf"]


def test_header_checks() -> None:
    check = {"match": "^Subject: a/b", "action": "reject", "text": "no"}
    assert files(mail_header_checks=[check])["header_checks"] == "/^Subject: a\\/b/ REJECT no\n"


@pytest.mark.parametrize(
    ("match", "written"),
    [
        ("a/b", r"/a\/b/"),
        (r"a\/b", r"/a\/b/"),
        (r"a\\/b", r"/a\\\/b/"),
        ("[/]//", r"/[\/]\/\//"),
        (r"\d+\.\w", r"/\d+\.\w/"),
    ],
)
def test_nothing_ends_the_pattern_of_a_header_check(match: str, written: str) -> None:
    check = {"match": match, "action": "reject"}
    assert files(mail_header_checks=[check])["header_checks"] == f"{written} REJECT\n"


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("replace", "Subject: $1${2}$(1)"),
        ("reject", "costs $$5"),
        ("redirect", "$1@example.org"),
        ("filter", "scan:[127.0.0.1]:10024"),
    ],
)
def test_the_text_of_a_header_check_has_what_its_pattern_found(action: str, text: str) -> None:
    check = {"match": "^Subject: (a)(.*)[[:space:]]", "action": action, "text": text}
    assert files(mail_header_checks=[check])["header_checks"].endswith(f"/ {action.upper()} {text}\n")


def test_relayhost_with_login() -> None:
    found = files(mail_relayhost={"host": "smtp.example.net", "username": "u", "password": "p"})
    assert found["relayhost_login"] == "[smtp.example.net]:587\tu:p\n"
    assert "relayhost = [smtp.example.net]:587" in found["main.cf"]


def test_a_relayhost_at_port_465_has_a_client_of_its_own() -> None:
    found = files(mail_relayhost={"host": "smtp.example.net", "port": 465}, mail_srs=False)
    assert "default_transport = smtps\n" in found["main.cf"]
    assert "\nsmtps unix - - y - - smtp\n" in found["master.cf"]
    assert found["master.cf"].count("smtp_tls_wrappermode = yes") == 1
    assert found["relayhost_tls"] == "[smtp.example.net]:465\tverify match=hostname\n"
    assert "smtps" not in files(mail_relayhost={"host": "smtp.example.net"})["master.cf"]


def test_a_domain_means_itself_and_no_subdomain() -> None:
    assert "\nparent_domain_matches_subdomains =\n" in files()["main.cf"]


def test_the_limit_of_an_expansion_follows_the_longest_one() -> None:
    members = [f"m{number}@elsewhere.example" for number in range(1100)]
    lists = {"all@example.org": ["many@example.org", "alice@example.org"], "many@example.org": members}
    assert int(settings(mail_aliases=lists)["virtual_alias_expansion_limit"]) >= 1101
    few = {f"list{number}@example.org": ["alice@example.org"] for number in range(2000)}
    assert "virtual_alias_expansion_limit" not in settings(mail_aliases=few)


@pytest.mark.parametrize(
    ("service", "line"),
    [
        ({"command": "postscreen", "maxproc": 1}, "smtp inet n - y - 1 postscreen"),
        ({"command": "smtpd", "private": False, "chroot": False, "wakeup": 60}, "smtp inet n - n 60 - smtpd"),
        ({"command": "smtpd", "private": True, "unprivileged": "n", "chroot": "n"}, "smtp inet y n n - - smtpd"),
    ],
)
def test_numbers_and_booleans_of_a_service(service: dict[str, t.Any], line: str) -> None:
    assert f"\n{line}\n" in files(overrides={"services": {"smtp/inet": service}})["master.cf"]


def test_gateway() -> None:
    found = files(mail_gateway={"inner.example": {"host": "10.0.0.5", "recipients": ["x@inner.example"]}})
    assert found["gateway"] == "inner.example\trelay:[10.0.0.5]:25\n"
    assert found["gateway_recipients"] == "x@inner.example\tOK\n"


def test_the_users_settings_come_last_and_null_removes() -> None:
    found = settings(overrides={"settings": {"biff": None, "smtpd_banner": "hello"}})
    assert found["smtpd_banner"] == "hello" and "biff" not in found


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"settings": {"smtpd_baner": "x"}}, "smtpd_baner is no parameter of Postfix 3.10; did you mean smtpd_banner?"),
        ({"settings": {"smtpd_client_restrictions": "permit_foo"}}, "permit_foo is no word of a restriction list"),
        ({"services": {"smtp": {"command": "smtpd"}}}, "smtp must be NAME/TYPE"),
        ({"services": {"x/inet": {"maxproc": 1}}}, "x/inet takes chroot, command, maxproc"),
        ({"services": {"x/inet": "smtpd"}}, "x/inet takes chroot, command, maxproc"),
        ({"services": {"x/inet": {"command": "smtpd", "maxproc": "many"}}}, "maxproc is 'many', and must be a number"),
        ({"services": {"x/inet": {"command": "a\nb"}}}, "and must be a command on one line"),
        ({"services": {"x/inet": {"command": "a", "chroot": "maybe"}}}, "and must be true or false"),
        ({"services": {"x/inet": {"command": "a", "options": "-v"}}}, "and must be a mapping of parameters"),
    ],
)
def test_what_postfix_does_not_have_is_refused(overrides: t.Any, sentence: str) -> None:
    with pytest.raises(ComposeError, match=re.escape(sentence)):
        files(overrides=overrides)


def test_a_parameter_of_3_10_is_refused_on_3_7() -> None:
    with pytest.raises(ComposeError, match=r"no parameter of Postfix 3\.7"):
        files(release="bookworm", overrides={"settings": {"smtp_tlsrpt_enable": True}})


def test_two_concerns_that_disagree_are_named() -> None:
    one, other = ("one", Postfix(parameters={"x": 1})), ("other", Postfix(parameters={"x": 2}))
    with pytest.raises(ComposeError, match="concern one wants 1, concern other wants 2"):
        merged([one, other], "parameters", "parameter")


def test_two_concerns_in_one_slot_are_refused() -> None:
    part = Postfix(lists={"smtpd_client_restrictions": {"access": ["reject"]}})
    with pytest.raises(ComposeError, match="both fill slot access"):
        _lists([("one", part), ("other", part)])


def test_each_smtpd_shows_its_own_certificate() -> None:
    site = parse_site(
        {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}]},
        {NAME: HostInput()},
        compose.concerns().values(),
    )
    own = {"command": "smtpd", "options": {"smtpd_tls_cert_file": "/a.pem", "smtpd_tls_chain_files": ""}}
    services = {"[2001:db8::1]:smtps/inet": own, "2525/inet": {"command": "smtpd"}, "submission/inet": None}
    off = {"command": "smtpd", "options": {"smtpd_tls_security_level": "none"}}
    found = compose.plan("postfix", site, site.hosts[NAME], {"services": {**services, "2626/inet": off}})["serves"]
    public = ["/etc/postamt/tls/public/key.pem", "/etc/postamt/tls/public/chain.pem"]
    shown = {(item["address"], item["port"]): (item["tls"], item["certificates"]) for item in found}
    assert shown == {
        ("", 25): ("starttls", public),
        ("", 465): ("implicit", public),
        ("", 2525): ("starttls", public),
        ("2001:db8::1", 465): ("starttls", ["/a.pem"]),
    }
    assert {item["protocol"] for item in found} == {"smtp"}


def test_a_disabled_user_of_the_host_is_nobodys_recipient() -> None:
    found = files(
        mail_accounts_backend="system",
        mail_accounts=[
            {"address": "anna@example.org", "aliases": ["a@example.org"]},
            {"address": "bob@example.org", "aliases": ["b@example.org"], "enabled": False},
        ],
        mail_aliases={
            "team@example.org": ["anna@example.org", "b@example.org"],
            "old@example.org": ["bob@example.org"],
        },
    )
    assert "anna@example.org" in found["mailboxes"] and "bob" not in found["mailboxes"]
    assert "bob" not in found["owners"]
    assert "team@example.org" in found["aliases"]
    assert not any(gone in found["aliases"] for gone in ("bob@", "b@", "old@"))


def test_users_of_the_host_log_in_by_dovecot_and_accounts_of_the_directory_by_saslauthd() -> None:
    directory, system = settings(), settings(mail_accounts_backend="system")
    assert (directory["smtpd_sasl_type"], directory["smtpd_sasl_path"]) == ("cyrus", "smtpd")
    assert (system["smtpd_sasl_type"], system["smtpd_sasl_path"]) == ("dovecot", "private/auth")
    assert "cyrus_sasl_config_path" not in system


def test_users_of_the_host_keep_their_aliases() -> None:
    directory, system = settings(), settings(mail_accounts_backend="system")
    assert directory["alias_maps"] == "lmdb:$config_directory/tables/local_aliases"
    assert system["alias_maps"] == f"hash:/etc/aliases, {directory['alias_maps']}"
    # what /etc/aliases says of postmaster comes before what the site says
    assert "postmaster@" not in files(mail_accounts_backend="system")["aliases"]
    assert files(mail_accounts_backend="system")["local_aliases"].count("postmaster") == 1

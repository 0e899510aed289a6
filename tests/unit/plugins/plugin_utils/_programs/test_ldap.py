# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the site means of the directory, as data."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import ENTRY_ATTRIBUTES
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import (
    applied_passwords,
    fingerprint,
    passwords,
)
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
HASH = "{ARGON2}$argon2id$v=19$m=1024,t=2,p=1$c2FsdHNhbHRzYWx0$29VKc4NHoj7igIBY0xlIKfUr7wLXndBmnA56POa"
ACCOUNTS = [
    {"address": "anna@example.org", "name": "Anna Maria Berg", "aliases": ["a@example.org"], "quota": "1M"},
    {"address": "ben@example.org", "password": "clear-secret", "forward": ["x@example.net"], "keep_copy": True},
    {"address": "carl@example.org", "password_hash": HASH, "enabled": False},
]


def make(release: str = "trixie", **more: Any) -> Site:
    variables = {"mail_domains": ["example.org"], "mail_accounts": ACCOUNTS, **more}
    host = HostInput(look=looked(release=release))
    secrets = Secrets({"fingerprint-key": "key", "anna@example.org": "made-secret"})
    return parse_site(variables, {NAME: host}, compose.concerns().values(), secrets)


def plan(site: Site, **settings: Any) -> dict[str, Any]:
    return compose.plan("ldap", site, site.hosts[NAME], {"settings": settings})


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
@pytest.mark.parametrize("program", ["dovecot", "postfix", "sasl"])
def test_no_program_asks_for_localhost_where_libldap_puts_the_machines_own_name(program: str, release: str) -> None:
    site = make(release)
    found = compose.plan(program, site, site.hosts[NAME])
    said = "".join(forms.text(file) for file in found["files"])
    assert "ldap://127.0.0.1" in said and "ldap://localhost" not in said
    internal = compose.plan("certificates", site, site.hosts[NAME])["certificates"]["internal"]
    assert "127.0.0.1" in internal["names"]


def test_accounts_in_the_directorys_words() -> None:
    found = plan(make())["entries"]["accounts"]
    assert found["anna@example.org"] == {
        "cn": ["Anna Maria Berg"], "sn": ["Berg"], "mailEnabled": ["TRUE"], "mailAlias": ["a@example.org"],
        "mailQuota": ["1024"],
    }  # fmt: skip
    assert found["ben@example.org"]["mailAlias"] == ["ben@example.org"]
    assert found["ben@example.org"]["mailForwardingAddress"] == ["ben@example.org", "x@example.net"]
    assert found["carl@example.org"]["mailEnabled"] == ["FALSE"]


def test_no_secret_is_in_the_plan_and_passwords_come_by_name() -> None:
    site = make()
    text = json.dumps(plan(site))
    assert "-secret" not in text
    assert site.service_password("postfix") not in text
    assert passwords(site, ["anna@example.org", "ben@example.org", "carl@example.org", "x@example.org"]) == {
        "anna@example.org": {"clear": "made-secret"},
        "ben@example.org": {"clear": "clear-secret"},
        "carl@example.org": {"hash": HASH},
    }


def test_a_generated_password_reaches_the_host_as_a_hash() -> None:
    site = make()
    site.secrets.known["anna@example.org"] = Secrets().get("anna@example.org")
    anna, ben = (applied_passwords(site, [name])[name] for name in ("anna@example.org", "ben@example.org"))
    raw = base64.b64decode(anna["hash"].removeprefix("{SSHA}"))
    assert raw[:20] == hashlib.sha1(site.secrets.known["anna@example.org"].encode() + raw[20:]).digest()
    assert len(raw) == 36
    assert ben == {"clear": "clear-secret"}  # slapd makes a slow hash of what a person chose
    site.secrets.known["anna@example.org"] = "written over it"
    assert applied_passwords(site, ["anna@example.org"]) == {"anna@example.org": {"clear": "written over it"}}


def test_a_fingerprint_depends_on_key_kind_name_and_value() -> None:
    prints = {
        fingerprint(*words)
        for words in (
            ("k", "clear", "a", "v"), ("K", "clear", "a", "v"), ("k", "hash", "a", "v"), ("k", "clear", "b", "v"),
            ("k", "clear", "a", "w"),
        )
    }  # fmt: skip
    assert len(prints) == 5


@pytest.mark.parametrize(("release", "words"), [("bookworm", "-VERS-ALL"), ("trixie", "ECDHE+AESGCM")])
def test_each_tls_library_gets_its_language(release: str, words: str) -> None:
    assert words in plan(make(release))["config"]["global"]["olcTLSCipherSuite"][0]


def test_it_listens_on_loopback_unless_others_need_it() -> None:
    assert "ldap://localhost/" in plan(make())["listen"]
    assert plan(make(mail_directory_public=True))["listen"] == "ldapi:/// ldap:/// ldaps:///"


def test_settings_are_merged_last_and_null_removes() -> None:
    settings = {"global": {"olcIdleTimeout": 60, "olcSecurity": None}, "database": {"olcDbNoSync": True}}
    found = plan(make(), **settings)["config"]
    assert found["global"]["olcIdleTimeout"] == ["60"]
    assert "olcSecurity" not in found["global"]
    assert found["database"]["olcDbNoSync"] == ["TRUE"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"databse": {}}, "databse must be one of global, frontend, database"),
        ({"global": {"idle": 1}}, "idle is no attribute"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ComposeError, match=words):
        plan(make(), **settings)


@pytest.mark.parametrize("suffix", ["mail", "cn=mail", "o=mail, c=de", 'o="x"'])
def test_a_suffix_that_is_none(suffix: str) -> None:
    with pytest.raises(SiteError, match="mail_directory_suffix"):
        make(mail_directory_suffix=suffix)


@pytest.mark.parametrize("suffix", ["o=mail", "dc=example,dc=org", "ou=mail,o=Example Inc.,c=de"])
def test_a_suffix_that_is_one(suffix: str) -> None:
    assert plan(make(mail_directory_suffix=suffix))["config"]["suffix"] == suffix


def test_nobody_but_root_reads_a_password() -> None:
    rules = plan(make())["config"]["database"]["olcAccess"]
    assert rules[-1] == "to * by self read by * none"
    assert rules[4] == "to attrs=userPassword by self =xw by anonymous auth by * none"
    assert all("userPassword" not in rule for rule in rules[5:])
    assert all(rule.endswith("by * none") for rule in rules)


def test_users_own_passwords_have_rules() -> None:
    found = plan(make(mail_password_min_length=11))
    assert found["entries"]["policies"]["passwords"] == {
        "pwdAttribute": ["userPassword"], "pwdMinLength": ["11"], "pwdMaxLength": ["127"], "pwdCheckQuality": ["2"],
        "pwdSafeModify": ["TRUE"],
    }  # fmt: skip
    assert set(found["entries"]["policies"]["passwords"]) <= set(ENTRY_ATTRIBUTES), "or each run changes them"
    default = found["config"]["overlays"]["ppolicy"]["attributes"]["olcPPolicyDefault"]
    assert default == ["cn=passwords,ou=policies,o=mail"]


def test_the_system_back_end_needs_no_directory() -> None:
    assert (
        plan(make(mail_accounts_backend="system", mail_accounts=[{"address": "alice@example.org"}]))["wanted"] is False
    )


ALL = ("mail", "mail_mx", "mail_submission", "mail_store")
REPLICA = "replica.example.org"


def several(**more: Any) -> Site:
    hosts = {
        NAME: HostInput((*ALL, "mail_directory")),
        REPLICA: HostInput(("mail", "mail_directory")),
        "app.example.org": HostInput(("mail", "mail_client")),
    }
    secrets = Secrets({"service:replica": "replica-secret", "client:app.example.org": "client-secret"})
    variables = {"mail_domains": ["example.org"], "mail_accounts": ACCOUNTS, **more}
    return parse_site(variables, hosts, compose.concerns().values(), secrets)


def plan_of(site: Site, name: str) -> dict[str, Any]:
    return compose.plan("ldap", site, site.hosts[name], {})


def test_the_provider_has_the_entries_and_the_others_follow() -> None:
    site = several()
    provider, replica = plan_of(site, NAME), plan_of(site, REPLICA)
    assert provider["entries"]["services"]["replica"] == {"authzTo": ["dn.onelevel:ou=accounts,o=mail"]}
    assert replica["entries"] is None
    assert "olcSyncrepl" not in provider["config"]["database"]
    (follows,) = replica["config"]["database"]["olcSyncrepl"]
    assert "provider=ldapi://%2Frun%2Fpostamt-links%2Fdirectory-provider" in follows
    assert "replica-secret" in replica["secrets"]
    assert plan_of(site, "app.example.org")["wanted"] is False
    other = several(mail_directory_provider=REPLICA)
    assert plan_of(other, REPLICA)["entries"]
    assert plan_of(other, NAME)["config"]["database"]["olcUpdateRef"]


def test_one_directory_alone_knows_nothing_of_replicas() -> None:
    found = plan(make())
    assert found["config"]["overlays"]["chain"]["wanted"] is False
    assert "olcAuthzPolicy" not in found["config"]["global"]
    assert "replica" not in json.dumps(found["config"]["database"])
    assert found["entries"]["clients"] == []
    assert "clients" not in json.dumps(found["config"]["database"])


def test_a_replica_reads_all_and_another_server_is_found_by_saslauthd_alone() -> None:
    rules = plan_of(several(), NAME)["config"]["database"]["olcAccess"]
    assert rules[0] == 'to * by dn.exact="cn=replica,ou=services,o=mail" read by * break'
    clients = [rule for rule in rules if "ou=clients" in rule]
    assert [rule.count("cn=saslauthd") for rule in clients] == [0, 1, 0]
    assert all(rule.endswith("by * none") for rule in rules[1:])


def test_another_servers_password() -> None:
    site = several()
    assert plan_of(site, NAME)["entries"]["clients"] == ["app.example.org"]
    assert "client-secret" not in json.dumps(plan_of(site, NAME))
    assert passwords(site, ["client:app.example.org"]) == {"client:app.example.org": {"clear": "client-secret"}}
    found = compose.plan("sasl", site, site.hosts[NAME], {})["files"][0]["content"]
    assert "(|(&(objectClass=PostfixBookMailAccount)(mail=%u)" in found
    assert "(&(objectClass=device)(cn=%u)))" in found


def test_links_find_a_replica_once_it_is_in_step_and_each_program_by_a_socket_of_its_own() -> None:
    site = several()

    def links_of(name: str) -> dict[str, Any]:
        return compose.plan("haproxy", site, site.hosts[name], {"settings": {}})

    def configured(found: dict[str, Any]) -> str:
        return next(str(forms.text(file)) for file in found["files"] if file["path"] == "/etc/postamt/haproxy.cfg")

    provider, replica = links_of(NAME), links_of(REPLICA)
    binds = [line.split(None, 1)[1] for line in configured(provider).splitlines() if "bind /run" in line]
    owners = {"postfix": "postfix", "saslauthd": "root", "dovecot": "dovecot"}
    assert binds == [f"/run/postamt-links/directory-{name} user {who} mode 600" for name, who in owners.items()]
    assert "server own /run/slapd/ldapi check" in configured(provider)
    assert "bind /run/postamt-links/directory-provider user openldap mode 600" in configured(replica)
    assert "server own /run/postamt-directory/ldapi" in configured(replica)
    assert "/run/slapd/ldapi" not in configured(replica)
    assert set(provider["packages"]) == {"haproxy", "postfix", "dovecot-core"}
    assert set(replica["packages"]) == {"haproxy", "postfix", "slapd", "python3-ldap"}
    gate = [found["units"][1] for found in (provider, replica)]
    assert [unit["name"] for unit in gate] == ["postamt-directory-in-step.service"] * 2
    assert [unit["running"] for unit in gate] == [False, True]


FAKE = """\
# python-ldap as far as the gate needs it: a replica and its provider, which knows one login.
SCOPE_BASE = SCOPE_SUBTREE = OPT_NETWORK_TIMEOUT = OPT_TIMEOUT = 0
LDAPError = RuntimeError


class initialize:
    def __init__(self, uri):
        self.uri = uri

    def set_option(self, *_option):
        pass

    def sasl_external_bind_s(self):
        pass

    def simple_bind_s(self, dn, password):
        if (self.uri, dn, password) != PROVIDER:
            raise LDAPError(f"{self.uri} does not know {dn} with {password}")

    def search_s(self, base, *_how, **_what):
        return [(base, {"contextCSN": [b"1"], "olcSyncrepl": [b"{0}" + FOLLOWS.encode()]})]
"""


@pytest.mark.parametrize("suffix", ["o=mail", "o=my org,c=de"])
def test_a_replica_finds_its_login_at_the_provider_whatever_the_suffix(tmp_path: Path, suffix: str) -> None:
    site = several(mail_directory_suffix=suffix)
    (follows,) = plan_of(site, REPLICA)["config"]["database"]["olcSyncrepl"]
    knows = (f"ldapi://{reach.PROVIDER_SOCKET.replace('/', '%2F')}", site.service_dn("replica"), "replica-secret")
    (tmp_path / "ldap.py").write_text(f"PROVIDER = {knows!r}\nFOLLOWS = {follows!r}\n{FAKE}")
    files = compose.plan("haproxy", site, site.hosts[REPLICA], {})["files"]
    (tmp_path / "gate").write_text(next(forms.text(file) for file in files if file["path"].endswith("in-step")))
    command = [sys.executable, str(tmp_path / "gate"), suffix, str(tmp_path / "link")]
    subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, check=True, timeout=20)
    assert os.readlink(tmp_path / "link") == reach.SLAPD

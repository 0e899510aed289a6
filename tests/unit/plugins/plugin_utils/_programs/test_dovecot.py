# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a site to what Dovecot gets, in both languages: golden cases, the host that keeps no mail included."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs.dovecot import mailboxes
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _dovecot_names as names
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import plan as dovecot_plan
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
OLD, NEW = "bookworm", "trixie"


def site(release: str = NEW, **variables: t.Any) -> Site:
    given = {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}], **variables}
    look = {NAME: HostInput(look=looked(release=release))}
    return parse_site(given, look, compose.concerns().values())


def plan(release: str = NEW, settings: t.Any = None, **variables: t.Any) -> dict[str, t.Any]:
    one = site(release, **variables)
    return compose.plan("dovecot", one, one.hosts[NAME], {"settings": settings or {}})


def conf(release: str = NEW, settings: t.Any = None, **variables: t.Any) -> str:
    found = {item["path"]: item["content"] for item in plan(release, settings, **variables)["files"]}
    return t.cast(str, found["/etc/dovecot/dovecot.conf"])


def printed(release: str, *parts: Dovecot, settings: t.Any = None) -> list[str]:
    """Return the lines of dovecot.conf after the header, for contributions of the test's own."""
    one = site(release)
    named = [(f"concern{i}", part) for i, part in enumerate(parts)]
    files = dovecot_plan(one, one.hosts[NAME], named, {"settings": settings or {}})["files"]
    text = files[-1]["content"]
    return [line for line in text.splitlines() if not line.startswith(("#", "dovecot_"))]


def test_a_script_writes_to_others_only_where_the_site_wants_it() -> None:
    assert "sieve_extensions = -enotify\n" in conf(OLD)
    assert "sieve_extensions {\n  enotify = no\n}\n" in conf(NEW)
    assert "sieve_extensions = +enotify\n" in conf(OLD, mail_sieve_notify=True)
    assert "sieve_extensions {\n  enotify = yes\n}\n" in conf(NEW, mail_sieve_notify=True)
    for release in (OLD, NEW):
        assert "sieve_notify_mailto_envelope_from = user_email\n" in conf(release)


def test_each_process_that_asks_for_a_quota_is_answered() -> None:
    """One of Postfix's keeps a connection, and there are 100 for each of three ports."""
    for release in (OLD, NEW):
        assert "process_limit = 300\n" in conf(release)


PLUGINS = Dovecot(plugins={"": ["quota"], "imap": ["imap_quota"]}, protocols=["imap", "lmtp"])


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (
            OLD,
            ["mail_plugins = quota", "protocols = imap lmtp"]
            + ["protocol imap {", "  mail_plugins = imap_quota quota", "}"]
            + ["protocol lmtp {", "  mail_plugins = quota sieve", "}"],
        ),
        (
            NEW,
            ["protocols {", "  imap = yes", "  lmtp = yes", "}", "mail_plugins {", "  quota = yes", "}"]
            + ["protocol imap {", "  mail_plugins {", "    imap_quota = yes", "  }", "}"]
            + ["protocol lmtp {", "  mail_plugins {", "    sieve = yes", "  }", "}"],
        ),
    ],
)
def test_plugins_of_two_concerns(release: str, expected: list[str]) -> None:
    assert printed(release, PLUGINS, Dovecot(plugins={"lmtp": ["sieve"]})) == expected


def test_a_plugin_of_the_users_own_reaches_every_protocol_on_2_3() -> None:
    lines = printed(OLD, PLUGINS, settings={"mail_plugins": {"acl": True, "quota": False}})
    assert "mail_plugins = acl" in lines and "  mail_plugins = acl imap_quota" in lines


def test_values_are_written_as_dovecot_reads_them() -> None:
    tree = {"auth_verbose": True, "auth_mechanisms": ["plain", "login"], "mail_server_comment": "a # b"}
    wanted = ["auth_mechanisms = plain login", "auth_verbose = yes", 'mail_server_comment = "a # b"']
    assert printed(NEW, Dovecot(trunk=tree)) == [*wanted, "protocols {", "}"]


def test_two_concerns_that_disagree_are_named() -> None:
    with pytest.raises(ComposeError, match="concern0 wants 'a', concern concern1 wants 'b'"):
        printed(NEW, Dovecot(trunk={"log_path": "a"}), Dovecot(v24={"log_path": "b"}))


def test_a_host_without_mailboxes_runs_no_dovecot() -> None:
    hosts = {NAME: HostInput(["mail", "mail_mx"]), "store.example.org": HostInput(["mail", "mail_store"])}
    one = parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values())
    found = compose.plan("dovecot", one, one.hosts[NAME])
    assert not found["wanted"] and found["files"] == []
    assert found["units"] == [{"name": "dovecot.service", "running": False}]


@pytest.mark.parametrize("release", [OLD, NEW])
def test_passwords_travel_inside_tls_only(release: str) -> None:
    found = conf(release)
    assert "\nssl = required\n" in found and "\nssl_min_protocol = TLSv1.2\n" in found
    assert ("\ndisable_plaintext_auth = yes\n" if release == OLD else "\nauth_allow_cleartext = no\n") in found


@pytest.mark.parametrize("release", [OLD, NEW])
def test_the_directorys_password_is_for_root_only(release: str) -> None:
    found = plan(release)
    secret = found["secrets"][0]
    assert {item["mode"] for item in found["files"] if secret in item["content"]} == {"0600"}


@pytest.mark.parametrize(
    ("release", "expected"),
    [(OLD, "  quota_rule = *:storage=2048K"), (NEW, "    quota_storage_size = %{ldap:mailQuota | default(2048)}K")],
)
def test_an_account_without_a_quota_has_the_sites(release: str, expected: str) -> None:
    assert expected in conf(release, mail_quota="2M").splitlines()


def test_a_quota_is_in_units_of_1024_bytes() -> None:
    with pytest.raises(SiteError, match="mail_quota is 1000: must be a multiple of 1024 bytes"):
        site(mail_quota=1000)


def test_null_removes_a_setting_and_a_block() -> None:
    found = conf(settings={"ssl_cipher_list": None, "service quota-status": None})
    assert "ssl_cipher_list" not in found and "service quota-status" not in found


def test_the_users_passwords_are_secret() -> None:
    assert "pw-of-doveadm" in plan(settings={"doveadm_password": "pw-of-doveadm"})["secrets"]


@pytest.mark.parametrize(
    ("release", "settings", "expected"),
    [
        (NEW, {"mail_locaton": "x"}, "mail_locaton: Dovecot 2.4 has no such setting"),
        (NEW, {"disable_plaintext_auth": True}, "Dovecot 2.4 has no such setting"),
        (NEW, {"service imap": {"proces_limit": 3}}, "service imap / proces_limit: .*did you mean process_limit?"),
        (NEW, {"mail_home": "/var/vmail/%Ld/%n"}, "mail_home: Dovecot 2.4 takes %Ld for plain text"),
        (NEW, {"auth_mechanisms": "$auth_mechanisms x"}, "Dovecot 2.4 takes .auth_mechanisms for plain text"),
        (OLD, {"mail_path": "~/Maildir"}, "mail_path: Dovecot 2.3 has no such setting"),
        (OLD, {"plugin": {"sieve_befor": "/x"}}, "plugin / sieve_befor: .*did you mean sieve_before?"),
        (OLD, {"servce imap": {}}, "servce imap: Dovecot 2.3 has no such block; did you mean service?"),
        (OLD, {"namespace inbox": {"mailbox Junk": {"autto": "no"}}}, "mailbox Junk / autto: .*did you mean auto?"),
    ],
)
def test_settings_that_the_version_lacks_or_misreads_are_refused(release: str, settings: t.Any, expected: str) -> None:
    with pytest.raises(ComposeError, match=f"dovecot_settings: .*{expected}"):
        plan(release, settings)


GOOD_NEW = {
    'quota "User quota"': {"warning w95": {"quota_storage_percentage": 95, "execute warn": {"args": "95 %{user}"}}},
    "namespace shared": {"prefix": "Shared/$user/", "mail_path": "%{owner_home}/Maildir"},
    "metric one": {"filter": "event=x", "group_by duration": {"method exponential": {"base": 10}}},
    "passdb static": {"password": "x", "fields": {"anything": "%{user}"}},
    "service stats": {"inet_listener http": {"port": 9900, "listen": "127.0.0.1"}},
    "acl_sharing_map": {"dict file": {"path": "/x"}},
    "protocol imap": {"mail_max_userip_connections": 20},
    "mail_log_prefix": "%{protocol} 100% ",
}
GOOD_OLD = {
    "plugin": {"sieve_before2": "/x", "quota_rule2": "Trash:storage=+10%%", "imapsieve_mailbox1_name": "Junk"},
    "passdb#master": {"driver": "passwd-file", "args": "/x", "master": True},
    "service stats": {"inet_listener http": {"port": 9900, "address": "127.0.0.1"}},
    "local_name imap.example.org": {"ssl_cert": "</x"},
    "mail_home": "/var/vmail/%Ld/%Ln",
    "dict": {"anything": "x"},
}


@pytest.mark.parametrize(("version", "settings"), [((2, 4), GOOD_NEW), ((2, 3), GOOD_OLD)])
def test_settings_that_the_version_has_pass(version: tuple[int, int], settings: t.Any) -> None:
    assert list(names.problems(version, settings)) == []


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize("backend", ["directory", "system"])
def test_what_the_concerns_contribute_is_known_too(release: str, backend: str) -> None:
    one = site(release, mail_accounts_backend=backend)
    host = one.hosts[NAME]
    for concern, part in compose.contributions("dovecot", one, host):
        tree = {**part.trunk, **(part.v23 if release == OLD else part.v24)}
        assert list(names.problems(host.version("dovecot"), tree)) == [], concern


@pytest.mark.parametrize("release", [OLD, NEW])
def test_which_users_of_the_host_log_in_and_how(release: str) -> None:
    accounts = [{"address": "alice@example.org"}, {"address": "bob@example.org", "enabled": False}]
    found = plan(release, mail_accounts_backend="system", mail_accounts=accounts)
    texts = {item["path"]: item["content"] for item in found["files"]}
    names_that_log_in = [line.partition(":")[0] for line in texts["/etc/dovecot/logins"].splitlines()[1:]]
    assert names_that_log_in == ["alice", "alice@example.org"]
    assert [line.partition(":")[0] for line in texts["/etc/dovecot/mailboxes"].splitlines()[1:]] == ["alice"]
    rules = [line.split() for line in texts["/etc/pam.d/postamt"].splitlines()[1:]]
    assert [rule[:3] for rule in rules] == [
        ["auth", "requisite", "pam_succeed_if.so"],  # before the password is looked at
        ["auth", "required", "pam_unix.so"],
        ["account", "requisite", "pam_succeed_if.so"],
        ["account", "required", "pam_unix.so"],
    ]
    assert "nullok" not in texts["/etc/pam.d/postamt"]
    conf = texts["/etc/dovecot/dovecot.conf"]
    assert mailboxes(conf).users == "passwd"  # as Debian's Dovecot has it: an adopted host keeps its homes
    assert conf.index("/etc/dovecot/logins") < conf.index("driver = pam" if release == OLD else "passdb pam")


@pytest.mark.parametrize(("release", "name"), [(OLD, "ssl_cert"), (NEW, "ssl_server_cert_file")])
def test_the_ports_that_show_its_certificate(release: str, name: str) -> None:
    found = plan(release)["serves"]
    assert {(item["port"], item["protocol"], item["tls"]) for item in found} == {
        (143, "imap", "starttls"), (993, "imap", "implicit"), (995, "pop3", "implicit"), (4190, "sieve", "starttls"),
    }  # fmt: skip
    assert {path for item in found for path in item["certificates"]} == {"/etc/postamt/tls/public/chain.pem"}
    own = plan(release, settings={name: "/a.pem" if release == NEW else "</a.pem"})["serves"]
    assert {path for item in own for path in item["certificates"]} == {"/a.pem"}


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("~/mail/", "maildir:~/mail", "~/mail"),
        (
            "/var/mail/vhosts/{domain}/{local}",
            "maildir:/var/mail/vhosts/%d/%n",
            "/var/mail/vhosts/%{user | domain}/%{user | username}",
        ),
    ],
)
def test_mailboxes_lie_where_the_site_says(path: str, old: str, new: str) -> None:
    assert f"mail_location = {old}\n" in conf(OLD, mail_maildir=path)
    assert f"mail_path = {new}\n" in conf(NEW, mail_maildir=path)


@pytest.mark.parametrize(
    "variables",
    [
        {"mail_maildir": "/var/mail/all"},
        {"mail_maildir": "/var/mail/%u"},
        {"mail_maildir": "/var/mail/{name}/{user}"},
        {"mail_maildir": "~anna/Maildir"},
        {"mail_maildir": "/mail/{domain}/{local}", "mail_accounts_backend": "system"},
    ],
)
def test_one_mailbox_for_all_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(SiteError, match="mail_maildir"):
        site(**variables)


@pytest.mark.parametrize("release", [OLD, NEW])
def test_the_separator_of_folders(release: str) -> None:
    assert "  separator = /\n" in conf(release)
    assert "  separator = .\n" in conf(release, mail_folder_separator=".")

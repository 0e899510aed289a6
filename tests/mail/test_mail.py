"""Mail from users and from the world arrives, and nobody else's is taken: on one host or over several."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Tls
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import imap_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_ehlo, smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import (
    imap_find,
    imap_folders,
    imap_login,
    imap_quota,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.ldap import ldap_search
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import Encoding, message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.pop3 import pop3_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth, smtp_send
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.tls import tls_refuses
from ansible_collections.postamt.mail.tests.lib.probes import ENDINGS, imap_fill, sieve_put, smtp_smuggle
from ansible_collections.postamt.mail.tests.lib.searches import MISSING, unindexed
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, RunAgain, Site

ANNA, BEN, CARL = "anna@example.test", "ben@example.test", "carl@example.net"
STRANGER = "stranger@outside.example"


@pytest.mark.parametrize(("port", "tls"), [(587, "starttls"), (465, "implicit")])
def test_a_user_sends_to_another(site: Site, ask_both: Ask, port: int, tls: Tls) -> None:
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    sent = smtp_send(ask_both(port), ANNA, [BEN], message(ANNA, BEN, token), tls=tls, login=login)
    assert sent.queue_id
    assert imap_find(ask_both(993), BEN, site.passwords[BEN], token)


@pytest.mark.parametrize(
    ("address", "reader"),
    [
        (ANNA, ANNA),
        ("a@example.test", ANNA),
        ("anna+shop@example.test", ANNA),
        ("team@example.test", BEN),
        ("postmaster@example.net", ANNA),
        (CARL, ANNA),
    ],
    ids=["mailbox", "alias", "plus", "group", "postmaster", "forward"],
)
def test_mail_from_outside_arrives(site: Site, ask_both: Ask, address: str, reader: str) -> None:
    token = new_token()
    assert smtp_send(ask_both(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    assert pop3_find(ask_both(995), reader, site.passwords[reader], token)


@pytest.mark.parametrize("encoding", ["8bit", "utf8"])
def test_other_letters_arrive(site: Site, ask: Ask, encoding: Encoding) -> None:
    token = new_token()
    assert smtp_send(ask(25), "", [ANNA], message(STRANGER, ANNA, token, "Grüße\n", encoding=encoding)).accepted
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], token)


@pytest.mark.parametrize("to", ["root", "root@localhost", "root@{name}", "www-data"])
def test_mail_of_the_hosts_themselves_reaches_a_person(connect: Connect, site: Site, ask: Ask, to: str) -> None:
    tokens = {name: new_token() for name in site.groups["mail"]}
    for name, token in tokens.items():
        mail = f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail {to.format(name=name)}"
        connect(name).check_output(mail)
    for name, token in tokens.items():
        assert imap_find(ask(993), ANNA, site.passwords[ANNA], token), name


def test_strangers_are_refused(ask_both: Ask, site: Site) -> None:
    users = [f"{user}@{name}" for user in ("www-data", "mallory", "postfix") for name in site.groups["mail"]]
    for sender, recipient in [
        *((STRANGER, user) for user in users),
        (STRANGER, "nobody@example.test"),
        (STRANGER, "someone@elsewhere.example"),
        (ANNA, BEN),
    ]:
        answer = smtp_rcpt(ask_both(25), sender, [recipient]).rcpt[recipient]
        assert 500 <= answer.code < 600, (sender, recipient, answer)


def test_no_login_on_25_nor_before_tls(ask: Ask) -> None:
    assert not smtp_ehlo(ask(25)).auth
    assert not smtp_ehlo(ask(25), tls="starttls").auth
    assert not smtp_ehlo(ask(587)).auth
    assert smtp_ehlo(ask(587), tls="starttls").auth
    assert "SMTPUTF8" not in smtp_ehlo(ask(25)).capabilities
    assert imap_capabilities(ask(143)).login_disabled


def test_a_wrong_password_is_refused(ask: Ask) -> None:
    assert smtp_auth(ask(587), ANNA, "wrong").code == 535
    assert not imap_login(ask(993), ANNA, "wrong").ok


def test_a_user_has_only_its_own_addresses(site: Site, ask: Ask) -> None:
    login = (ANNA, site.passwords[ANNA])
    own = smtp_rcpt(ask(587), "a@example.test", [BEN], tls="starttls", login=login)
    assert own.accepted
    other = smtp_rcpt(ask(587), BEN, [BEN], tls="starttls", login=login)
    assert not other.accepted


@pytest.mark.parametrize(("port", "tls"), [(587, "starttls"), (465, "implicit")])
def test_the_null_sender_is_no_users(site: Site, ask: Ask, port: int, tls: Tls) -> None:
    answer = smtp_rcpt(ask(port), "", [BEN], tls=tls, login=(ANNA, site.passwords[ANNA])).mail
    assert answer.code == 550
    assert "Send with an address of your own" in answer.text


@pytest.mark.parametrize(("port", "tls"), [(587, "starttls"), (465, "implicit")])
def test_who_has_not_logged_in_sends_nothing(ask: Ask, port: int, tls: Tls) -> None:
    for sender in ("", ANNA, STRANGER):
        assert 500 <= smtp_rcpt(ask(port), sender, [BEN], tls=tls).mail.code < 600, sender


@pytest.mark.parametrize("name", [f"{ANNA}@", f"{ANNA}@example.test", "*@example.test", "anna"])
def test_a_login_is_exactly_the_address(site: Site, ask: Ask, name: str) -> None:
    assert smtp_auth(ask(587), name, site.passwords[ANNA]).code == 535


def test_nobody_else_greets_with_our_name(site: Site, ask: Ask) -> None:
    host = site.having(25)[0]
    ipv4, ipv6 = site.hosts[host]["lab_ipv4"], site.hosts[host]["lab_ipv6"]
    for name in (host, host.upper(), f"{host}.", site.server_name, f"[{ipv4}]", ipv4, f"[IPv6:{ipv6}]"):
        answer = smtp_rcpt(ask(25), STRANGER, [ANNA], helo=name).rcpt[ANNA]
        assert answer.code == 554, (name, answer)
        assert "name or an address of mine" in answer.text
    for name in (f"x.{host}", "[192.0.2.1]"):
        assert smtp_rcpt(ask(25), STRANGER, [ANNA], helo=name).accepted, name
    login = (ANNA, site.passwords[ANNA])
    assert smtp_rcpt(ask(587), ANNA, [BEN], tls="starttls", login=login, helo=host).accepted


def test_programs_have_nothing_to_say_about_their_configuration(site: Site, connect: Connect) -> None:
    shows = {"postconf": ("postconf", "postconf -n", "postconf -M", "postconf -P"), "doveconf": ("doveconf -n",)}
    for name in site.groups["mail"]:
        for program in connect(name).run(f"command -v {' '.join(shows)}").stdout.split():
            for show in shows[program.rpartition("/")[2]]:
                assert connect(name).run(show).stderr == "", (name, show)


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_smuggled(ask: Ask, ending: bytes) -> None:
    assert smtp_smuggle(ask(25), STRANGER, ANNA, ending).accepted <= 1


@pytest.mark.parametrize("port", [465, 993, 995])
def test_old_tls_is_refused(ask: Ask, port: int) -> None:
    assert tls_refuses(ask(port), "TLSv1.1").refused


def test_folders_have_their_uses(site: Site, ask: Ask) -> None:
    flags = {flag for folder in imap_folders(ask(993), ANNA, site.passwords[ANNA]) for flag in folder.flags}
    assert {"\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"} <= flags


def test_a_sieve_script_files_mail(site: Site, ask: Ask) -> None:
    script = 'require ["fileinto"]; if header :contains "Subject" "[list]" { fileinto "Archive"; }'
    assert sieve_put(ask(4190), ANNA, site.passwords[ANNA], "lists", script).ok
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [ANNA], message(STRANGER, ANNA, f"[list] {token}")).accepted
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], token, folder="Archive")


def test_a_full_mailbox_is_refused_at_rcpt(site: Site, ask: Ask) -> None:
    dora, password = "dora@example.test", site.passwords["dora@example.test"]
    assert imap_quota(ask(993), dora, password).limit == 1 << 20
    declared = smtp_rcpt(ask(25), STRANGER, [dora, "d@example.test"], size=2 << 20)
    assert not declared.accepted
    imap_fill(ask(993), dora, password)
    refused = smtp_rcpt(ask(25), STRANGER, [dora, "d@example.test"], size=20000)
    assert not refused.accepted


def test_a_stranger_reads_nothing_of_the_directory(site: Site, ask: Ask) -> None:
    assert not ldap_search(ask(389), "o=mail").entries


def test_an_index_answers_whatever_the_directory_was_asked(
    site: Site, connect: Connect, play: RunAgain, asked: Callable[[], dict[str, set[str]]]
) -> None:
    assert not play().failed
    store = connect(site.groups.get("mail_store", [site.name])[0])
    assert ANNA in store.check_output("doveadm user '*'").splitlines()
    found = asked()
    for kind in ("PostfixBookMailForward)(mailAlias=", "PostfixBookMailAccount)(mail=", "(|(mail="):
        assert any(kind in one for filters in found.values() for one in filters), found
    for name, filters in found.items():
        assert unindexed(connect(name), [*filters, MISSING]) == {"mailHomeDirectory"}, "the last one, to see it said"

"""The whole stack: mail from users and from the world arrives, and nobody else's is taken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils.probes.imap import (
    imap_append,
    imap_capabilities,
    imap_count,
    imap_find,
    imap_folders,
    imap_login,
    imap_quota,
)
from ansible_collections.postamt.mail.plugins.module_utils.probes.ldap import ldap_search
from ansible_collections.postamt.mail.plugins.module_utils.probes.managesieve import sieve_put
from ansible_collections.postamt.mail.plugins.module_utils.probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.module_utils.probes.pop3 import pop3_find
from ansible_collections.postamt.mail.plugins.module_utils.probes.smtp import (
    ENDINGS,
    smtp_auth,
    smtp_ehlo,
    smtp_rcpt,
    smtp_send,
    smtp_smuggle,
)
from ansible_collections.postamt.mail.plugins.module_utils.probes.tls import tls_refuses

ANNA, BEN, CARL = "anna@example.test", "ben@example.test", "carl@example.net"
STRANGER = "stranger@outside.example"


@pytest.fixture(params=["ipv4", "ipv6"])
def ask(request: Any, site: Any) -> Any:
    """Return endpoints of the host by port, over each of its addresses."""

    def at(port: int) -> Endpoint:
        return Endpoint(getattr(site, request.param), port, name=site.server_name, ca_file=site.ca_file, timeout=30)

    return at


@pytest.fixture
def ask4(site: Any) -> Any:
    return lambda port: Endpoint(site.ipv4, port, name=site.server_name, ca_file=site.ca_file, timeout=30)


@pytest.mark.parametrize(("port", "tls"), [(587, "starttls"), (465, "implicit")])
def test_a_user_sends_to_another(site: Any, ask: Any, port: int, tls: Any) -> None:
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    sent = smtp_send(ask(port), ANNA, [BEN], message(ANNA, BEN, token), tls=tls, login=login)
    assert sent.queue_id
    assert imap_find(ask(993), BEN, site.passwords[BEN], token)


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
def test_mail_from_outside_arrives(site: Any, ask: Any, address: str, reader: str) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    assert pop3_find(ask(995), reader, site.passwords[reader], token)


@pytest.mark.parametrize("encoding", ["8bit", "utf8"])
def test_other_letters_arrive(site: Any, ask4: Any, encoding: Any) -> None:
    token = new_token()
    assert smtp_send(ask4(25), "", [ANNA], message(STRANGER, ANNA, token, "Grüße\n", encoding=encoding)).accepted
    assert imap_find(ask4(993), ANNA, site.passwords[ANNA], token)


@pytest.mark.parametrize("to", ["root", "root@localhost", "root@mail.example.test", "mailer-daemon"])
def test_mail_of_the_host_itself_reaches_a_person(host: Any, site: Any, ask4: Any, to: str) -> None:
    token = new_token()
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail {to}")
    assert imap_find(ask4(993), ANNA, site.passwords[ANNA], token)


def test_strangers_are_refused(ask: Any) -> None:
    for sender, recipient in [
        (STRANGER, "nobody@example.test"),
        (STRANGER, "someone@elsewhere.example"),
        (ANNA, BEN),
    ]:
        answer = smtp_rcpt(ask(25), sender, [recipient]).rcpt[recipient]
        assert 500 <= answer.code < 600, (sender, recipient, answer)


def test_no_login_on_25_nor_before_tls(ask4: Any) -> None:
    assert not smtp_ehlo(ask4(25)).auth
    assert not smtp_ehlo(ask4(25), tls="starttls").auth
    assert not smtp_ehlo(ask4(587)).auth
    assert smtp_ehlo(ask4(587), tls="starttls").auth
    assert "SMTPUTF8" not in smtp_ehlo(ask4(25)).capabilities
    assert imap_capabilities(ask4(143)).login_disabled


def test_a_wrong_password_is_refused(ask4: Any) -> None:
    assert smtp_auth(ask4(587), ANNA, "wrong").code == 535
    assert not imap_login(ask4(993), ANNA, "wrong").ok


def test_a_user_has_only_its_own_addresses(site: Any, ask4: Any) -> None:
    login = (ANNA, site.passwords[ANNA])
    own = smtp_rcpt(ask4(587), "a@example.test", [BEN], tls="starttls", login=login)
    assert own.accepted
    other = smtp_rcpt(ask4(587), BEN, [BEN], tls="starttls", login=login)
    assert not other.accepted


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_smuggled(ask4: Any, ending: Any) -> None:
    assert smtp_smuggle(ask4(25), STRANGER, ANNA, ending).accepted <= 1


@pytest.mark.parametrize("port", [465, 993, 995])
def test_old_tls_is_refused(ask4: Any, port: int) -> None:
    assert tls_refuses(ask4(port), "TLSv1.1").refused


def test_folders_have_their_uses(site: Any, ask4: Any) -> None:
    flags = {flag for folder in imap_folders(ask4(993), ANNA, site.passwords[ANNA]) for flag in folder.flags}
    assert {"\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"} <= flags


def test_a_sieve_script_files_mail(site: Any, ask4: Any) -> None:
    script = 'require ["fileinto"]; if header :contains "Subject" "[list]" { fileinto "Archive"; }'
    assert sieve_put(ask4(4190), ANNA, site.passwords[ANNA], "lists", script).ok
    token = new_token()
    assert smtp_send(ask4(25), STRANGER, [ANNA], message(STRANGER, ANNA, f"[list] {token}")).accepted
    assert imap_find(ask4(993), ANNA, site.passwords[ANNA], token, folder="Archive")


def test_a_full_mailbox_is_refused_at_rcpt(site: Any, ask4: Any) -> None:
    dora, password = "dora@example.test", site.passwords["dora@example.test"]
    assert imap_quota(ask4(993), dora, password).limit == 1 << 20
    declared = smtp_rcpt(ask4(25), STRANGER, [dora, "d@example.test"], size=2 << 20)
    assert not declared.accepted
    while imap_append(ask4(993), dora, password, message(STRANGER, dora, "fill", "x" * 70 + "\n" * 200000)).ok:
        assert imap_count(ask4(993), dora, password) < 20
    while imap_append(ask4(993), dora, password, message(STRANGER, dora, "fill", "y\n" * 200)).ok:
        assert imap_count(ask4(993), dora, password) < 3000
    refused = smtp_rcpt(ask4(25), STRANGER, [dora, "d@example.test"], size=20000)
    assert not refused.accepted


def test_a_second_run_is_one_task_a_role(play: Any) -> None:
    done = play()
    assert not done.changed
    assert len(done.ran) == 9, [task.task for task in done.ran]  # the look, the site, and seven programs


def test_wrong_input_is_said_at_once_and_changes_nothing(play: Any) -> None:
    done = play({"mail_domian": "x", "mail_aliases": {"x@example.test": ["nobody@example.test"]}})
    assert done.failed
    assert not done.changed
    assert "2 problems in the site's variables" in done.stdout
    assert "mail_domian: is not known; did you mean mail_domains?" in done.stdout
    assert "mail_aliases x@example.test is 'nobody@example.test': does not exist" in done.stdout


def test_what_a_program_does_not_have_is_said_before_anything_changes(play: Any) -> None:
    wrong = {
        "mail_message_size_limit": "30M",  # would change Postfix
        "postfix_settings": {"smtpd_baner": "x", "smtpd_etrn_restrictions": "permit_foo"},
        "dovecot_settings": {"mail_max_userip_conections": 5},
        "mail_certificates": {"public": {"certificate": "absent.pem", "key": "absent.key"}},
    }
    done = play(wrong)
    assert done.failed
    assert not done.changed
    for said in (
        "smtpd_baner is no parameter of Postfix",
        "permit_foo is no word of a restriction list",
        "mail_max_userip_conections",
        "mail_certificates.public.certificate is 'absent.pem': must be a file",
    ):
        assert said in done.stdout


def test_a_role_can_be_run_by_its_tag(play: Any) -> None:
    done = play(tags="postfix")
    assert not done.failed
    assert [task.action for task in done.ran] == ["postamt.mail.host_look", "postamt.mail.site", "postamt.mail.postfix"]


def test_a_stranger_reads_nothing_of_the_directory(site: Any, ask4: Any) -> None:
    assert not ldap_search(ask4(389), "o=mail").entries


def test_the_journal_is_quiet(host: Any) -> None:
    found = host.run("journalctl -q -o cat -p warning -u postfix* -u dovecot -u slapd -u saslauthd-postfix")
    # what the tests provoke (wrong passwords, old TLS, torn lines), and what a container's kernel lacks
    caused = ("auth", "tls", "ssl", "bare", "pipelining", "ProtectHostname")
    told = [line for line in found.stdout.splitlines() if not any(word.lower() in line.lower() for word in caused)]
    assert told == []

"""Accounts are the host's users: they log in by PAM, and mail reaches their homes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils.probes.imap import (
    imap_append,
    imap_find,
    imap_login,
    imap_move,
)
from ansible_collections.postamt.mail.plugins.module_utils.probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.module_utils.probes.smtp import smtp_auth, smtp_rcpt, smtp_send
from letters import GTUBE

ANNA, BEN, STRANGER = "anna@example.test", "ben@example.test", "stranger@outside.example"
PASSWORD = "Only-4-the-test"


@pytest.fixture(scope="module", autouse=True)
def users(host: Any) -> None:
    """The users that the host's administrator has made."""
    for name in ("anna", "ben"):
        made = host.run(f"id {name} || useradd --create-home {name}; echo {name}:{PASSWORD} | chpasswd")
        assert made.rc == 0, made.stderr


@pytest.fixture
def ask(site: Any) -> Any:
    return lambda port: Endpoint(site.ipv4, port, name=site.server_name, ca_file=site.ca_file, timeout=30)


def test_a_user_sends_to_another(ask: Any) -> None:
    token = new_token()
    sent = smtp_send(ask(587), ANNA, [BEN], message(ANNA, BEN, token), tls="starttls", login=("anna", PASSWORD))
    assert sent.accepted
    assert imap_find(ask(993), "ben", PASSWORD, token)


@pytest.mark.parametrize("address", [ANNA, "a@example.test", "team@example.test", "postmaster@example.test"])
def test_mail_from_outside_arrives(host: Any, ask: Any, address: str) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    assert imap_find(ask(993), "anna", PASSWORD, token)
    assert host.run(f"grep -rq {token} /home/anna/Maildir").rc == 0


@pytest.mark.parametrize(("to", "reader"), [("root", "anna"), ("www-data", "anna"), ("ben", "ben")])
def test_mail_of_the_hosts_programs_reaches_a_person(host: Any, ask: Any, to: str, reader: str) -> None:
    token = new_token()
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail {to}")
    assert imap_find(ask(993), reader, PASSWORD, token)


def test_strangers_are_refused(ask: Any) -> None:
    for recipient in ("nobody-here@example.test", "someone@elsewhere.example"):
        assert 500 <= smtp_rcpt(ask(25), STRANGER, [recipient]).rcpt[recipient].code < 600
    assert smtp_auth(ask(587), "anna", "wrong").code == 535
    assert not imap_login(ask(993), "anna", "wrong").ok


def test_a_user_has_only_its_own_addresses(ask: Any) -> None:
    assert smtp_rcpt(ask(587), "a@example.test", [BEN], tls="starttls", login=("anna", PASSWORD)).accepted
    assert not smtp_rcpt(ask(587), BEN, [ANNA], tls="starttls", login=("anna", PASSWORD)).accepted


def test_the_content_filter_learns_from_users_of_the_host(host: Any, ask: Any, play: Any) -> None:
    filtered = {"mail_content_filter": "before_queue", "mail_antivirus": False, "mail_spam_learning": "user"}
    assert not play(filtered).failed
    token = new_token()
    refused = smtp_send(ask(25), STRANGER, [ANNA], message(STRANGER, ANNA, token, GTUBE))
    assert refused.answers[ANNA].code == 554
    assert imap_append(ask(993), "anna", PASSWORD, message(STRANGER, ANNA, token, "Cheap replicas\n")).ok
    assert imap_move(ask(993), "anna", PASSWORD, token, target="Junk").ok
    until = time.monotonic() + 30
    while not host.file("/var/lib/amavis/bayes/anna/bayes_toks").exists:
        assert time.monotonic() < until, "anna's own database has not come"
        time.sleep(0.5)
    knock = "import socket; socket.socket(socket.AF_UNIX).connect('/run/dovecot/learn')"
    assert "PermissionError" in host.run(f'runuser -u ben -- python3 -c "{knock}"').stderr, "ben teaches as anybody"
    assert play(filtered).changed == []
    assert not play().failed


def test_there_is_no_directory(host: Any) -> None:
    assert not host.service("slapd").is_running
    assert not host.socket("tcp://389").is_listening

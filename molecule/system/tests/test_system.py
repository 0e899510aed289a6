"""Accounts are the host's users: they log in by PAM, and mail reaches their homes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find, imap_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.managesieve import sieve_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.pop3 import pop3_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth, smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import GTUBE
from ansible_collections.postamt.mail.tests.lib.probes import imap_append, imap_move
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain

ANNA, BEN, STRANGER = "anna@example.test", "ben@example.test", "stranger@outside.example"
PASSWORD = "Only-4-the-test"


@pytest.fixture(scope="module", autouse=True)
def users(host: Host) -> None:
    """The users of the host, people and others; all have the same right password, or none at all."""
    made = host.run(
        f"""
        for name in anna ben bob mallory nopw; do id $name || useradd --create-home --shell /bin/bash $name; done
        id svc || useradd --system svc
        id toor || useradd --non-unique --uid 0 --gid 0 --home-dir /root toor
        for name in anna ben bob mallory svc nobody root toor www-data; do echo "$name:{PASSWORD}"; done | chpasswd
        passwd --delete nopw
        """
    )
    assert made.rc == 0, made.stderr


def test_a_user_sends_to_another(ask: Ask) -> None:
    token = new_token()
    sent = smtp_send(ask(587), ANNA, [BEN], message(ANNA, BEN, token), tls="starttls", login=("anna", PASSWORD))
    assert sent.accepted
    assert imap_find(ask(993), "ben", PASSWORD, token)


@pytest.mark.parametrize("address", ["ben@example.test", "ben+shop@example.test", "Ben+Shop+x@example.test"])
def test_a_plus_address_is_its_owners_and_not_postmasters(ask: Ask, address: str) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    assert imap_find(ask(993), "ben", PASSWORD, token)


@pytest.mark.parametrize(
    "address", [ANNA, "a@example.test", "team@example.test", "postmaster@example.test", "root@example.test"]
)
def test_mail_from_outside_arrives(host: Host, ask: Ask, address: str) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    assert imap_find(ask(993), "anna", PASSWORD, token)
    assert host.run(f"grep -rq {token} /home/anna/Maildir").rc == 0


@pytest.mark.parametrize(("to", "reader"), [("root", "anna"), ("www-data", "anna"), ("ben", "ben")])
def test_mail_of_the_hosts_programs_reaches_a_person(host: Host, ask: Ask, to: str, reader: str) -> None:
    token = new_token()
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail {to}")
    assert imap_find(ask(993), reader, PASSWORD, token)


def test_strangers_are_refused(ask: Ask) -> None:
    for recipient in ("nobody-here@example.test", "someone@elsewhere.example"):
        assert 500 <= smtp_rcpt(ask(25), STRANGER, [recipient]).rcpt[recipient].code < 600
    assert smtp_auth(ask(587), "anna", "wrong").code == 535
    assert not imap_login(ask(993), "anna", "wrong").ok


@pytest.mark.parametrize("login", ["anna", ANNA, "Anna@Example.Test"])
def test_a_user_has_only_its_own_addresses(ask: Ask, login: str) -> None:
    assert smtp_rcpt(ask(587), "a@example.test", [BEN], tls="starttls", login=(login, PASSWORD)).accepted
    assert not smtp_rcpt(ask(587), BEN, [ANNA], tls="starttls", login=(login, PASSWORD)).accepted


LOGINS: dict[str, Callable[[Endpoint, str, str], Any]] = {
    "smtp": smtp_auth, "imap": imap_login, "pop3": pop3_login, "sieve": sieve_login,
}  # fmt: skip
PORTS = {"smtp": 587, "imap": 993, "pop3": 995, "sieve": 4190}


def answers(ask: Ask, tries: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], Any]:
    """What a protocol answers to a name and a password, for many at once, since a refusal takes seconds."""

    def one(protocol: str, login: str, password: str) -> Any:
        return LOGINS[protocol](ask(PORTS[protocol]), login, password)

    with ThreadPoolExecutor(len(tries)) as pool:
        return dict(zip(tries, pool.map(one, *zip(*tries, strict=True)), strict=True))


@pytest.mark.parametrize("protocol", LOGINS)
def test_an_account_logs_in_by_its_name_and_its_address(ask: Ask, protocol: str) -> None:
    said = answers(ask, [(protocol, login, PASSWORD) for login in ("anna", ANNA, "Anna@Example.TEST")])
    assert all(answer.ok for answer in said.values()), said


# Right passwords all: nobody of these is an account that may log in, or no form of an account's name.
NOBODYS = ["root", "root@example.test", "toor", "www-data", "mallory", "mallory@example.test",  # no accounts
           "bob", "bob@example.test",  # disabled
           "svc", "nobody@example.test", "nopw", "nopw@example.test",  # listed, but no people or without a password
           "a@example.test", "anna@", "anna@example.test@", "anna@elsewhere.example", "anna@localhost"]  # fmt: skip


def test_nobody_else_logs_in_and_no_answer_tells_a_right_password(host: Host, ask: Ask) -> None:
    """By Dovecot's own word for each name, and over the wire where it counts most."""
    script = " ".join(
        f"(doveadm auth test -x service=imap {login} {word} >/dev/null 2>&1; echo {login} {word} $?) &"
        for login in ("anna", *NOBODYS)
        for word in (PASSWORD, "wrong")
    )
    lines = [line.split() for line in host.check_output(f"{script} wait").splitlines()]
    codes = {(login, word): int(code) for login, word, code in lines}
    assert codes["anna", PASSWORD] == 0
    refused = codes["anna", "wrong"]
    assert refused
    assert {found for (login, _word), found in codes.items() if login != "anna"} == {refused}, codes
    words = [PASSWORD, "wrong"]
    said = answers(
        ask,
        [
            *(("smtp", login, word) for login in ("root", "mallory") for word in words),
            *(("imap", login, word) for login in ("root", "nobody") for word in words),
            *((protocol, "bob", PASSWORD) for protocol in LOGINS),
            *((protocol, "anna", "wrong") for protocol in LOGINS),
        ],
    )
    for (protocol, login, word), answer in said.items():
        assert not answer.ok, (protocol, login, word)
        assert str(answer) == str(said[protocol, "anna", "wrong"]), (protocol, login, word)


def test_an_empty_password_opens_nothing(ask: Ask) -> None:
    assert not any(answer.ok for answer in answers(ask, [(name, "nopw", "") for name in LOGINS]).values())


@pytest.mark.parametrize(
    "name",
    ["bob@example.test", "b@example.test", "www-data@example.test", "mallory@example.test", "svc@mail.example.test"],
)
def test_mail_is_taken_for_accounts_alone(ask: Ask, name: str) -> None:
    assert smtp_rcpt(ask(25), STRANGER, [name]).rcpt[name].code == 550


def test_dovecot_delivers_to_accounts_alone(host: Host) -> None:
    for name, known in (("anna", True), (ANNA, True), ("bob", False), ("mallory", False), ("root", False)):
        assert (host.run(f"doveadm user {name}").rc == 0) is known, name


def test_the_content_filter_learns_from_users_of_the_host(host: Host, ask: Ask, play: RunAgain) -> None:
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


def test_there_is_no_directory(host: Host) -> None:
    assert not host.service("slapd").is_running
    assert not host.socket("tcp://389").is_listening

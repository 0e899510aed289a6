"""Greylisting on one host: a stranger waits, whoever is known does not, and mail goes on without postgrey."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain

ANNA, BEN = "anna@example.test", "ben@example.test"
POSTMASTER, TEAM = "postmaster@example.test", "team@example.test"
PASSWORD = "Only-4-the-test"
DELAY = 3  # seconds
SOCKET = "/var/spool/postfix/postgrey/socket"
FILES = (
    "/etc/default/postgrey",
    "/etc/postgrey/whitelist_recipients.local",
    "/etc/systemd/system/postgrey.service.d/postamt.conf",
)
ON = {
    "mail_greylisting": True,
    "mail_greylisting_delay": DELAY,
    "mail_greylisting_exempt": {"recipients": [TEAM]},
    "postgrey_settings": {"auto-whitelist-clients": 1},  # who has come again once is known
}


@pytest.fixture(scope="module", autouse=True)
def ben(host: Host) -> None:
    """The user to whom strangers write."""
    made = host.run(
        f"id ben || useradd --create-home --shell /bin/bash ben; echo ben:{PASSWORD} | chpasswd;"
        f"id anna || useradd --create-home --shell /bin/bash anna; echo anna:{PASSWORD} | chpasswd"
    )
    assert made.rc == 0, made.stderr


@pytest.fixture
def greylisting(play: RunAgain) -> Iterator[None]:
    """Greylisting, as long as a test lasts."""
    on = play(ON)
    assert not on.failed
    assert "started postgrey.service" in on.actions
    yield
    assert not play().failed


def first_try(ask: Ask, recipient: str = BEN) -> int:
    """Return how somebody is answered who has never written before."""
    return smtp_rcpt(ask(25), f"{new_token()}@outside.example", [recipient]).rcpt[recipient].code


def test_a_stranger_waits_and_who_is_known_does_not(greylisting: None, host: Host, ask: Ask, play: RunAgain) -> None:
    stranger, token = f"{new_token()}@outside.example", new_token()
    said = smtp_rcpt(ask(25), stranger, [BEN]).rcpt[BEN]
    assert (said.code, said.text) == (
        451,
        f"4.7.1 <{BEN}>: Recipient address rejected: Not known here yet, please come again in {DELAY} seconds",
    )
    assert first_try(ask, POSTMASTER) == 250
    assert first_try(ask, TEAM) == 250, "who is exempt"
    assert first_try(ask, "nobody-here@example.test") == 550, "nobody waits for an address that is not there"
    login = ("anna", PASSWORD)
    assert smtp_send(ask(587), ANNA, [BEN], message(ANNA, BEN, new_token()), tls="starttls", login=login).accepted
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail ben")
    assert imap_find(ask(993), "ben", PASSWORD, token), "programs of the host"
    assert host.check_output("ps -o user= -p $(systemctl show -p MainPID --value postgrey)") == "postgrey"
    assert host.run(f"runuser -u nobody -- test -S {SOCKET}").rc != 0, "nobody else may ask it"

    host.check_output("systemctl stop postgrey")
    assert first_try(ask) == 250, "mail goes on without it"
    host.check_output("systemctl start postgrey")
    assert play(ON).changed == []
    assert first_try(ask) == 451

    until = time.monotonic() + DELAY + 20
    while not (sent := smtp_send(ask(25), stranger, [BEN], message(stranger, BEN, token := new_token()))).accepted:
        assert time.monotonic() < until, sent
        time.sleep(0.5)
    found = imap_find(ask(993), "ben", PASSWORD, token)
    assert found and b"X-Greylist: delayed" in found
    assert first_try(ask) == 250, "who has come again is known"


def test_a_server_that_is_exempt_does_not_wait_and_nothing_is_left_of_it(host: Host, ask: Ask, play: RunAgain) -> None:
    on = {**ON, "postgrey_settings": {"auto-whitelist-clients": 0}}
    exempt = {"clients": ["0.0.0.0/0", "::/0"]}
    assert not play({**on, "mail_greylisting_exempt": exempt}).failed
    assert first_try(ask) == 250
    assert not play(on).failed
    assert [first_try(ask), first_try(ask, TEAM)] == [451, 250], "without the exception it would have waited"
    assert not play({**on, "mail_greylisting_exempt": {}}).failed
    assert first_try(ask, TEAM) == 451, "what is no longer exempt waits"
    off = play()
    assert "stopped postgrey.service" in off.actions
    assert first_try(ask) == 250
    assert host.run("systemctl is-active postgrey").stdout.strip() in ("inactive", "failed")
    assert host.run("systemctl is-enabled postgrey").stdout.strip() == "disabled"
    assert [path for path in FILES if host.file(path).exists] == []
    again = play()
    assert again.changed == [] and "postamt.mail.postgrey" not in [task.action for task in again.ran]

"""What mail depends on is away for a while: mail waits, and nothing is lost or bounced."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import SmtpRefused, smtp_greeting
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth
from ansible_collections.postamt.mail.tests.lib.burst import SENDERS, Burst
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN
from ansible_collections.postamt.mail.tests.lib.site import Ask, Site

SECONDS = 60 if os.environ.get("SOAK") else 5
OUTAGES = {
    "slapd stopped": ("systemctl stop slapd", "systemctl start slapd"),
    "slapd killed": ("systemctl kill -s KILL slapd", "systemctl reset-failed slapd; systemctl start slapd"),
    "slapd paused": ("systemctl kill -s STOP slapd", "systemctl kill -s CONT slapd"),
    "saslauthd stopped": ("systemctl stop saslauthd-postfix", "systemctl start saslauthd-postfix"),
    "Dovecot stopped": ("systemctl stop dovecot", "systemctl start dovecot"),
}


@pytest.fixture
def settled(host: Host) -> Iterator[None]:
    """Start everything again."""
    yield
    host.run("systemctl kill -s CONT slapd; systemctl start slapd saslauthd-postfix dovecot; postqueue -f")


@pytest.mark.parametrize(("away", "back"), OUTAGES.values(), ids=OUTAGES.keys())
def test_mail_waits(site: Site, host: Host, away: str, back: str, settled: None) -> None:
    login = (ANNA, site.passwords[ANNA])
    with Burst((site.ipv4,), 100, BEN, login, ca_file=site.ca_file, server_name=site.server_name) as burst:
        burst.wait_for(40)
        host.check_output(away)
        time.sleep(SECONDS)
        host.check_output(back)
    taken, unsure = burst.with_answer(250), burst.with_answer(0)
    assert len(taken) + len(unsure) == burst.count, burst.answers
    assert len(unsure) <= SENDERS
    found = burst.arrived(host)
    assert taken - set(found) == set(), "lost"
    assert len(burst.from_user & taken) >= 5
    assert sum(found.values()) - len(found) <= SENDERS, "more twice than were on their way"
    until = time.monotonic() + 30  # a notice to postmaster, of what Postfix could not ask, waits too
    while "empty" not in (queue := host.run("postqueue -f; postqueue -p").stdout):
        assert time.monotonic() < until, f"bounced or stuck: {queue}"
        time.sleep(1)


def test_what_a_user_sees_while_the_directory_is_away(site: Site, host: Host, ask: Ask, settled: None) -> None:
    """As docs/guides/when-something-breaks.md says."""
    password = site.passwords[ANNA]
    host.check_output("systemctl stop slapd")
    with pytest.raises(SmtpRefused, match="451 .* logins cannot be checked at the moment: try again later"):
        smtp_auth(ask(587), ANNA, password)
    assert smtp_greeting(ask(465), tls="implicit").code == 451
    refused = imap_login(ask(993), ANNA, password)
    assert not refused.ok
    assert "UNAVAILABLE" in str(refused), refused
    host.check_output("systemctl start slapd")
    assert smtp_auth(ask(587), ANNA, password).code == 235
    until = time.monotonic() + 20
    while not imap_login(ask(993), ANNA, password).ok:
        assert time.monotonic() < until
        time.sleep(0.5)

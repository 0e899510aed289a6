"""Parts of the content filter are away: nothing is lost, passed unseen or bounced."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.tests.lib.burst import SENDERS, Burst
from ansible_collections.postamt.mail.tests.lib.filtering import Has, Send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.journals import warnings
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, CARL, code, letter
from ansible_collections.postamt.mail.tests.lib.neighbour import start_impostor, visitors
from ansible_collections.postamt.mail.tests.lib.site import Site

SECONDS = 60 if os.environ.get("SOAK") else 8


@pytest.fixture
def settled(host: Host) -> Iterator[None]:
    """Start everything again, and wait until the queue is empty."""
    yield
    host.run("systemctl kill -s CONT clamav-daemon; systemctl start clamav-daemon.socket clamav-daemon amavis")
    host.run("postqueue -f")


@pytest.mark.parametrize(
    ("away", "back", "seconds"),
    [
        (
            "systemctl stop clamav-daemon.socket clamav-daemon",
            "systemctl start clamav-daemon.socket clamav-daemon",
            SECONDS,
        ),
        ("systemctl stop amavis", "systemctl start amavis", SECONDS),
        ("systemctl kill -s KILL amavis", "true", SECONDS),
        ("systemctl kill -s KILL clamav-daemon", "true", SECONDS),
        ("systemctl kill -s STOP clamav-daemon", "systemctl kill -s CONT clamav-daemon", 60),
    ],
    ids=["clamd stopped", "amavis stopped", "amavis killed", "clamd killed", "clamd paused"],
)
def test_nothing_is_lost_or_passed_unseen(
    site: Site, host: Host, away: str, back: str, seconds: int, settled: None
) -> None:
    login = (ANNA, site.passwords[ANNA])
    burst = Burst((site.ipv4,), 100, CARL, login, ca_file=site.ca_file, server_name=site.server_name, virus_every=5)
    with burst:
        burst.wait_for(30)
        host.check_output(away)
        time.sleep(seconds)
        host.check_output(back)
    taken, unsure = burst.with_answer(250), burst.with_answer(0)
    clean = {number for number in taken if number % 5}
    found = burst.arrived(host, lambda number: bool(number % 5))
    assert clean - set(found) == set(), "lost"
    assert {number for number in found if number % 5 == 0} == set(), "passed unscanned"
    assert not {number for number in taken if number % 5 == 0}, "a virus was taken"
    assert set(found) <= clean | unsure, "delivered though it was refused"
    assert sum(found.values()) - len(found) <= SENDERS, "more twice than were on their way"
    assert len(clean) >= 75, burst.answers
    assert burst.from_user & clean


def test_mail_waits_for_the_filter_and_nobody_takes_its_place(host: Host, send: Send, has: Has, settled: None) -> None:
    token = new_token()
    host.check_output("systemctl stop amavis")
    start_impostor(host)
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail root")
    assert code(send(letter(new_token(), sender=ANNA), CARL, user=ANNA)) == 451
    assert code(send(letter(new_token()), CARL)) == 451
    assert not has(ANNA, token, wait=2)
    assert visitors(host) == []
    host.check_output("systemctl start amavis")
    for _try in range(20):
        host.run("postqueue -f")
        if has(ANNA, token, wait=2):
            return
    pytest.fail("it has not come")


CAUSED = (
    # parts that are away or killed
    r"warning: (connect to proxy filter|lost connection with proxy|timeout talking to proxy) unix:amavis/\w+.*",
    r"warning: proxy unix:amavis/\w+ rejected \"[^\"]+\": \"421 .*",  # it is being stopped
    r"clamav-daemon\.service: Main process exited, code=killed, status=9/KILL",
    r"clamav-daemon\.service: Failed with result '(signal|exit-code)'\.",
    # reloads and restarts, also of what is just starting
    r"(clamav-daemon|dovecot)\.service: (Main|Control) process exited, code=killed, status=15/TERM",
    r"warning: connect to transport private/amavis: Connection refused",  # while Postfix restarts
    r"master: Warning: SIGHUP received - reloading configuration",
    r"master: Warning: Killed with signal 15 \(by pid=\d+ uid=0 code=kill\)",
    # what is not learned
    r"learn: Error: not learned, since \S+ has taught \d+ messages today",
    r"learn: Error: not learned, since a message of \S+ is larger than \d+ bytes",
)


def test_the_journal_is_quiet(host: Host) -> None:
    assert warnings(host, "dovecot postfix* clamav*", CAUSED) == []

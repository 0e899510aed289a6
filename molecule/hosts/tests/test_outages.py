"""One host after the other is away while mail comes in: it waits or goes another way, and nothing is lost."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.postamt.mail.tests.lib.burst import SENDERS, Burst
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN
from ansible_collections.postamt.mail.tests.lib.site import Connect, Outage, Site

SECONDS = 60 if os.environ.get("SOAK") else 15
# Seconds between two messages of a sender: around the moments at which a host goes and comes, and between them
PAUSE, CALM = 0.7, 3
OUTAGES = ("stopped", "paused", "unplugged")
SENDING = ("mx1.example.test", "mx2.example.test")
STORE = "store1.example.test"


@pytest.mark.parametrize("name", [*SENDING, "filter1.example.test", STORE, "directory1.example.test"])
def test_mail_survives(site: Site, connect: Connect, outage: Outage, name: str) -> None:
    addresses = tuple(site.hosts[mx]["lab_ipv4"] for mx in SENDING)
    login = (ANNA, site.passwords[ANNA])
    burst = Burst(
        addresses,
        100_000,
        BEN,
        login,
        ca_file=site.ca_file,
        server_name=site.server_name,
        virus_every=20,
        pause=PAUSE,
        timeout=SECONDS + 10,
    )
    with burst:
        try:
            for how in OUTAGES:
                burst.wait_for(burst.done() + 5)
                outage(name, how)
                burst.pause = CALM
                time.sleep(SECONDS - 3)
                burst.pause = PAUSE
                time.sleep(3)
                outage(name, "")
            burst.wait_for(burst.done() + 5)
        finally:
            burst.end()
    taken, unsure = burst.with_answer(250), burst.with_answer(0)
    clean = {number for number in taken if number % 20}
    store = connect(STORE)
    until = time.monotonic() + 120
    while not clean <= set(found := burst.delivered(store)) and time.monotonic() < until:
        for mx in SENDING:
            connect(mx).run("postqueue -f")
        time.sleep(2)
    print(f"{len(burst.answers)} messages, {len(clean)} taken, {len(unsure)} unsure")
    print(f"{sum(found.values()) - len(found)} delivered twice; {len(burst.from_user & clean)} of a user")
    assert set(burst.answers.values()) <= {250, 0, 554}, burst.answers
    assert clean - set(found) == set(), "lost"
    assert {number for number in taken if not number % 20} == set(), "a virus was taken"
    assert set(found) <= {number for number in taken | unsure if number % 20}, "delivered though it was refused"
    assert len(unsure) <= SENDERS * len(OUTAGES)
    assert sum(found.values()) - len(found) <= SENDERS * len(OUTAGES), "more twice than were on their way"
    assert burst.from_user & clean
    ours = f"grep -rlE --exclude='dovecot*' 'Subject: {burst.name}-' /var/vmail"
    assert store.run(f"{ours} | xargs grep -L '^X-Virus-Scanned: amavis at'").stdout == "", "passed unscanned"
    for mx in SENDING:
        while "empty" not in (queue := connect(mx).run("postqueue -f; postqueue -p").stdout):
            assert time.monotonic() < until, f"bounced or stuck: {queue}"
            time.sleep(1)

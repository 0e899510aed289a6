"""Users teach SpamAssassin by what they move into Junk and out of it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.tests.lib.filtering import Filed, Send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN, CARL, DORA, code, letter
from ansible_collections.postamt.mail.tests.lib.probes import imap_append, imap_move
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site

Teach = Callable[[str, str, int], None]
Judged = Callable[..., bytes]
SHOP = (
    "Our cheap watches are replicas of the finest, order the luxury replica watch now from our warehouse\n"
    "Discount today, genuine leather straps included, unbeatable bargain, worldwide shipping within hours\n"
    "Thousands bought already, guaranteed refund, exclusive collection, diamonds, gold, titanium bracelets\n"
)
CLUB = (
    "The choir rehearses Monteverdi on Thursday evening, sopranos please bring the second volume of the score\n"
    "Afterwards altos practise their fugue, basses arrange chairs, everybody carries music stands upstairs\n"
    "Our conductor wants quieter breathing, softer consonants, longer phrases, less vibrato throughout\n"
)
# A few messages teach it which side, and chance in a message's other words how sure it is: 50 is neither side.
SPAM, HAM = re.compile(rb"BAYES_[6-9]"), re.compile(rb"BAYES_[0-4]")
KNOCK = 'import socket; socket.socket(socket.AF_UNIX).connect("/run/dovecot/learn")'
COUNTS = "runuser -u amavis -- sa-learn --dbpath /var/lib/amavis/bayes/{whose}/bayes --dump magic"


def learned(host: Host, whose: str) -> tuple[int, int]:
    """How many messages of spam and of ham a database has been taught."""
    words = {
        line.split()[-1]: int(line.split()[2]) for line in host.run(COUNTS.format(whose=whose)).stdout.splitlines()
    }
    return words.get("nspam", 0), words.get("nham", 0)


def wait_until_learned(host: Host) -> None:
    """Wait until nothing is left to learn.  Asking sa-learn instead would take the time that it needs for learning."""
    rest = (
        "find /var/lib/amavis/learn -type f ! -path '*/taught/*' | grep . || systemctl is-active postamt-learn.service"
    )
    until = time.monotonic() + 300
    while (said := host.run(rest).stdout.strip()) != "inactive":
        assert time.monotonic() < until, said
        time.sleep(1)


@pytest.fixture
def teach(site: Site, host: Host, ask: Ask) -> Callable[..., None]:
    """Have a user move messages into Junk and out of it, until a database has seen so many."""

    def teach(who: str, whose: str, count: int) -> None:
        before = learned(host, whose)
        spam, ham = new_token(), new_token()
        for number in range(count):
            for folder, token, text in (("INBOX", spam, SHOP), ("Junk", ham, CLUB)):
                content = letter(f"{token} {number}", f"{text}{number}\n", to=who)
                assert imap_append(ask(993), who, site.passwords[who], content, folder=folder).ok
        assert imap_move(ask(993), who, site.passwords[who], spam, source="INBOX", target="Junk").ok
        assert imap_move(ask(993), who, site.passwords[who], ham, source="Junk", target="INBOX").ok
        wait_until_learned(host)
        assert learned(host, whose) == (before[0] + count, before[1] + count)

    return teach


@pytest.fixture
def judged(send: Send, filed: Filed) -> Judged:
    """Return the rules that a message of these words met on its way to somebody."""

    def judged(who: str, text: str, to: str = "") -> bytes:
        token = new_token()
        assert code(send(letter(token, text, to=to or who), to or who)) == 250
        found = filed(who, token)
        assert found
        return bytes(next(part for part in found.split(b"\r\nX-") if part.startswith(b"Spam-Status")))

    return judged


def test_what_one_user_moves_counts_for_the_site(host: Host, teach: Teach, judged: Judged) -> None:
    host.run("rm -f /var/lib/amavis/bayes/site/*")
    assert b"BAYES" not in judged(CARL, SHOP)
    teach(ANNA, "site", 6)
    assert SPAM.search(judged(CARL, SHOP))
    assert HAM.search(judged(CARL, CLUB))
    assert host.check_output("find /var/lib/amavis/learn -type f ! -path '*/taught/*'") == "", (
        "users' mail stays in the spool"
    )
    assert host.check_output("find /var/lib/amavis/bayes /var/lib/amavis/learn ! -user amavis") == ""


def test_what_is_thrown_away_is_no_ham(site: Site, host: Host, ask: Ask) -> None:
    host.check_output("systemctl stop postamt-learn.path")  # what is to be learned stays in the spool
    try:
        for target, kept in (("Trash", 0), ("INBOX", 1)):
            token = new_token()
            assert imap_append(ask(993), ANNA, site.passwords[ANNA], letter(token, SHOP), folder="Junk").ok
            assert imap_move(ask(993), ANNA, site.passwords[ANNA], token, source="Junk", target=target).ok
            assert int(host.check_output("ls /var/lib/amavis/learn/new | wc -l")) == kept, target
    finally:
        host.run("find /var/lib/amavis/learn/new -type f -delete; systemctl start postamt-learn.path")


def test_one_account_teaches_no_more_than_its_share(site: Site, host: Host, ask: Ask) -> None:
    before, token, start = learned(host, "site"), new_token(), host.check_output("date +%s")
    large = letter(token, "x" * 70 + "\n" + "y\n" * (150 << 10), to=DORA)
    for content in (large, *(letter(f"{token} {number}", f"{SHOP}{number}\n", to=DORA) for number in range(23))):
        assert imap_append(ask(993), DORA, site.passwords[DORA], content).ok
    assert imap_move(ask(993), DORA, site.passwords[DORA], token, target="Junk").ok
    wait_until_learned(host)
    assert learned(host, "site") == (before[0] + 20, before[1])
    logged = host.check_output(f"journalctl -q -o cat -u dovecot --since=@{start}")
    assert f"a message of {DORA} is larger than 262144 bytes" in logged
    assert f"{DORA} has taught 20 messages today" in logged


def test_the_spool_is_bounded_and_nobody_else_reaches_it(host: Host) -> None:
    keep = "runuser -u amavis -- /usr/local/lib/postamt/keep-for-learning"
    host.check_output("systemctl stop postamt-learn.path")
    try:
        made = "for n in $(seq 1000); do echo spam:x@example.test:$n; done | xargs touch"
        host.check_output(f"cd /var/lib/amavis/learn/new && runuser -u amavis -- sh -c '{made}'")
        done = host.run(f"echo letter | {keep} spam {BEN}")
        assert (done.rc, done.stderr.strip()) == (0, "not learned, since 1000 messages wait already")
        assert host.check_output("ls /var/lib/amavis/learn/new | wc -l") == "1000"
    finally:
        host.run("find /var/lib/amavis/learn/new -type f -delete; systemctl start postamt-learn.path")
    for words in ("spam ../x", "spam x/y", "spam 'x;y'", "spam ''", "eggs x"):
        assert host.run(f"echo letter | {keep} {words}").rc == 64
    refused = host.run(f"runuser -u nobody -- python3 -c {shlex.quote(KNOCK)}")
    assert "PermissionError" in refused.stderr


def test_users_may_be_judged_by_their_own(play: RunAgain, teach: Teach, judged: Judged, host: Host) -> None:
    assert not play({"mail_spam_learning": "user"}).failed
    try:
        teach(BEN, BEN, 6)
        assert SPAM.search(judged(BEN, SHOP))
        teach(ANNA, ANNA, 2)  # too little to go by
        assert b"BAYES" not in judged(ANNA, SHOP)
        assert b"BAYES" not in judged(ANNA, SHOP, to="a@example.test"), "an alias goes by its owner"
        assert SPAM.search(judged(CARL, SHOP)), "who has taught nothing goes by the site"
        assert play({"mail_spam_learning": "user"}).changed == []
    finally:
        assert not play().failed


def test_nothing_is_learned_where_that_is_off(host: Host, play: RunAgain, judged: Judged) -> None:
    assert not play({"mail_spam_learning": "off"}).failed
    assert b"BAYES" not in judged(CARL, SHOP)
    assert not host.service("postamt-learn.path").is_running
    assert not host.file("/usr/local/lib/postamt/learn").exists
    assert not play().failed
    assert play().changed == []

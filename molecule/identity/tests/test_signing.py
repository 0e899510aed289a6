"""Which mail is signed with which keys, and what becomes of mail while nobody can sign."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import SmtpRefused
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.bare import BARE
from ansible_collections.postamt.mail.tests.lib.burst import Burst
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN, STRANGER
from ansible_collections.postamt.mail.tests.lib.probes import sieve_put
from ansible_collections.postamt.mail.tests.lib.signatures import BOTH, records, signatures, signed_for
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, RunOther, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within

CARL = "carl@example.net"
LISTS = "lists@example.test"  # may write what it likes in From
KEYS = "/etc/rspamd/postamt"
SIGNER = "postamt-rspamd"


@pytest.fixture
def signer(host: Host) -> Iterator[None]:
    """Afterwards it runs."""
    yield
    host.run(f"systemctl start {SIGNER}")


def by_user(ask: Ask, site: Site, sender: str, content: bytes, to: str = BEN, envelope: str = "") -> int:
    login = (sender, site.passwords[sender])
    try:
        return smtp_send(ask(587), envelope or sender, [to], content, tls="starttls", login=login).answers[to].code
    except SmtpRefused as refused:  # before there was a message
        return refused.reply.code


def arrived(ask: Ask, site: Site, token: str, who: str = BEN, wait: float = 15) -> bytes:
    found = imap_find(ask(993), who, site.passwords[who], token, wait=wait)
    assert found, token
    return found


def test_each_domain_signs_for_itself(site: Site, ask: Ask) -> None:
    for sender, domain in ((CARL, "example.net"), ("a@example.test", "example.test")):
        token = new_token()
        login = CARL if sender == CARL else ANNA
        assert by_user(ask, site, login, message(sender, BEN, token), envelope=sender) == 250
        assert signed_for(site, arrived(ask, site, token)) == {domain: BOTH}


@pytest.mark.parametrize(
    "sender", [CARL, STRANGER, f"{LISTS}, {CARL}"], ids=["another domain of the site", "a stranger's", "two"]
)
def test_who_writes_in_another_domain_s_name_gets_no_signature(site: Site, ask: Ask, sender: str) -> None:
    token = new_token()
    content = message(LISTS, BEN, token).replace(f"From: {LISTS}".encode(), f"From: {sender}".encode())
    assert by_user(ask, site, LISTS, content) == 250
    assert signatures(arrived(ask, site, token)) == []


def test_a_stranger_s_message_that_a_user_redirects_gets_no_signature(site: Site, ask: Ask) -> None:
    password = site.passwords[BEN]
    token = new_token()
    redirect = f'require ["copy"]; if header :contains "subject" "{token}" {{ redirect :copy "{ANNA}"; }}'
    assert sieve_put(ask(4190), BEN, password, "redirect", redirect).ok
    for sender in (STRANGER, ""):
        assert smtp_send(ask(25), sender, [BEN], message(ANNA, BEN, token)).accepted
        redirected = arrived(ask, site, token, ANNA)
        assert b"X-Sieve-Redirected-From" in redirected
        assert signatures(redirected) == []
    assert sieve_put(ask(4190), BEN, password, "redirect", "keep;").ok


def test_the_keys_are_for_the_signer_alone(host: Host, site: Site) -> None:
    found = host.check_output(f"stat -c '%a %U %G %n' {KEYS}/*.key").splitlines()
    assert len(found) == 4
    assert {line.rsplit(" ", 1)[0] for line in found} == {"640 root _rspamd"}
    for line in found:
        key = host.check_output(f"grep -v -- ----- {line.rsplit(' ', 1)[1]} | head -n 1")
        assert host.run(f"journalctl --no-pager | grep -qF '{key}'").rc == 1


def test_nothing_leaves_unsigned_while_the_signer_is_away(site: Site, host: Host, ask: Ask, signer: None) -> None:
    login = (ANNA, site.passwords[ANNA])
    burst = Burst((site.ipv4,), 100, BEN, login, ca_file=site.ca_file, server_name=site.server_name)
    token = new_token()
    with burst:
        burst.wait_for(20)
        host.check_output(f"systemctl stop {SIGNER}")
        host.check_output(f"printf 'From: {ANNA}\\nSubject: {token}\\n\\nhello\\n' | sendmail -f {ANNA} {BEN}")
        assert 400 <= by_user(ask, site, BEN, message(BEN, ANNA, new_token())) < 500
        assert smtp_send(ask(25), STRANGER, [BEN], message(STRANGER, BEN, new_token())).accepted, "strangers' goes on"
        assert not imap_find(ask(993), BEN, site.passwords[BEN], token, wait=3)
        host.check_output(f"systemctl start {SIGNER}")
        time.sleep(2)
        host.check_output(f"systemctl kill -s KILL {SIGNER}")
    assert burst.with_answer(250) == set(range(100))
    assert set(burst.arrived(host)) == set(range(100)), "lost"
    host.check_output("postkick public pickup W")  # by itself it tries again after a minute
    for number in burst.from_user:
        assert signed_for(site, arrived(ask, site, f"{burst.name}-{number}.")) == {"example.test": BOTH}, number
    assert signed_for(site, arrived(ask, site, token)) == {"example.test": BOTH}


def test_a_key_that_somebody_removed_lets_mail_wait_until_the_next_run(
    site: Site, host: Host, ask: Ask, play: RunAgain
) -> None:
    host.check_output(f"rm {KEYS}/ed*example.test.key; systemctl restart {SIGNER}")
    answers: list[int] = []

    def cannot_be_signed() -> bool:
        answers.append(by_user(ask, site, ANNA, message(ANNA, BEN, new_token())))
        return answers[-1] == 451

    assert within(60, cannot_be_signed) and 250 not in answers
    run = play()
    assert not run.failed
    assert [re.sub(r"\d{8}", "DATE", action) for action in run.actions] == [
        f"wrote {KEYS}/edDATE._domainkey.example.test.key",
        "reloaded Rspamd",
    ]
    token = new_token()
    assert by_user(ask, site, ANNA, message(ANNA, BEN, token)) == 250
    assert signed_for(site, arrived(ask, site, token)) == {"example.test": BOTH}


def test_keys_change_while_mail_flows(site: Site, host: Host, ask: Ask, ansible: RunOther) -> None:
    login = (ANNA, site.passwords[ANNA])
    burst = Burst((site.ipv4,), 400, BEN, login, ca_file=site.ca_file, server_name=site.server_name, pause=0.3)
    before = set(records(site))
    with burst:
        burst.wait_for(20)
        said = {"dkim_domains": ["example.test"]}
        ansible("postamt.mail.dkim", {**said, "dkim_step": "publish"})
        published = set(records(site)) - before
        assert len(published) == 2
        ansible("postamt.mail.dkim", {**said, "dkim_step": "sign", "dkim_confirmed": True})
        burst.wait_for(min(400, burst.done() + 30))
        burst.end()
    taken = burst.with_answer(250)
    assert taken & burst.from_user
    assert taken <= set(burst.arrived(host)), "lost"
    for number in taken & burst.from_user:
        assert signed_for(site, arrived(ask, site, f"{burst.name}-{number}.")) == {"example.test": BOTH}, number
    token = new_token()
    assert by_user(ask, site, ANNA, message(ANNA, BEN, token)) == 250
    content = arrived(ask, site, token)
    assert signed_for(site, content) == {"example.test": BOTH}
    selectors = {name.partition(".")[0] for name in published}
    assert {word.decode() for word in re.findall(rb"\bs=([a-z0-9]+);", content)} == selectors
    ansible("postamt.mail.dkim", {**said, "dkim_step": "withdraw", "dkim_confirmed": True, "dkim_wait_days": 0})
    assert set(records(site)) & before == {name for name in before if name.endswith("example.net")}


def test_without_signatures_the_signer_goes(site: Site, host: Host, ask: Ask, play: RunAgain) -> None:
    off = play(BARE)
    assert not off.failed
    assert play(BARE).changed == []
    assert not host.service(SIGNER).is_running
    assert not host.run(f"ls {KEYS}/*.key").stdout
    token = new_token()
    assert by_user(ask, site, ANNA, message(ANNA, BEN, token)) == 250
    assert signatures(arrived(ask, site, token)) == []
    assert not play().failed
    assert play().changed == []

"""What is said of strangers' mail, and what becomes of it: with other sites' records in a DNS of the test's own."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import dkim
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib import signed_dns
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN
from ansible_collections.postamt.mail.tests.lib.signatures import BOTH, records, signed_for
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.strangers import key_record, signed, zones

SIGNER, RESOLVER = "postamt-rspamd", "postamt-resolver"
ORG, COM, EDU = "anna@example.org", "anna@example.com", "anna@example.edu"  # p=reject, p=quarantine, p=none
ELSEWHERE = "bounce@stray.example"
ON: dict[str, Any] = {
    "mail_authentication": True,
    "mail_dmarc_overrides": {"lists.example.org": "mark", "bank.example": "refuse"},
    "mail_arc_trusted": ["example.test"],  # the test hands the site a message that the site has sealed
}
Send = Callable[..., int]


@pytest.fixture(scope="module")
def on(site: Site, host: Host) -> Iterator[dict[str, Any]]:
    """Variables of a site that checks, in a world whose DNS knows the senders."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.connect((site.ipv4, 25))
        client = mine.getsockname()[0]
    key = key_record()
    known = {
        **{f"s1._domainkey.{domain}": key for domain in ("example.org", "example.com", "example.edu", "example.net")},
        **records(site),
        "gone._domainkey.example.org": "v=DKIM1; p=",
        "example.org": f"v=spf1 ip4:{client} -all",
        "_dmarc.example.org": "v=DMARC1; p=reject; sp=quarantine",
        "stray.example": f"v=spf1 ip4:{client} -all",
        "example.com": "v=spf1 -all",
        "_dmarc.example.com": "v=DMARC1; p=quarantine",
        "example.edu": "v=spf1 ~all",
        "_dmarc.example.edu": "v=DMARC1; p=none",
        "_dmarc.twice.example": ["v=DMARC1; p=reject", "v=DMARC1; p=none"],
        "loop.example": "v=spf1 include:loop.example -all",
        "_dmarc.strict.example": "v=DMARC1; p=reject; aspf=s; adkim=s",
        "elsewhere.example": "v=spf1 ip4:192.0.2.7 -all",
        "_dmarc.elsewhere.example": "v=DMARC1; p=reject",
        "sub.strict.example": f"v=spf1 ip4:{client} -all",
        "broken.example": "v=spf1 -all",
    }
    yield {**ON, **signed_dns.trusting(signed_dns.serve([host], zones(known), broken=["broken.example"]))}
    signed_dns.stop(host)


@pytest.fixture
def send(ask: Ask) -> Send:
    def send(content: bytes, sender: str = ELSEWHERE) -> int:
        return smtp_send(ask(25), sender, [BEN], content).answers[BEN].code

    return send


def found(ask: Ask, site: Site, token: str, folder: str = "INBOX") -> bytes:
    arrived = imap_find(ask(993), BEN, site.passwords[BEN], token, folder=folder)
    assert arrived, (token, folder)
    return arrived


def results(content: bytes) -> list[str]:
    """The values of all fields Authentication-Results, in one line each."""
    head = re.sub(rb"\r?\n[ \t]+", b" ", content.partition(b"\r\n\r\n")[0]).decode()
    return re.findall(r"(?im)^Authentication-Results\s*:\s*(.*?)\r?$", head)


def said(content: bytes) -> str:
    (only,) = results(content)
    return only


def letter(token: str, sender: str = ORG) -> bytes:
    return message(sender, BEN, token)


def test_the_checks_are_switched_on(play: RunAgain, on: dict[str, Any]) -> None:
    assert not play(on).failed
    assert play(on).changed == []


GOOD: dict[str, tuple[Callable[[bytes], bytes], str, str, list[str]]] = {
    "both": (lambda one: signed(one, "example.org"), ORG, ORG, ["dkim=pass", "spf=pass", "dmarc=pass (p=reject)"]),
    "signature alone": (lambda one: signed(one, "example.org"), ORG, COM, ["dkim=pass", "spf=fail", "dmarc=pass"]),
    "SPF alone": (lambda one: one, ORG, ORG, ["dkim=none", "spf=pass", "dmarc=pass"]),
    "no policy": (lambda one: one, "a@nobody.example", ELSEWHERE, ["dkim=none", "spf=pass", "dmarc=none"]),
    "p=none": (lambda one: one, EDU, EDU, ["spf=softfail", "dmarc=fail (p=none)"]),
    "two policies": (lambda one: one, "a@twice.example", ELSEWHERE, ["dmarc=permerror"]),
    "a loop": (lambda one: one, "a@loop.example", "a@loop.example", ["dmarc=none"]),
    "odd but clear": (
        lambda one: one.replace(
            b"From: ", b"From: A, 'a@stray.example' =?utf-8?q?anna=40example=2Eorg=20=28?= (B: C) "
        ),
        "<a@stray.example>",
        ELSEWHERE,
        ["spf=pass", "dmarc=none header.from=stray.example"],
    ),
    "excepted": (lambda one: one, "a@lists.example.org", ELSEWHERE, ["dmarc=fail (p=quarantine)"]),
}


@pytest.mark.parametrize(("changed", "author", "sender", "words"), GOOD.values(), ids=GOOD)
def test_mail_is_delivered_with_what_was_found(
    site: Site, ask: Ask, send: Send, changed: Callable[[bytes], bytes], author: str, sender: str, words: list[str]
) -> None:
    token = new_token()
    assert send(changed(letter(token, author)), sender) == 250
    line = said(found(ask, site, token))
    assert line.startswith(f"{site.server_name};")
    for word in words:
        assert word in line, line


BAD: dict[str, Callable[[bytes], bytes]] = {
    "unsigned": lambda one: one,
    "tampered": lambda one: signed(one, "example.org").replace(b"Hello", b"Hullo"),
    "another domain's": lambda one: signed(one, "example.edu"),
    "expired": lambda one: signed(one, "example.org", tags=" t=1600000000; x=1600000060;"),
    "no key": lambda one: signed(one, "example.org", selector="nothing"),
    "a key withdrawn": lambda one: signed(one, "example.org", selector="gone"),
    "a part of the body": lambda one: signed(one, "example.org", part=3) + b"more\r\n",
    "below many others": lambda one: b"".join(
        signed(one, "example.org", selector=f"no{number}").removesuffix(one) for number in range(40)
    ) + signed(one, "example.org"),
    "two authors": lambda one: one.replace(b"From: " + ORG.encode(), b"From: a@stray.example, " + ORG.encode()),
    "two fields": lambda one: b"From: a@stray.example\r\n" + one,
    "a blank before the colon": lambda one: b"From : a@stray.example\r\n" + one,
}  # fmt: skip


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_what_the_author_s_domain_wants_refused_is_refused(send: Send, changed: Callable[[bytes], bytes]) -> None:
    assert send(changed(letter(new_token()))) == 554


@pytest.mark.parametrize("author", ["a@strict.example", "a@bank.example"], ids=["a strict policy", "by the site"])
def test_alignment_as_the_policy_or_the_site_wants_it(send: Send, author: str) -> None:
    assert send(letter(new_token(), author), "a@sub.strict.example") == 554


def forged_hop(host: Host) -> bytes:
    """A message that says to have come here from where its sender's mail may come from."""
    name = host.check_output("postconf -h myhostname")
    hop = f"Received: from mx.elsewhere.example (mx.elsewhere.example [192.0.2.7]) by {name} (Postfix) with ESMTP id 1"
    return f"{hop}; Sat, 28 Nov 2026 06:00:00 +0000\r\n".encode() + letter(new_token(), "a@elsewhere.example")


def test_nobody_says_for_himself_from_where_he_comes(host: Host, send: Send) -> None:
    assert send(forged_hop(host), "a@elsewhere.example") == 554


JUNK = {
    "p=quarantine": COM, "sp=quarantine": "a@sub.example.org", "the site's own domain": ANNA,
    "a name below it": "a@x.example.net", "nobody": "nobody", "a group": "us: a@stray.example;",
    "two readings": f"{ORG}; a@stray.example", "two at signs": f"{ORG}@stray.example", "an IP address": "a@[192.0.2.7]",
    "another's address as a name": f"{ORG} <a@stray.example>", "a quoted address": f'"{ORG}"@stray.example',
    "a name too long for the DNS": f"a@{'a' * 64}.example.org",
}  # fmt: skip


@pytest.mark.parametrize("author", JUNK.values(), ids=JUNK)
def test_what_is_doubtful_goes_to_junk(site: Site, ask: Ask, send: Send, author: str) -> None:
    token = new_token()
    content = letter(token, ORG).replace(f"From: {ORG}".encode(), f"From: {author}".encode())
    assert send(content) == 250
    assert b"X-Junk-Reason: " in found(ask, site, token, "Junk")


def test_another_domain_s_broken_dns_is_no_excuse(site: Site, ask: Ask, send: Send) -> None:
    token = new_token()
    assert send(letter(token, ANNA), "a@broken.example") == 250
    arrived = found(ask, site, token, "Junk")
    assert "spf=temperror" in said(arrived)
    assert send(signed(letter(new_token(), "a@bank.example"), "broken.example")) == 554


def test_the_site_s_own_domain_is_right_with_its_signature(site: Site, ask: Ask, send: Send) -> None:
    """A list that changes nothing sends a user's message back."""
    token = new_token()
    assert send(signed(letter(token, "anna@example.net"), "example.net")) == 250
    assert "dkim=pass" in said(found(ask, site, token))


def test_forged_results_are_taken_away(site: Site, ask: Ask, send: Send) -> None:
    name = site.server_name
    forged = [
        f"Authentication-Results: {name}; dmarc=pass",
        f"authentication-RESULTS:\r\n\t{name.upper()} 1;\r\n\tspf=pass",
        f'Authentication-Results: (a (b) \\) c) "{name}"; dkim=pass',
        f"Authentication-Results : {name}; arc=pass",
        *(f"Authentication-Results: {name}; dkim=pass header.i=@{number}.example" for number in range(60)),
        "Authentication-Results: other.example; dkim=pass",
        "X-Junk-Reason: nothing",
    ]
    lines = "".join(f"{field}\r\n" for field in forged).encode()
    token = new_token()
    assert send(lines + letter(token, EDU), '"x); dmarc=pass (y"@example.edu') == 250
    line = said(found(ask, site, token))
    assert re.findall(r"dmarc=\S+", line) == ["dmarc=fail"], line
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    assert smtp_send(ask(587), ANNA, [BEN], lines + letter(token, ANNA), tls="starttls", login=login).accepted
    arrived = found(ask, site, token)
    assert results(arrived) == []
    assert signed_for(site, arrived) == {"example.test": BOTH}


def test_a_seal_shows_that_a_message_was_right_when_it_came(site: Site, ask: Ask, send: Send) -> None:
    token = new_token()
    assert send(letter(token), ORG) == 250  # SPF alone, which does not survive a forward
    arrived = found(ask, site, token)
    known = {f"{name}.": text.encode() for name, text in records(site).items()}
    verdict, _sets, why = dkim.arc_verify(arrived, dnsfunc=lambda name, **_more: known.get(name.decode(), b""))
    assert verdict == b"pass", why
    forwarded = arrived[arrived.index(b"ARC-"):]  # fmt: skip
    assert send(forwarded) == 250
    time.sleep(1)
    assert "arc=pass" in said(found(ask, site, token))
    for broken in (forwarded.replace(b"Hello", b"Hullo"), forwarded.replace(b"dmarc=pass", b"dmarc=none ")):
        assert send(broken) == 554


def test_without_a_dns_mail_goes_on_as_the_site_wants_it(site: Site, host: Host, ask: Ask, send: Send) -> None:
    signed_dns.stop(host)
    host.check_output(f"systemctl restart {SIGNER} {RESOLVER}")
    time.sleep(3)
    token = new_token()
    begun = time.monotonic()
    assert send(signed(letter(token), "example.org"), ORG) == 250
    assert time.monotonic() - begun < 14
    line = said(found(ask, site, token))
    for word in ("dkim=temperror", "spf=temperror", "dmarc=temperror"):
        assert word in line, line
    signed_dns.start(host)
    host.check_output(f"systemctl restart {RESOLVER}")


def test_while_nobody_judges_strangers_come_again(host: Host, send: Send) -> None:
    host.check_output(f"systemctl stop {SIGNER}")
    try:
        assert send(letter(new_token()), ORG) == 451
    finally:
        host.check_output(f"systemctl start {SIGNER}")


def test_nothing_is_refused_where_the_site_wants_it(site: Site, ask: Ask, play: RunAgain, send: Send, on: Any) -> None:
    assert not play({**on, "mail_dmarc_failures": "junk"}).failed
    for content in (lambda one: one, BAD["two authors"], BAD["two fields"]):
        token = new_token()
        assert send(content(letter(token))) == 250
        assert found(ask, site, token, "Junk")


def test_behind_a_filter_the_client_is_known(
    site: Site, host: Host, ask: Ask, play: RunAgain, send: Send, on: dict[str, Any]
) -> None:
    assert not play({**on, "mail_content_filter": "before_queue", "mail_antivirus": False}).failed
    token = new_token()
    assert send(letter(token), ORG) == 250
    assert "spf=pass" in said(found(ask, site, token))
    assert send(forged_hop(host), "a@elsewhere.example") == 554
    assert send(letter(new_token())) == 554
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    assert smtp_send(ask(587), ANNA, [BEN], letter(token, ANNA), tls="starttls", login=login).accepted
    assert results(found(ask, site, token)) == [], "users' mail"


def test_without_the_checks_their_fields_are_gone(site: Site, ask: Ask, play: RunAgain, send: Send) -> None:
    assert not play().failed
    token = new_token()
    assert send(letter(token)) == 250
    assert results(found(ask, site, token)) == []

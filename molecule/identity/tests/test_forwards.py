"""Mail that the site forwards: a strict receiver takes it, and notices find the stranger who sent it."""

from __future__ import annotations

import re
import smtplib
import time

import dkim
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN, STRANGER
from ansible_collections.postamt.mail.tests.lib.neighbour import greeting_servers
from ansible_collections.postamt.mail.tests.lib.probes import sieve_put
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, Site
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

DORA, FAY = "dora@example.test", "fay@far.example"
DAEMON = "postamt-srs"
# Another administrator's server: far.example, which takes senders of outside.example from that domain's own server
# only, as its SPF record would say; and that server.
OTHER = r"""
set -e
id world >/dev/null 2>&1 || useradd --create-home world
postconf -e myhostname=other.example.net 'mydestination = far.example, outside.example, localhost' relayhost= \
    myorigin=localhost mynetworks=127.0.0.0/8 inet_interfaces=all luser_relay=world local_recipient_maps= \
    mailbox_command= home_mailbox= \
    'smtpd_sender_restrictions = check_sender_access inline:{{outside.example=REJECT SPF fail}}' \
    'smtpd_recipient_restrictions = check_recipient_access inline:{{full@far.example=REJECT full}}'
newaliases
systemctl restart postfix
"""


@pytest.fixture(scope="module")
def other(connect: Connect) -> Host:
    found = connect("other.example.net")
    found.check_output(OTHER)
    return found


def mailbox(other: Host) -> list[str]:
    return re.split(r"\n(?=From )", other.run("cat /var/mail/world").stdout)


def came(other: Host, token: str, wait: float = 20) -> str:
    """The message as it lies there."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        for text in mailbox(other):
            if token in text:
                return text
        time.sleep(0.3)
    raise AssertionError(token)


def return_path(text: str) -> str:
    (found,) = re.findall(r"(?m)^Return-Path: <(.*)>$", text.split("\n\n", 1)[0])
    return str(found)


def rewritten(ask: Ask, other: Host) -> str:
    """The sender with which a forwarded message arrives."""
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [DORA], message(STRANGER, DORA, token)).accepted
    return return_path(came(other, token))


def answer(ask: Ask, recipient: str, sender: str = "") -> int:
    with smtplib.SMTP(ask(25).host, 25, timeout=30) as smtp:
        smtp.ehlo("w.outside.example")
        code, _text = smtp.mail(sender)
        return smtp.rcpt(recipient)[0] if code == 250 else code


def test_a_forward_arrives_with_a_sender_of_the_site_and_the_stranger_s_signature(
    site: Site, ask: Ask, other: Host
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])
    token = new_token()
    text = message(STRANGER, DORA, token).replace(
        b"Subject:", b'X-Odd:  two  blanks\r\nReply-To: "B, C" <b@outside.example> (x)\r\nSubject:', 1
    )
    names = [b"From", b"To", b"Subject", b"X-Odd", b"Reply-To"]
    how = (b"simple", b"simple")
    text = dkim.sign(text, b"s", b"outside.example", private, canonicalize=how, include_headers=names) + text
    assert smtp_send(ask(25), STRANGER, [DORA], text).accepted
    found = came(other, token)
    assert re.fullmatch(r"SRS0=[^=]{8}=..=outside\.example=stranger@example\.test", return_path(found))
    assert f"\nFrom: {STRANGER}\n" in found
    content = found.split("\n", 1)[1].replace("\n", "\r\n").encode()
    assert dkim.DKIM(content).verify(0, dnsfunc=lambda _name, **_more: record)
    kept = imap_find(ask(993), DORA, site.passwords[DORA], token, wait=15)
    assert kept and return_path(kept.decode().replace("\r\n", "\n")) == STRANGER, "what stays in the site is as it came"
    assert sum(token in one for one in mailbox(other)) == 1


def test_a_forward_of_a_user_s_script_gets_a_sender_of_the_site(site: Site, ask: Ask, other: Host) -> None:
    token = new_token()
    redirect = f'if header :contains "subject" "{token}" {{ redirect "{FAY}"; }}'
    assert sieve_put(ask(4190), BEN, site.passwords[BEN], "redirect", redirect).ok
    assert smtp_send(ask(25), STRANGER, [BEN], message(STRANGER, BEN, token)).accepted
    assert return_path(came(other, token)).startswith("SRS0=")
    assert sieve_put(ask(4190), BEN, site.passwords[BEN], "redirect", "keep;").ok


def test_mail_of_the_site_keeps_its_sender(site: Site, ask: Ask, other: Host) -> None:
    token, login = new_token(), (ANNA, site.passwords[ANNA])
    sent = smtp_send(ask(587), ANNA, [DORA], message(ANNA, DORA, token), tls="starttls", login=login)
    assert sent.accepted
    assert return_path(came(other, token)) == ANNA
    notice = new_token()
    assert smtp_send(ask(25), "", [DORA], message(STRANGER, DORA, notice)).accepted
    assert return_path(came(other, notice)) == ""


def test_a_notice_to_the_rewritten_sender_reaches_the_stranger(ask: Ask, other: Host) -> None:
    token, sender = new_token(), rewritten(ask, other)
    assert smtp_send(ask(25), "", [sender], message("daemon@far.example", sender, token)).accepted
    found = came(other, token)
    assert f"\nX-Original-To: {STRANGER}\n" in found
    assert return_path(found) == ""


def test_a_forward_that_is_refused_comes_back_to_the_stranger(ask: Ask, other: Host) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, ["full@example.test"], message(STRANGER, BEN, token)).accepted
    found = came(other, token)
    assert f"\nX-Original-To: {STRANGER}\n" in found
    assert "554 5.7.1 <full@far.example>" in found


def test_only_addresses_that_the_site_has_made_lead_outside(ask: Ask, other: Host) -> None:
    sender = rewritten(ask, other)
    _srs, made, when, _domain, _user = sender.split("@")[0].split("=")
    assert answer(ask, sender) == 250
    assert answer(ask, sender.lower()) == 250, "some servers do that"
    for wrong in (
        sender.replace(made, made[:-1] + ("A" if made[-1] not in "aA" else "B")),
        sender.replace(made, made[:4]),
        sender.replace(made, ""),
        sender.replace(f"={when}=", "=AA="),
        sender.replace("=stranger@", "=victim@"),
        sender.replace("outside.example", "far.example"),
        sender.replace("@", "%far.example@"),
        sender.replace("SRS0=", f"SRS1={made}=far.example=="),
        f"SRS0={made}={when}=far.example=victim@example.test",
        "SRS0=@example.test",
    ):
        assert answer(ask, wrong) in (550, 554), wrong
    assert answer(ask, sender.replace("example.test", "far.example")) == 554
    assert answer(ask, BEN, sender) == 250, "a forward that comes back"
    assert answer(ask, BEN, sender.replace("stranger", "victim")) == 554


def test_the_secret_and_the_rewriting_port_are_no_user_s(host: Host) -> None:
    assert host.check_output("stat -c '%a %U %G' /etc/postamt/srs.secret") == "600 root root"
    secret = host.check_output("cat /etc/postamt/srs.secret")
    assert host.run(f"journalctl --no-pager | grep -qF -- '{secret}'").rc == 1
    assert host.run(f"ps -ef | grep -v grep | grep -qF -- '{secret}'").rc == 1
    assert "958" not in greeting_servers(host)
    said = host.run(
        "printf 'EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<fay@far.example>\r\n' | runuser -u mallory -- "
        "timeout 5 openssl s_client -quiet -crlf -connect 127.0.0.1:958 2>/dev/null"
    ).stdout
    assert "250" not in said


def test_forwards_wait_while_nobody_can_rewrite_them(site: Site, host: Host, ask: Ask, other: Host) -> None:
    sender = rewritten(ask, other)
    token = new_token()
    numbers = range(20)
    try:
        host.check_output(f"systemctl stop {DAEMON}")
        for number in numbers:
            text = message(STRANGER, DORA, f"{token}-{number}.")
            assert smtp_send(ask(25), STRANGER, [DORA], text).accepted
        assert imap_find(ask(993), DORA, site.passwords[DORA], f"{token}-19.", wait=15), "its copy is there"
        assert answer(ask, BEN, STRANGER) == 250
        assert answer(ask, sender) == 451
        assert not any(token in text for text in mailbox(other)), "none with another sender"
    finally:
        host.check_output(f"systemctl start {DAEMON}")
    for number in numbers:
        host.run("postqueue -f")
        came(other, f"{token}-{number}.", wait=60)
    found = [text for text in mailbox(other) if token in text]
    assert sorted(int(re.findall(rf"{token}-(\d+)\.", text)[0]) for text in found) == list(numbers), "each once"
    assert all(return_path(text).startswith("SRS0=") for text in found)

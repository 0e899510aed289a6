"""Postfix alone: header checks, a gateway's domain and a relayhost with login, against another real server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils.probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.module_utils.probes.smtp import smtp_rcpt, smtp_send

ANNA, CARL = "anna@example.test", "carl@inner.example"
STRANGER = "stranger@outside.example"

# Debian's own Postfix as another administrator has it: port 25 for its domain, 587 and 465 for customers who log in.
OTHER = r"""
set -e
id customer >/dev/null 2>&1 || useradd --create-home customer
id carl >/dev/null 2>&1 || useradd --create-home carl
echo 'customer:Only-4-the-test' | chpasswd
postconf -e myhostname=other.example.net 'mydestination = inner.example, localhost, far.example' relayhost= \
    myorigin=localhost inet_interfaces=all 'luser_relay = carl' local_recipient_maps= mailbox_command= home_mailbox= \
    smtpd_sasl_path=smtpd cyrus_sasl_config_path=/etc/postfix/sasl
mkdir -p /etc/postfix/sasl /var/spool/postfix/var/run/saslauthd
printf 'pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n' > /etc/postfix/sasl/smtpd.conf
for service in submission 465; do
    postconf -M $service/inet="$service inet n - y - - smtpd"
    postconf -P $service/inet/smtpd_sasl_auth_enable=yes $service/inet/smtpd_tls_security_level=encrypt \
        $service/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject
done
postconf -P 465/inet/smtpd_tls_wrappermode=yes
chgrp postfix /var/spool/postfix/var/run/saslauthd
pgrep -x saslauthd >/dev/null || saslauthd -a pam -m /var/spool/postfix/var/run/saslauthd -n 1
newaliases
systemctl restart postfix
"""


@pytest.fixture(scope="module")
def other(connect: Callable[[str], Any]) -> Any:
    """The server elsewhere."""
    host = connect("other.example.net")
    done = host.run(OTHER)
    assert done.rc == 0, done.stderr
    return host


@pytest.fixture
def ask(site: Any) -> Callable[[int], Endpoint]:
    return lambda port: Endpoint(site.ipv4, port, name=site.server_name, ca_file=site.ca_file, timeout=30)


def arrived(other: Any, token: str) -> str:
    """Return the message as it lies in carl's mailbox there; empty if it does not come within 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        mailbox = other.run("cat /var/mail/carl").stdout
        if token in mailbox:
            return next(text for text in mailbox.split("\nFrom ") if token in text)
        time.sleep(0.3)
    return ""


def test_a_header_check_refuses(ask: Any) -> None:
    won = smtp_send(ask(25), STRANGER, [ANNA], message(STRANGER, ANNA, "You won the LOTTERY"))
    assert not won.accepted
    assert "We do not play" in str(won.data)


def test_the_gateway_hands_mail_on(ask: Any, other: Any) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [CARL], message(STRANGER, CARL, token)).accepted
    assert arrived(other, token)


def test_the_gateway_knows_the_recipients(ask: Any) -> None:
    assert smtp_rcpt(ask(25), STRANGER, ["nobody@inner.example"]).rcpt["nobody@inner.example"].code == 550


def goes_out(site: Any, ask: Any, other: Any) -> bool:
    """Whether mail to the world comes through the other server's ports for customers: logged in and over TLS."""
    token = new_token()
    login = (ANNA, site.passwords[ANNA])
    text = message(ANNA, "someone@far.example", token)
    assert smtp_send(ask(587), ANNA, ["someone@far.example"], text, tls="starttls", login=login).accepted
    return "ESMTPSA" in arrived(other, token)


def test_outgoing_mail_takes_the_relayhost_with_its_login(site: Any, ask: Any, other: Any) -> None:
    assert goes_out(site, ask, other)


def test_the_password_for_the_relayhost_is_for_root_alone(host: Any) -> None:
    assert host.run("runuser -u nobody -- cat /etc/postfix/tables/relayhost_login").rc != 0
    assert host.run("runuser -u nobody -- strings /etc/postfix/tables/relayhost_login.lmdb").rc != 0
    assert "Only-4-the-test" not in host.check_output("journalctl -q -o cat")


def test_at_port_465_tls_comes_first_for_this_hop_alone(site: Any, ask: Any, other: Any, play: Any) -> None:
    assert not play({"mail_relayhost": {**site.vars["mail_relayhost"], "port": 465}}).failed
    assert goes_out(site, ask, other)
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [CARL], message(STRANGER, CARL, token)).accepted
    assert arrived(other, token), "the gateway speaks plainly first"


def test_a_pattern_that_only_postfix_cannot_read_is_refused(host: Any, play: Any) -> None:
    """It would skip the line, and let the mail through that the check is for."""
    before = host.file("/etc/postfix/tables/header_checks").content_string
    said = play({"mail_header_checks": [{"match": "(?u)lottery", "action": "reject"}]}).message
    assert "nothing was changed" in said and "header_checks, line 1: error in regex" in said
    assert host.file("/etc/postfix/tables/header_checks").content_string == before


def test_what_leaves_the_inventory_leaves_the_host(host: Any, play: Any) -> None:
    gone = play({"mail_relayhost": None, "mail_header_checks": [], "mail_gateway": {}})
    assert not gone.failed
    assert host.check_output("postconf -h relayhost header_checks transport_maps").split() == []
    for name in ("relayhost_login", "relayhost_login.lmdb", "header_checks", "gateway", "gateway.lmdb"):
        assert not host.file(f"/etc/postfix/tables/{name}").exists
    assert play().changed
    assert play().changed == []

"""Mail to servers of the world by DANE: signed zones and broken ones, right and wrong TLSA records, and no resolver.

The scenario's host sends to a Postfix on another host, at the address of the MX of each domain. The first test sets
DANE up, those after it use it, and the last one takes it away.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib import signed_dns
from ansible_collections.postamt.mail.tests.lib.elsewhere import arrived
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within

RIGHT, WRONG, NONE, PLAIN, BROKEN = (f"{word}.example" for word in ("right", "wrong", "none", "plain", "broken"))
RESOLVER = "postamt-resolver"
SEEN = "/proc/$(tr -d ' ' < /var/spool/postfix/pid/master.pid)/root"  # files as Postfix sees them

RECEIVER = f"""
set -e
id carl >/dev/null 2>&1 || useradd --create-home carl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=nobody.example \
    -keyout /etc/postfix/own.key -out /etc/postfix/own.pem 2>/dev/null
postconf -e myhostname=other.example.net 'mydestination = localhost, {RIGHT}, {WRONG}, {NONE}, {PLAIN}, {BROKEN}' \
    relayhost= inet_interfaces=all luser_relay=carl local_recipient_maps= mailbox_command= home_mailbox= \
    smtpd_tls_chain_files=/etc/postfix/own.key,/etc/postfix/own.pem smtpd_tls_security_level=may
newaliases
systemctl restart postfix
openssl x509 -in /etc/postfix/own.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
"""


@pytest.fixture(scope="module")
def world(connect: Connect, host: Host, site: Site) -> Iterator[tuple[Host, dict[str, Any]]]:
    """The receiver, and the variables by which the site trusts the world's DNS."""
    other = connect("other.example.net")
    digest = other.check_output(RECEIVER).split()[0]
    address = site.hosts["other.example.net"]["lab_ipv4"]
    zones = {
        name: f"{name}. 60 IN MX 10 mx.{name}.\nmx.{name}. 60 IN A {address}\n"
        for name in (RIGHT, WRONG, NONE, PLAIN, BROKEN)
    }
    for name in (RIGHT, PLAIN, BROKEN):
        zones[name] += f"_25._tcp.mx.{name}. 60 IN TLSA 3 1 1 {digest}\n"
    zones[WRONG] += f"_25._tcp.mx.{WRONG}. 60 IN TLSA 3 1 1 {'00' * 32}\n"
    anchor = signed_dns.serve([host], zones, unsigned=[PLAIN], broken=[BROKEN])
    yield (
        other,
        {
            "mail_dane": True,
            "mail_relayhost": None,
            **signed_dns.trusting(anchor),
        },
    )
    signed_dns.stop(host)


def send(ask: Ask, site: Site, domain: str) -> str:
    token = new_token()
    to, login = f"carl@{domain}", (ANNA, site.passwords[ANNA])
    assert smtp_send(ask(587), ANNA, [to], message(ANNA, to, token), tls="starttls", login=login).accepted
    return token


def reason(host: Host, domain: str) -> str:
    """Why mail to a domain waits; empty if none does."""
    lines = [json.loads(line) for line in host.check_output("postqueue -j").splitlines()]
    whys = [
        one.get("delay_reason", "") for line in lines for one in line["recipients"] if one["address"].endswith(domain)
    ]
    return next(filter(None, whys), "")


def waits(host: Host, domain: str) -> bool:
    return bool(reason(host, domain))


def tls_to(host: Host, domain: str, since: str) -> list[str]:
    """How far the connections to a domain's server were trusted: Verified, Untrusted, ..."""
    log = host.check_output(f"journalctl -q -o cat --since '{since}' -t postfix/smtp")
    lines = [line for line in log.splitlines() if f"TLS connection established to mx.{domain}" in line]
    return [line.split(" TLS connection")[0].split()[-1] for line in lines]


def now(host: Host) -> str:
    return host.check_output("date '+%Y-%m-%d %H:%M:%S'")


def test_a_run_that_finds_no_dnssec_says_what_to_do(
    play: RunAgain, host: Host, world: tuple[Host, dict[str, Any]]
) -> None:
    """The site trusts another root than the world has: nothing is validated, and Postfix stays as it was."""
    _other, variables = world
    done = play({**variables, "unbound_settings": {}})
    assert "let this host ask other servers at port 53" in done.message
    assert "mail_dane: false" in done.message
    assert host.check_output("postconf -h smtp_tls_security_level") == "may"


def test_a_run_sets_a_resolver_up(play: RunAgain, host: Host, world: tuple[Host, dict[str, Any]]) -> None:
    before = host.check_output("cat /etc/resolv.conf; systemctl is-enabled unbound || true")
    assert not play(world[1]).failed
    assert not play(world[1]).changed
    assert host.service(RESOLVER).is_running and host.service(RESOLVER).is_enabled
    assert host.check_output("cat /etc/resolv.conf; systemctl is-enabled unbound || true") == before
    listening = host.check_output("ss -Hlnup sport = :53; ss -Hlntp sport = :53")
    ours = {line.split()[3] for line in listening.splitlines() if '"unbound"' in line}
    assert ours == {"127.0.0.153:53", f"{signed_dns.ADDRESS}:53"}


def test_what_debian_copies_into_the_chroot_does_not_count(host: Host) -> None:
    """Hooks of networks and resolv.conf copy the host's file there; a reload and a restart keep Postfix's own."""
    asked = f"grep -h ^nameserver {SEEN}/etc/resolv.conf {SEEN}/var/spool/postfix/etc/resolv.conf"
    hooks = (
        "touch /etc/resolv.conf; IFACE=eth0 /etc/network/if-up.d/postfix; /etc/resolvconf/update-libc.d/postfix; true"
    )
    for change in (hooks, "systemctl reload postfix", "postfix reload", "systemctl restart postfix"):
        host.check_output(change)
        assert host.check_output(asked).split() == ["nameserver", "127.0.0.153"] * 2, change


def test_a_server_is_verified_by_its_key_or_gets_nothing(
    host: Host, site: Site, ask: Ask, world: tuple[Host, dict[str, Any]]
) -> None:
    other, _variables = world
    since = now(host)
    tokens = {domain: send(ask, site, domain) for domain in (RIGHT, WRONG, NONE, PLAIN, BROKEN)}
    for domain, trusted in ((RIGHT, "Verified"), (NONE, "Untrusted"), (PLAIN, "Untrusted")):
        assert arrived(other, tokens[domain]), domain
        assert tls_to(host, domain, since) == [trusted], domain
    for domain, why in ((WRONG, "Server certificate not verified"), (BROKEN, "Host or domain name not found")):
        assert within(20, functools.partial(waits, host, domain)), domain
        assert why in reason(host, domain), reason(host, domain)
    mailbox = other.run("cat /var/mail/carl").stdout
    assert tokens[WRONG] not in mailbox and tokens[BROKEN] not in mailbox
    log = other.check_output("journalctl -q -o cat -t postfix/smtpd -t postfix/cleanup")
    assert f"carl@{WRONG}" not in log and f"carl@{BROKEN}" not in log, "the envelope went there"
    host.check_output("postsuper -d ALL deferred")


def test_mail_waits_while_the_resolver_is_down(
    host: Host, site: Site, ask: Ask, play: RunAgain, world: tuple[Host, dict[str, Any]]
) -> None:
    other, variables = world
    host.check_output(f"systemctl stop {RESOLVER}")
    token = send(ask, site, RIGHT)
    assert within(30, lambda: waits(host, RIGHT))
    assert "Host or domain name not found" in reason(host, RIGHT)
    assert token not in other.run("cat /var/mail/carl").stdout
    done = play(variables)
    assert not done.failed
    assert f"started {RESOLVER}.service" in done.actions
    host.check_output("postqueue -f")
    assert arrived(other, token)


def test_without_dane_all_is_as_before(play: RunAgain, host: Host) -> None:
    done = play({"mail_dane": False})
    assert not done.failed
    assert "restarted Postfix" in str(done.actions)
    assert not host.service(RESOLVER).is_running
    own = host.check_output("cat /etc/resolv.conf")
    for path in ("/etc/resolv.conf", "/var/spool/postfix/etc/resolv.conf"):
        assert host.check_output(f"cat {SEEN}{path}") == own
    assert host.check_output("postconf -h smtp_tls_security_level") == "may"

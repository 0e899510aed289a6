# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which servers of the world get mail, by the policies of their domains (MTA-STS), and what becomes of it meanwhile.

The same world wants reports on that (TLS reports).
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Transaction
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.plugins.plugin_utils._reports import tls_json, unpack
from ansible_collections.postamt.mail.tests.lib import signed_dns
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, STRANGER
from ansible_collections.postamt.mail.tests.lib.signatures import BOTH, signed_for
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, RunAgain, Scenario, Site
from ansible_collections.postamt.mail.tests.lib.tls_reporter import COUNTS, SENDS, counted, end_the_day, wheel
from ansible_collections.postamt.mail.tests.lib.waiting import within
from ansible_collections.postamt.mail.tests.lib.world import TRUSTED, UNTRUSTED, WEB, World

SERVICE, SERVER = "postfix-mta-sts-resolver", "postamt-mta-sts"
OWN = ("mta-sts.example.test", "mta-sts.example.net")
FURTHER = "mta-sts.more.example.test"
OWN_POLICY = b"version: STSv1\r\nmode: testing\r\nmx: mail.example.test\r\nmax_age: 604800\r\n"
CACHE = "/var/lib/mta-sts/cache.db"
GATEWAY = "inner.example"  # of the inventory
FAY, AWAY = "fay@other.example.net", "away@example.test"  # the inventory has the latter's mail sent to the former
OTHER = """
set -e
id fay >/dev/null 2>&1 || useradd --create-home fay
postconf -e myhostname=other.example.net "mydestination = $(postconf -h mydestination), other.example.net" \
    inet_interfaces=all mailbox_command= home_mailbox= smtpd_sender_restrictions=
newaliases
systemctl restart postfix
"""
READER = "lists@example.test"
# To whom domains want their reports sent; the second one is up to no good
READERS = {
    "enforce.example": f"mailto:{READER},mailto:tls@none.example",
    "none.example": "mailto:root,mailto:a@none.example,mailto:A@none.example,https://192.0.2.80/x,mailto:b@none.example,"
    "mailto:c@none.example",
    "wrong.example": f"mailto:{READER}",
}
# by domain, the server of its MX
SERVERS = {
    "enforce.example": TRUSTED,
    "wrong.example": UNTRUSTED,
    "testing.example": UNTRUSTED,
    "none.example": UNTRUSTED,
    "bomb.example": UNTRUSTED,
    "slow.example": UNTRUSTED,
    "dane-right.example": UNTRUSTED,
    "dane-wrong.example": TRUSTED,
    "dane-unsigned.example": TRUSTED,
    "dane-unusable.example": TRUSTED,
    "dane-broken.example": TRUSTED,
    "dane-forged.example": TRUSTED,
}
Direct = dict[str, Any]


def _context(site: Site) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=site.ca_file)


def served(site: Site, name: str, family: str = "ipv4", request: str = "GET /.well-known/mta-sts.txt") -> bytes:
    """Return what the host answers to an HTTPS client that knows it by this name."""
    link = socket.create_connection((site.vars[f"lab_{family}"], 443), 10)
    with link, _context(site).wrap_socket(link, server_hostname=name) as secure:
        secure.sendall(f"{request} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return secure.makefile("rb").read()


def policy(domain: str) -> str:
    mode = "testing" if domain == "testing.example" else "enforce"
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {server(domain)}\r\nmax_age: 86400\r\n"


def server(domain: str) -> str:
    """Return the name of its server; that of one domain is in a zone whose signatures are too old."""
    return "mx.broken.example" if domain == "dane-broken.example" else f"mx.{domain}"


def zones(site: Site, pin: str) -> dict[str, str]:
    """Return the zones of SERVERS; pin: of the key of UNTRUSTED."""
    wrong = f"3 1 1 {'ab' * 32}"
    tlsa = {f"dane-{word}.example": wrong for word in ("wrong", "unsigned", "broken", "forged")}
    tlsa["dane-right.example"] = f"3 1 1 {pin}"
    tlsa["dane-unusable.example"] = wrong.replace("3 1 1", "1 1 1")
    found = {"example.test": f'{OWN[0]}. 60 IN A {site.ipv4}\n_mta-sts.example.test. 60 IN TXT "v=STSv1; id=1"\n'}
    found["example.net"] = f"other.example.net. 60 IN A {site.hosts['other.example.net']['lab_ipv4']}\n"
    for domain, address in SERVERS.items():
        mx = server(domain)
        found[domain] = f"{domain}. 60 IN MX 10 {mx}.\n"
        zone = mx.removeprefix("mx.")
        found[zone] = found.get(zone, "") + f"{mx}. 60 IN A {address}\n"
        if domain != "none.example":
            found[domain] += f'mta-sts.{domain}. 60 IN A {WEB}\n_mta-sts.{domain}. 60 IN TXT "v=STSv1; id=1"\n'
        if domain in READERS:
            found[domain] += f'_smtp._tls.{domain}. 60 IN TXT "v=TLSRPTv1; rua={READERS[domain]}"\n'
        if data := tlsa.get(domain):
            found[zone] += f"_25._tcp.{mx}. 60 IN TLSA {data}\n"
    return found


@pytest.fixture(scope="module")
def prepared(host: Host) -> Iterator[World]:
    """A world that is not there yet."""
    names = [f"mta-sts.{domain}" for domain in SERVERS] + [server(domain) for domain in SERVERS]
    world = World(host, [name for name in names if not name.startswith("mx.wrong")])
    yield world
    world.end()


@pytest.fixture(scope="module")
def direct(host: Host, site: Site, scenario: Scenario, prepared: World) -> Iterator[Direct]:
    """Variables of a site that sends by itself in a world whose DNS is signed, with TLS reports where it can."""
    said = zones(site, prepared.pin)
    unsigned, forged = ["dane-unsigned.example"], {"dane-forged.example": ("ab" * 32, "cd" * 32)}
    anchor = signed_dns.serve([host], said, unsigned=unsigned, broken=["broken.example"], forged=forged)
    own = {"mail_relayhost": None, "mail_dane": True, "mail_tls_reporter": wheel(scenario)}
    yield {**own, **signed_dns.trusting(anchor)}
    signed_dns.stop(host)


@pytest.fixture(scope="module")
def world(host: Host, prepared: World) -> Iterator[World]:
    policies = {f"mta-sts.{domain}": policy(domain) for domain in SERVERS if domain != "none.example"}
    bad = {"mta-sts.bomb.example": {"repeat": "mx: a\n" * 200, "times": 250_000}, "mta-sts.slow.example": {"wait": 60}}
    try:
        prepared.serve({**policies, **bad})
        host.check_output(f"systemctl restart {SERVICE}")
        yield prepared
    finally:
        prepared.end()
        host.run(f"postsuper -d ALL; rm -f {CACHE}*")


def send(host: Host, *domains: str) -> dict[str, str]:
    """Have a program of the host write to each domain; the subjects by domain."""
    subjects = {domain: f"{new_token()}-{domain}" for domain in domains}
    text = "".join(
        f"printf 'From: {ANNA}\\nSubject: {subject}\\n\\nhello\\n' | sendmail -f {ANNA} x@{domain};"
        for domain, subject in subjects.items()
    )
    host.check_output(text)
    return subjects


def arrived(world: World, subject: str, wait: float = 60) -> str:
    """Return which server has got a message; empty if none has."""
    within(wait, lambda: subject in {text for _server, text in world.mail()})
    return next((server for server, text in world.mail() if text == subject), "")


def waits(host: Host, domain: str) -> str:
    """Return why mail to a domain waits."""
    found: list[str] = []

    def look() -> bool:
        for line in host.check_output("postqueue -j").splitlines():
            for recipient in json.loads(line)["recipients"]:
                if recipient["address"].endswith(f"@{domain}") and "delay_reason" in recipient:
                    found.append(str(recipient["delay_reason"]))
        return bool(found)

    within(10, look)
    return found[-1] if found else ""


def said_of(host: Host, domain: str) -> str:
    """Return what Postfix is told of a domain; empty for nothing."""
    asked = host.run("cd /var/spool/postfix && postmap -q %s socketmap:unix:mta-sts/socket:postfix", domain)
    return asked.stdout.strip() if asked.rc < 2 and not asked.stderr else f"error {asked.stderr}"


def connections(host: Host, server: str) -> str:
    return host.check_output("journalctl --no-pager -o cat -t postfix/smtp | grep -F 'to %s[' | tail -n 1", server)


# Runs come before the tests with the world: its network gives the host one more address. In this scenario a relayhost
# sends, so the first run does without, and the last test brings it back.


def test_a_site_that_sends_by_itself_looks_at_policies(
    host: Host, play: RunAgain, direct: Direct, release: str
) -> None:
    assert not host.service(SERVICE).is_running
    done = play(direct)
    assert not done.failed
    assert host.service(SERVICE).is_running
    told = "mail.example.test: Postfix 3.7 cannot send TLS reports (mail_tls_reporter)" in done.stdout
    assert (host.service(COUNTS).is_running, told) == ((False, True) if release == "bookworm" else (True, False))


def test_postfix_alone_may_ask(host: Host) -> None:
    assert host.check_output("stat -c '%a %U %G' /var/spool/postfix/mta-sts") == "2750 _mta-sts postfix"
    host.check_output("id mallory || useradd --create-home mallory")
    ask = "import socket; socket.socket(socket.AF_UNIX).connect('/var/spool/postfix/mta-sts/socket')"
    assert "Permission" in host.run(f'runuser -u mallory -- python3 -c "{ask}"').stderr
    assert host.run(f'runuser -u postfix -g postfix -- python3 -c "{ask}"').rc == 0


def test_a_run_says_that_it_does_not_work(host: Host, play: RunAgain, direct: Direct) -> None:
    host.check_output(f"systemctl stop {SERVICE}; rm -f {CACHE}*; echo broken > {CACHE}")
    try:
        done = play(direct)
        assert done.failed
        assert SERVICE in done.message
    finally:
        host.check_output(f"rm -f {CACHE}*")


def test_a_new_policy_and_a_new_certificate_are_served(site: Site, play: RunAgain, direct: Direct) -> None:
    new = {"mail_mta_sts_max_age": 90_000, "mail_certificates": {"mta-sts": {"names": [*OWN, FURTHER]}}}
    assert not play({**direct, **new}).failed
    assert b"max_age: 90000\r\n" in served(site, FURTHER)


def test_they_go_when_nobody_wants_them_and_mail_goes_on(
    host: Host, connect: Connect, ask: Ask, play: RunAgain, direct: Direct
) -> None:
    """Each message needs programs that the run stops: Rspamd and MTA-STS, or PostSRSd and MTA-STS."""
    other = connect("other.example.net")
    other.check_output(OTHER)
    off: dict[str, Any] = {"mail_mta_sts_check": False, "mail_mta_sts_policy": None, "mail_srs": False}
    off |= {**direct, "mail_dkim": False, "mail_from_of_users": "any", "mail_from_exceptions": {}}
    off["mail_tls_reporter"] = None  # reports have to be signed
    services = (SERVICE, SERVER, "postamt-srs", "postamt-rspamd")
    assert all(host.service(service).is_running for service in services)
    over = threading.Event()
    refused: list[Transaction] = []
    subjects: list[str] = []

    def write() -> None:
        while not over.wait(0.2):
            subject = f"{new_token()}-{len(subjects)}"
            subjects.append(subject)
            if len(subjects) % 2:
                said = smtp_send(ask(25), STRANGER, [AWAY], message(STRANGER, AWAY, subject))
                refused.extend([] if said.accepted else [said])
            else:
                host.check_output(f"printf 'From: {ANNA}\nSubject: {subject}\n\nhello\n' | sendmail -f {ANNA} {FAY}")

    with ThreadPoolExecutor(max_workers=1) as pool:
        writing = pool.submit(write)
        try:
            done = play(off)
        finally:
            over.set()
        writing.result()
    assert not done.failed
    assert refused == [] and len(subjects) > 5
    # What waits is tried again after five minutes, and comes too late.
    assert within(20, lambda: not late(other, subjects)), (late(other, subjects), host.check_output("postqueue -p"))
    for service in services:
        assert not host.service(service).is_running
    assert not host.service(SERVICE).is_enabled  # the units of the others are gone
    assert host.check_output("postconf -hx smtp_tls_policy_maps") == ""
    assert not host.file("/etc/postamt/mta-sts.txt").exists
    assert not play(direct).failed
    for service in services:
        assert host.service(service).is_running


def late(other: Host, subjects: list[str]) -> list[str]:
    """Return those that are not in the mailbox of another server."""
    mailbox = other.run("cat /var/mail/fay").stdout.splitlines()
    return sorted({*subjects} - {line.removeprefix("Subject: ") for line in mailbox})


def test_a_name_that_the_certificate_no_longer_has(site: Site) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        served(site, FURTHER)


@pytest.mark.parametrize("name", OWN)
def test_each_domain_has_the_policy(site: Site, name: str) -> None:
    """By its own name, with the site's certificate, over both families."""
    for family in ("ipv4", "ipv6"):
        head, _empty, body = served(site, name, family).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ncontent-type: text/plain" in head.lower()
        assert body == OWN_POLICY


@pytest.mark.parametrize("request_line", [f"GET /{OWN[0]}", "POST /.well-known/mta-sts.txt", "GET /../../etc/passwd"])
def test_nothing_else_is_served(site: Site, request_line: str) -> None:
    assert served(site, OWN[0], request=request_line).startswith(b"HTTP/1.1 40")


def test_a_client_that_says_nothing_is_sent_away(site: Site) -> None:
    link = socket.create_connection((site.ipv4, 443), 15)
    with link, _context(site).wrap_socket(link, server_hostname=OWN[0]) as secure:
        start = time.monotonic()
        while secure.recv(1000):
            pass
        assert time.monotonic() - start < 12


def test_a_policy_decides_which_server_gets_mail(host: Host, world: World) -> None:
    sent = send(host, "enforce.example", "wrong.example", "testing.example", "none.example")
    assert arrived(world, sent["enforce.example"]) == TRUSTED
    assert arrived(world, sent["testing.example"]) == UNTRUSTED
    assert arrived(world, sent["none.example"]) == UNTRUSTED
    assert "Server certificate not verified" in waits(host, "wrong.example")
    assert arrived(world, sent["wrong.example"], wait=0) == ""
    log = host.check_output("journalctl --no-pager -o cat -t postfix/smtp")
    assert "Verified TLS connection established to mx.enforce.example[" in log
    for domain in ("testing.example", "none.example"):
        assert f"Untrusted TLS connection established to mx.{domain}[" in log
    host.check_output("postsuper -d ALL")


def test_a_policy_that_cannot_be_read_is_none(host: Host, world: World) -> None:
    """300 MB that are packed into 300 KB, and a server that says nothing."""
    sent = send(host, "bomb.example", "slow.example")
    for subject in sent.values():
        assert arrived(world, subject, wait=90) == UNTRUSTED
    pid = host.check_output(f"systemctl show -p MainPID --value {SERVICE}")
    assert int(host.check_output(f"grep VmHWM /proc/{pid}/status").split()[1]) < 80_000


def test_dane_comes_before_a_policy(host: Host, world: World) -> None:
    for word in ("right", "wrong"):
        assert said_of(host, f"dane-{word}.example") == "dane-only"
    for word in ("unsigned", "unusable"):
        assert said_of(host, f"dane-{word}.example").startswith(f"secure match=mx.dane-{word}.example ")
    assert said_of(host, "enforce.example").startswith("secure match=mx.enforce.example ")
    assert said_of(host, "none.example") == said_of(host, "testing.example") == ""
    kept = {"dane-wrong.example": "Server certificate not verified"}
    for word in ("broken", "forged"):
        assert "error" in said_of(host, f"dane-{word}.example")
    kept |= {"dane-broken.example": "Host or domain name not found", "dane-forged.example": "TLS configuration problem"}
    sent = send(host, "dane-right.example", "dane-unsigned.example", *kept)
    assert arrived(world, sent["dane-right.example"]) == UNTRUSTED, "by its key alone"
    assert arrived(world, sent["dane-unsigned.example"]) == TRUSTED, "by its policy"
    for domain, why in kept.items():
        assert why in waits(host, domain), "its policy would take the certificate"
        assert arrived(world, sent[domain], wait=0) == ""
    host.check_output("postsuper -d ALL")


def test_mail_waits_while_nobody_knows_the_policies_and_none_is_lost(host: Host, world: World) -> None:
    host.check_output(f"systemctl stop {SERVICE}")
    try:
        sent = [send(host, "enforce.example", "none.example", GATEWAY) for _number in range(10)]
        assert "TLS configuration problem" in waits(host, "none.example")
        assert "TLS configuration problem" in waits(host, "enforce.example")
        for one in sent:
            assert arrived(world, one[GATEWAY]) == UNTRUSTED, "its server is not the world's"
        assert {text for _server, text in world.mail()}.isdisjoint(one["none.example"] for one in sent)
    finally:
        host.check_output(f"systemctl start {SERVICE}")
    host.check_output("postqueue -f")
    wanted = {subject for one in sent for subject in one.values()}
    assert within(20, lambda: wanted <= {text for _server, text in world.mail()}), "lost"
    assert Counter(text for _server, text in world.mail() if text in wanted) == Counter(wanted)


def test_it_comes_back_by_itself(host: Host, world: World) -> None:
    host.check_output(f"systemctl kill -s KILL {SERVICE}")
    assert within(10, lambda: said_of(host, "enforce.example").startswith("secure "))


def test_another_server_of_this_kind_understands_the_policy(host: Host, world: World) -> None:
    query = "SSL_CERT_FILE=/etc/postamt/tls/ca.pem mta-sts-query example.test"
    found = host.check_output(query)
    assert "STSFetchResult.VALID" in found and "'mode': 'testing'" in found and "['mail.example.test']" in found


def test_domains_that_want_them_get_reports(site: Site, host: Host, world: World, ask: Ask, release: str) -> None:
    sent = send(host, "enforce.example", "none.example")
    assert all(arrived(world, subject) for subject in sent.values())
    send(host, "wrong.example")
    assert "Server certificate not verified" in waits(host, "wrong.example")
    host.check_output("postsuper -d ALL")
    if release == "bookworm":
        assert "TLSRPT" not in host.check_output("journalctl --no-pager -o cat -t postfix/smtp")
        return
    assert within(20, lambda: counted(host) >= {*READERS}), counted(host)
    end_the_day(host)
    wanted = {
        ("enforce.example", "tls@none.example"),
        ("none.example", "a@none.example"),
        ("none.example", "b@none.example"),
    }

    def came() -> set[tuple[str, str]]:
        letters = [(to, subject.split()) for _server, to, subject in world.letters() if "Submitter:" in subject]
        return {(words[2], to) for listed, words in letters for to in listed}

    assert within(30, lambda: came() >= wanted), came()
    assert came() == wanted
    found = {}
    for domain in ("enforce.example", "wrong.example"):
        content = imap_find(ask(993), READER, site.passwords[READER], f"Report Domain: {domain}")
        assert content, domain
        assert signed_for(site, content) == {"example.test": BOTH}
        (document,) = unpack.documents(content)
        found[domain] = tls_json.read(document.content, document.about)
        assert (found[domain].domain, found[domain].reporter) == (domain, "example.test")
    right, wrong = (found[domain].policies for domain in ("enforce.example", "wrong.example"))
    assert {(one.kind, one.failed) for one in right} == {("sts", 0)} and right[0].successful > 0
    assert {(one.kind, one.successful) for one in wrong} == {("sts", 0)} and wrong[0].failed > 0
    assert {failure.kind for one in wrong for failure in one.failures} == {"validation-failure"}
    assert not host.check_output(f"journalctl -q --no-pager -o cat -u {SENDS} -p warning")


def test_mail_goes_on_while_nobody_counts(host: Host, world: World, release: str) -> None:
    if release == "bookworm":
        assert host.run(f"systemctl cat {COUNTS} {SENDS}.timer").rc != 0
        return
    socket_path = "/var/spool/postfix/tlsrpt/socket"
    assert host.check_output("stat -c '%%a %%U %%G' %s", socket_path) == "660 postamt-tlsrpt postfix"
    tried = f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect({socket_path!r})"
    assert "Permission" in host.run(f'runuser -u mallory -- python3 -c "{tried}"').stderr
    for stop, go in (("kill -s STOP", "kill -s CONT"), ("stop", "start")):
        host.check_output(f"systemctl {stop} {COUNTS}")
        try:
            sent = {send(host, "none.example")["none.example"] for _number in range(20)}
            assert all(arrived(world, subject, wait=20) for subject in sent)
        finally:
            host.check_output(f"systemctl {go} {COUNTS}")


def test_a_site_with_a_relayhost_asks_nobody(host: Host, world: World, play: RunAgain) -> None:
    world.end()
    assert not play().failed
    assert not host.service(SERVICE).is_running
    assert "socketmap" not in host.check_output("postconf -hx smtp_tls_policy_maps")
    assert not host.service(COUNTS).is_running and not host.service(f"{SENDS}.timer").is_running
    left = "find /usr/local/lib/postamt/tls* /var/spool/postfix/tlsrpt /etc/postamt/tlsrpt* -not -type d"
    assert host.run(left).stdout == ""
    assert "tlsrpt_enable" not in host.check_output("postconf -n; postconf -P")

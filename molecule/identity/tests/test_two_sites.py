"""Two sites of two administrators write to each other, on hosts of both releases, by what their own zone files say.

The zones are signed, and each site validates. The first test sets both up, those after it use them, and the last one
brings the scenario's site back. Between them is a mailing list of a third.
"""

from __future__ import annotations

import copy
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dkim
import dns.name
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import Encoding, message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib import signed_dns, strangers
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN
from ansible_collections.postamt.mail.tests.lib.probes import sieve_put
from ansible_collections.postamt.mail.tests.lib.signatures import BOTH, signed_for
from ansible_collections.postamt.mail.tests.lib.site import Connect, Play, Scenario, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within
from cryptography.hazmat.primitives import serialization

BOB, LIST = "bob@example.org", "lists@example.test"
STRANGER = "a@stray.example"
TRUSTED, UNTRUSTED = "lists.example", "seals.example"  # whose seals the scenario's site believes, and does not
RESOLVER = "postamt-resolver"
ON: dict[str, Any] = {
    "mail_authentication": True,
    "mail_dane": True,
    "mail_relayhost": None,
    "mail_dmarc_policy": "reject",
    "mail_arc_trusted": [TRUSTED],
    "mail_srs": False,  # until the keys change
}
RunPlaybook = Callable[..., Play]


@dataclass
class End:
    """One of the two sites. reader: a user of it. more: variables of this test for its runs."""

    host: Host
    scenario: Scenario
    site: Site
    reader: str
    more: dict[str, Any]

    def run(self, run_playbook: RunPlaybook, *playbook: str, **variables: Any) -> Play:
        words = [*(playbook or ["postamt.mail.site"]), "--extra-vars", json.dumps({**self.more, **variables})]
        done = run_playbook(*self.scenario.arguments, *words)
        assert not done.failed, done.stdout
        return done

    def send(self, to: str, content: bytes) -> bool:
        """Have its user send a message."""
        login = (self.reader, self.site.passwords[self.reader])
        endpoint = self.site.endpoint(587)
        return smtp_send(endpoint, self.reader, [to], content, tls="starttls", login=login).answers[to].code == 250

    def takes(self, content: bytes, sender: str, to: str = "") -> int:
        """Return how a message is answered that this machine sends, which is a stranger."""
        to = to or self.reader
        return smtp_send(self.site.endpoint(25), sender, [to], content).answers[to].code

    def got(self, token: str, user: str = "", folder: str = "INBOX") -> bytes:
        user = user or self.reader
        found = imap_find(self.site.endpoint(993), user, self.site.passwords[user], token, folder=folder, wait=20)
        assert found, token
        return found

    def waits(self, to: str) -> str:
        """Return why mail to somebody waits; empty if none does."""
        whys = [""]

        def look() -> bool:
            for line in self.host.check_output("postqueue -j").splitlines():
                for one in json.loads(line)["recipients"]:
                    if one["address"] == to:
                        whys.append(one.get("delay_reason", ""))
            return bool(whys[-1])

        within(20, look)
        return whys[-1]

    def empty_the_queue(self) -> None:
        assert within(60, lambda: not self.host.check_output("postqueue -f; postqueue -j"), pause=1)


class World:
    """What the DNS says; it can be said anew, and the resolvers trust it still."""

    def __init__(self) -> None:
        self.root = signed_dns.Signer(dns.name.root)
        self.hosts: list[Host] = []
        self.zones: dict[str, str] = {}

    def serve(self, **wrong: Any) -> str:
        anchor = signed_dns.serve(self.hosts, self.zones, root=self.root, **wrong)
        for host in self.hosts:
            host.run(f"systemctl try-restart {RESOLVER}")
        return anchor

    def take(self, end: End, run_playbook: RunPlaybook, folder: Path) -> None:
        """Have the zones of a site be what its zone files say, with a TLSA record for its server."""
        end.run(run_playbook, "postamt.mail.show", "--tags", "zones", mail_zone_dir=str(folder))
        pin = end.host.check_output(
            "openssl x509 -in /etc/postamt/tls/public/chain.pem -noout -pubkey | openssl pkey -pubin -outform DER | "
            "sha256sum"
        ).split()[0]
        for file in folder.glob("*.zone"):
            self.zones[file.stem] = file.read_text(encoding="utf-8")
        name = end.site.server_name
        self.zones[name.partition(".")[2]] += f"_25._tcp.{name}. 60 IN TLSA 3 1 1 {pin}\n"


@pytest.fixture(scope="module")
def world(site: Site) -> Iterator[World]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.connect((site.ipv4, 25))
        client = mine.getsockname()[0]
    records = {
        "stray.example": f"v=spf1 ip4:{client} -all",
        "_dmarc.stray.example": "v=DMARC1; p=reject",
        **{f"s1._domainkey.{domain}": strangers.key_record() for domain in (TRUSTED, UNTRUSTED)},
        **dict.fromkeys((TRUSTED, UNTRUSTED), f"v=spf1 ip4:{client} -all"),
    }
    world = World()
    world.zones = strangers.zones(records)
    for zone in world.zones:
        world.zones[zone] += f"{zone}. 60 IN A {client}\n"
    yield world
    for host in world.hosts:
        signed_dns.stop(host)


@pytest.fixture(scope="module")
def ours(world: World, host: Host, scenario: Scenario, site: Site) -> End:
    world.hosts.append(host)
    return End(host, scenario, site, ANNA, ON)


@pytest.fixture(scope="module")
def theirs(world: World, connect: Connect, scenario: Scenario) -> End:
    """The other host, with an inventory and a state of its own."""
    other = copy.copy(scenario)
    other.folder = scenario.folder / "other"
    other.arguments = [
        word.replace("/inventory.yml", "/other.yml").replace(f"{scenario.folder}/state", f"{other.folder}/state")
        for word in scenario.arguments
    ]
    host = connect("other.example.net")
    world.hosts.append(host)
    return End(host, other, Site(other), BOB, {})


def test_both_sites_are_set_up(run_playbook: RunPlaybook, world: World, ours: End, theirs: End, tmp_path: Path) -> None:
    trusting = signed_dns.trusting(world.serve())
    for end in (theirs, ours):
        end.more = {**end.more, **trusting}
        end.run(run_playbook)
        world.take(end, run_playbook, tmp_path / end.site.name)
    world.serve()


TEXTS: dict[str, tuple[str, Encoding]] = {
    "plain": ("Hello\n", "7bit"),
    "letters beyond ASCII": ("Grüße, schöne Grüße\n", "8bit"),
    "long lines": (f"{'x' * 990}\n" * 3, "7bit"),
}


@pytest.mark.parametrize(("text", "encoding"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_what_one_signs_the_other_verifies(ours: End, theirs: End, back: bool, text: str, encoding: Encoding) -> None:
    one, other = (theirs, ours) if back else (ours, theirs)
    token = new_token()
    assert one.send(other.reader, message(one.reader, other.reader, token, text, encoding))
    arrived = other.got(token)
    domain = one.reader.partition("@")[2]
    assert signed_for(one.site, arrived) == {domain: BOTH}
    said = results(arrived)
    assert said.startswith(f"{other.site.server_name};")
    keys = re.findall(rf"dkim=pass [^;]*header\.d={domain} header\.s=(rsa|ed)", said)
    assert sorted(keys) == ["ed", "rsa"], said
    for word in (f"spf=pass smtp.mailfrom={one.reader}", f"dmarc=pass (p=reject) header.from={domain}"):
        assert word in said
    log = one.host.check_output("journalctl -q -o cat -t postfix/smtp")
    assert f"Verified TLS connection established to {other.site.server_name}[" in log, "by its TLSA record"


def results(content: bytes) -> str:
    """Return the one field Authentication-Results in one line."""
    head = re.sub(rb"\r?\n[ \t]+", b" ", content.partition(b"\r\n\r\n")[0]).decode()
    (only,) = re.findall(r"(?im)^Authentication-Results\s*:\s*(.*?)\r?$", head)
    return str(only)


def test_what_a_program_of_a_host_sends_is_verified(ours: End, theirs: End) -> None:
    token, root = new_token(), f"root@{ours.site.name}"
    text = f"From: {root}\\nSubject: {token}\\n\\nfrom cron\\n"
    ours.host.check_output(f"printf '{text}' | sendmail -f {root} {BOB}")
    said = results(theirs.got(token))
    assert said.count("dkim=pass") == 2 and "dmarc=pass (p=reject)" in said


def test_a_copy_is_taken_from_anybody_and_a_changed_one_from_nobody(ours: End, theirs: End) -> None:
    token = new_token()
    assert ours.send(BOB, message(ANNA, BOB, token))
    copied = original(theirs.got(token))
    assert theirs.takes(copied, STRANGER) == 250
    assert theirs.takes(copied.replace(b"Hello", b"Hullo"), STRANGER) == 554
    assert theirs.takes(copied.replace(token.encode(), b"other"), STRANGER) == 554


def original(content: bytes) -> bytes:
    """Return a message as it was sent: without what a receiver has put above the signatures."""
    return content[content.index(b"DKIM-Signature:"):]  # fmt: skip


def listed(content: bytes, word: str, sealer: str = "") -> bytes:
    """Return what a list makes of a message: another subject and a footer, and its seal if it has one."""
    found = results(content).partition(";")[2]
    content = content[content.index(b"ARC-"):]  # fmt: skip
    content = content.replace(b"Subject: ", f"Subject: [{word}] ".encode(), 1)
    content += b"-- \r\nTo be taken off the list, write to lists@example.test\r\n"
    if not sealer:
        return content
    key = strangers.KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    checked = f"Authentication-Results: {sealer}; arc=pass;{found}\r\n".encode()
    fields = dkim.arc_sign(checked + content, b"s1", sealer.encode(), key, sealer.encode())
    return b"".join(fields) + content


def test_a_list_changes_a_message(ours: End, theirs: End) -> None:
    """Its author's domain wants that refused; the scenario's site believes one list that it was right before."""
    token = new_token()
    assert theirs.send(LIST, message(BOB, LIST, token))
    came = ours.got(token, LIST)
    assert "dmarc=pass (p=reject)" in results(came)
    word = new_token()
    believed = listed(came, word, TRUSTED)
    assert ours.takes(believed, f"bounces@{TRUSTED}") == 250
    said = results(ours.got(word))
    assert "arc=pass" in said and "dmarc=fail" in said and "dkim=fail" in said, said
    for refused in (
        listed(came, new_token()),
        listed(came, new_token(), UNTRUSTED),
        believed.replace(b"To be taken off", b"To be taken on"),
        believed.replace(b"dmarc=pass", b"dmarc=none"),
        believed.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=3"),
    ):
        assert ours.takes(refused, f"bounces@{TRUSTED}") == 554


def forwarded(ours: End, theirs: End) -> str:
    """Return what the other site says of a stranger's message that a user has sent on to it."""
    token, password = new_token(), ours.site.passwords[BEN]
    script = f'if header :contains "subject" "{token}" {{ redirect "{BOB}"; }}'
    assert sieve_put(ours.site.endpoint(4190), BEN, password, "redirect", script).ok
    assert ours.takes(message(STRANGER, BEN, token), STRANGER, BEN) == 250
    return results(theirs.got(token))


def test_a_forward_without_srs_has_its_seal_alone(ours: End, theirs: End) -> None:
    said = forwarded(ours, theirs)
    assert f"spf=fail smtp.mailfrom={STRANGER}" in said, said
    assert "dmarc=fail (p=reject)" in said and "arc=pass" in said


def test_mail_waits_while_the_dns_lies_or_is_dead_and_arrives_once(world: World, ours: End, theirs: End) -> None:
    tokens = [new_token(), new_token()]
    world.serve(forged={"example.org": ("mail.example.org.", "mail.lists.example.")})
    assert ours.send(BOB, message(ANNA, BOB, tokens[0]))
    assert "Name service error" in ours.waits(BOB)
    for end in (ours, theirs):
        signed_dns.stop(end.host)
        end.host.check_output(f"systemctl restart {RESOLVER}")
    assert ours.send(BOB, message(ANNA, BOB, tokens[1]))
    assert within(30, lambda: ours.host.check_output("postqueue -j").count('"delay_reason"') == 2)
    world.serve()
    ours.empty_the_queue()
    for token in tokens:
        assert "dmarc=pass (p=reject)" in results(theirs.got(token))


def test_a_slow_dns_changes_nothing(ours: End, theirs: End) -> None:
    token = new_token()
    for end in (ours, theirs):
        signed_dns.start(end.host, delay=0.3)
        end.host.check_output(f"systemctl restart {RESOLVER}")
    try:
        assert ours.send(BOB, message(ANNA, BOB, token))
        said = results(theirs.got(token))
    finally:
        for end in (ours, theirs):
            signed_dns.start(end.host)
            end.host.check_output(f"systemctl restart {RESOLVER}")
    assert said.count("dkim=pass") == 2 and "spf=pass" in said and "dmarc=pass" in said, said


def test_a_server_that_takes_7_bits_alone(ours: End, theirs: End) -> None:
    """What its sender has encoded keeps its signatures. Other mail is encoded on its way: SPF alone survives that."""
    text = "Grüße, schöne Grüße\n"
    kinds: list[tuple[Encoding, str]] = [("7bit", "dkim=pass"), ("8bit", "dkim=fail")]
    theirs.host.check_output("postconf -e smtpd_discard_ehlo_keywords=8bitmime; postfix reload")
    try:
        for encoding, word in kinds:
            token = new_token()
            assert ours.send(BOB, message(ANNA, BOB, token, text, encoding))
            arrived = theirs.got(token)
            said = results(arrived)
            assert said.count(word) == 2 and "spf=pass" in said and "dmarc=pass" in said, said
            assert arrived.isascii()
    finally:
        theirs.host.check_output("postconf -X smtpd_discard_ehlo_keywords; postfix reload")


def test_keys_change_while_mail_is_on_its_way(
    run_playbook: RunPlaybook, world: World, ours: End, theirs: End, tmp_path: Path
) -> None:
    """Each step of the playbook, with the zones as they are then; mail that waits has signatures of the former keys."""
    tokens = [new_token() for _number in range(4)]
    selectors = []

    def step(step: str, **more: Any) -> None:
        ours.run(run_playbook, "postamt.mail.dkim", dkim_domains=["example.test"], dkim_step=step, **more)
        if step != "sign":
            world.take(ours, run_playbook, tmp_path)
            world.serve()

    theirs.host.check_output("systemctl stop postfix")
    try:
        assert ours.send(BOB, message(ANNA, BOB, tokens[0]))
        step("publish")
        assert ours.send(BOB, message(ANNA, BOB, tokens[1]))
        ours.more["mail_srs"] = True  # this step is a run, and another test needs it
        step("sign", dkim_confirmed=True)
        assert ours.send(BOB, message(ANNA, BOB, tokens[2]))
    finally:
        theirs.host.check_output("systemctl start postfix")
    ours.empty_the_queue()
    for token in tokens[:3]:
        said = results(theirs.got(token))
        assert said.count("dkim=pass") == 2 and "dmarc=pass" in said, said
        selectors.append(sorted(re.findall(r"header\.s=(\w+)", said)))
    assert selectors[0] == selectors[1] != selectors[2]
    kept = original(theirs.got(tokens[0]))
    step("withdraw", dkim_confirmed=True, dkim_wait_days=0)
    assert ours.send(BOB, message(ANNA, BOB, tokens[3]))
    assert results(theirs.got(tokens[3])).count("dkim=pass") == 2
    theirs.host.check_output("systemctl restart postamt-rspamd")  # it remembers keys as long as their records live
    assert within(20, lambda: theirs.takes(kept, STRANGER) == 554), "the former keys are gone"


def test_a_forward_with_srs_passes_spf(ours: End, theirs: End) -> None:
    said = forwarded(ours, theirs)
    assert re.search(r"spf=pass smtp\.mailfrom=SRS0.[^;]*.stray\.example.a@example\.test;", said), said
    assert "dmarc=fail (p=reject)" in said and "arc=pass" in said


def test_the_scenario_s_site_is_as_before(run_playbook: RunPlaybook, ours: End) -> None:
    ours.more = {}
    ours.run(run_playbook)

"""What users may write in From."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN, STRANGER
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site

ALIAS, CARL = "a@example.test", "carl@example.net"
OWN, LATER = "From must be an address of your own account", "cannot be found now"


def sent(ask: Ask, site: Site, fields: str, login: str = ANNA, envelope: str = "") -> tuple[int, str]:
    """Return how a user's message with such fields is answered; it arrives once if it is taken, else never."""
    token = new_token()
    content = message(login, BEN, token).replace(f"From: {login}\r\n".encode(), fields.encode())
    reply = smtp_send(
        ask(587), envelope or login, [BEN], content, tls="starttls", login=(login, site.passwords[login])
    ).answers[BEN]
    if reply.code == 250:
        assert imap_find(ask(993), BEN, site.passwords[BEN], token)
    return reply.code, reply.text


@pytest.mark.parametrize(
    "fields",
    [
        f"From: {ALIAS}\r\n",
        "From: ANNA@Example.Test\r\n",
        f"From: Anna Ärger <{ANNA}>\r\n",
        "From: anna+shop@example.test\r\n",
        f'From: "{CARL}" <{ANNA}>\r\n',  # a name is free
        f"From: Anna\r\n\t<{ANNA}>\r\n",
        f"From: {ANNA} <{ALIAS}>\r\n",
        f"From: ({BEN.replace('@', ' at ')}) {ANNA}\r\n",
        f"From: =?utf-8?Q?Anna_=3C3_M=C3=BC_=3A=28?= <{ANNA}>\r\n",
        f'From: "Ärger, Anna" <{ANNA}>\r\n',
        f"From: {ANNA}, {ALIAS}\r\nSender: {ANNA}\r\n",
        "",  # Postfix adds what is missing
    ],
)
def test_addresses_of_one_s_own(ask: Ask, site: Site, fields: str) -> None:
    assert sent(ask, site, fields)[0] == 250


def test_an_alias_as_the_envelope_sender(ask: Ask, site: Site) -> None:
    for envelope in (ALIAS, "anna+shop@example.test"):
        assert sent(ask, site, f"From: {ANNA}\r\n", envelope=envelope)[0] == 250
        assert sent(ask, site, f"From: {BEN}\r\n", envelope=envelope)[0] == 554


@pytest.mark.parametrize(
    "fields",
    [
        f"From: {BEN}\r\n",
        f"From: {CARL}\r\n",
        f"From: {STRANGER}\r\n",
        "From: nobody@example.test\r\n",
        f"From: {ANNA}, {BEN}\r\n",
        f"From: {BEN}, {ANNA}\r\n",
        f"From: {ANNA}\r\nFrom: {BEN}\r\n",
        f"From: {BEN}\r\nFrom: {ANNA}\r\n",
        f"From: {ANNA}\r\nFrom : {BEN}\r\n",
        f"from\t: {BEN}\r\nFrom: {ANNA}\r\n",
        f"From: {BEN}\r\nSender: {ANNA}\r\n",  # only with delegates
        f"From: {ANNA}\r\nSender: {BEN}\r\n",
        f"From: {ANNA}\r\nSender : {BEN}\r\n",
        # Programs look for addresses first, and decode the names then (RFC 2047, 5).
        f"From: =?utf-8?q?anna=40example=2Etest=20=28?= <{BEN}>\r\n",
        f"From: =?utf-8?b?PGFubmFAZXhhbXBsZS50ZXN0PiAo?= <{BEN}>\r\n",
        f"From: {BEN} <{ANNA}>\r\n",
        f"From: {BEN}> <{ANNA}>\r\n",
        f"From: {BEN}\x01 <{ANNA}>\r\n",
        f"From: {ANNA} {BEN}\r\n",
        f"From: <{ANNA}> (a <{BEN}>\r\n",
        "From: anna+(x)ben@example.test\r\n",
        f"From: {ANNA}\\, {BEN}\r\n",
        # A filter or another server cuts longer lines.
        f'From: "{"A" * 980}\\" <{BEN}>, \\"x" <{ANNA}>\r\n',
        f"From: friends: {ANNA}, {BEN};\r\n",
        f'From: "{ANNA}" <{BEN}>\r\n',
        f"From: <{ANNA}> <{BEN}>\r\n",
        f"From: ({ANNA}) {BEN}\r\n",
        f"From: {BEN} ({ANNA})\r\n",
        "From: undisclosed:;\r\n",
        "From: anna\r\n",  # Postfix adds the host's name
        "From: \r\n",
        f'From: "ben"@example.test, {ANNA}\r\n',
        "From: =?utf-8?q?ben=40example=2Etest?=\r\n",
        f"From: @example.test:{BEN}\r\n",
        "From: " + ", ".join([ANNA] * 200) + "\r\n",
        "From: " + "x" * 900 + "@example.test\r\n",
    ],
)
def test_addresses_of_others(ask: Ask, site: Site, fields: str) -> None:
    assert sent(ask, site, fields) == (554, f"5.7.1 {OWN}")


def test_exceptions_and_delegates(host: Host, ask: Ask, site: Site, play: RunAgain) -> None:
    assert play({"mail_from_exceptions": {ANNA: ["boss@outside.example", "example.net"]}}).changed
    for address, code in ((CARL, 250), ("boss@outside.example", 250), (BEN, 554), ("x@sub.example.net", 554)):
        assert sent(ask, site, f"From: {address}\r\n")[0] == code, address
    assert sent(ask, site, f"From: {ANNA}\r\n", BEN)[0] == 554, "another's exception"
    assert play({"mail_from_of_users": "delegates", "mail_from_exceptions": {BEN: ["*"]}}).changed
    assert sent(ask, site, f"From: {STRANGER}\r\n", BEN)[0] == 250
    for fields, code in (
        (f"From: {BEN}\r\nSender: {ALIAS}\r\n", 250),
        (f"From: {BEN}\r\n", 554),
        (f"From: {BEN}\r\nSender: {BEN}\r\n", 554),
        (f"From: {BEN}\r\nSender: {ANNA}, {BEN}\r\n", 554),
        (f"From: {BEN}\r\nSender: {BEN}\r\nSender: {ANNA}\r\n", 554),
    ):
        assert sent(ask, site, fields)[0] == code, fields
    assert play().changed


def test_while_owners_cannot_be_found_mail_waits_at_its_sender(host: Host, ask: Ask, site: Site) -> None:
    host.check_output("systemctl stop postamt-owners.socket")
    try:
        code, text = sent(ask, site, f"From: {ALIAS}\r\n")
    finally:
        host.check_output("systemctl start postamt-owners.socket")
    assert code == 451 and LATER in text
    assert sent(ask, site, f"From: {ALIAS}\r\n")[0] == 250


def test_nobody_else_asks_who_owns_an_address(host: Host) -> None:
    assert host.check_output("stat -c '%a %U %G' /run/postamt-owners.sock") == "660 root _rspamd"

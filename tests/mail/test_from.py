"""What users write in From is an address of their own, behind a content filter too."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.site import Ask, Site

ANNA, BEN = "anna@example.test", "ben@example.test"


def test_a_user_writes_in_nobody_else_s_name(site: Site, ask: Ask) -> None:
    login = (ANNA, site.passwords[ANNA])
    for sender, code in (("Anna@example.test", 250), ("Ben <ben@example.test>", 554), ("boss@elsewhere.example", 554)):
        token = new_token()
        content = message(ANNA, BEN, token).replace(f"From: {ANNA}".encode(), f"From: {sender}".encode())
        reply = smtp_send(ask(587), ANNA, [BEN], content, tls="starttls", login=login).answers[BEN]
        assert reply.code == code, sender
        if code == 250:
            assert imap_find(ask(993), BEN, site.passwords[BEN], token)
        else:
            assert "From must be an address of your own account" in reply.text

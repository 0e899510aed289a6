"""Fixtures of the content filter's tests: hand mail in, and find it again."""

from __future__ import annotations

import functools

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import attempts
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Transaction
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.filtering import Filed, Has, Send
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, STRANGER
from ansible_collections.postamt.mail.tests.lib.site import Ask, Site


@pytest.fixture
def ask(site: Site) -> Ask:
    """As everywhere, but with the patience that a scan of a large message needs."""
    return functools.partial(site.endpoint, timeout=60)


@pytest.fixture
def send(site: Site, ask: Ask) -> Send:
    """Send from outside, or as a user."""

    def send(content: bytes, *to: str, user: str = "") -> Transaction:
        to = to or (ANNA,)
        if user:
            login = (user, site.passwords[user])
            return smtp_send(ask(587), user, to, content, tls="starttls", login=login)
        return smtp_send(ask(25), STRANGER, to, content)

    return send


@pytest.fixture
def has(site: Site, ask: Ask) -> Has:
    """Return a message that is there, or comes within some seconds."""

    def has(who: str, token: str, folder: str = "INBOX", wait: float = 20) -> bytes | None:
        return imap_find(ask(993), who, site.passwords[who], token, folder=folder, wait=wait)

    return has


@pytest.fixture
def filed(has: Has) -> Filed:
    """Return a message from the inbox or from Junk, as soon as it is in either."""

    def filed(who: str, token: str) -> bytes | None:
        for _attempt in attempts(20):
            for folder in ("INBOX", "Junk"):
                if found := has(who, token, folder=folder, wait=0):
                    return found
        return None

    return filed

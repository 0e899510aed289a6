"""What is shared by the tests before and after the adoption."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.letters import STRANGER
from ansible_collections.postamt.mail.tests.lib.site import Site


@pytest.fixture
def give(site: Site) -> Callable[[str], str]:
    """Send a message from outside to a local part of the domain; returns its token."""

    def give(name: str) -> str:
        token, address = new_token(), f"{name}@example.test"
        sent = smtp_send(site.endpoint(25), STRANGER, [address], message(STRANGER, address, token))
        assert sent.accepted, sent
        return token

    return give

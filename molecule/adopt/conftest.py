"""What is shared by the tests before and after the adoption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_send
from letters import STRANGER


@pytest.fixture
def give(site: Any) -> Callable[[str], str]:
    """Send a message from outside to a local part of the domain; returns its token."""

    def give(name: str) -> str:
        token, address = new_token(), f"{name}@example.test"
        sent = smtp_send(Endpoint(site.ipv4, 25, timeout=30), STRANGER, [address], message(STRANGER, address, token))
        assert sent.accepted, sent
        return token

    return give

"""The server elsewhere, and how the scenario's own is asked."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.tests.lib.elsewhere import OTHER
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Connect


@pytest.fixture(scope="session")
def other(connect: Connect) -> Host:
    """The server elsewhere."""
    host = connect("other.example.net")
    done = host.run(OTHER)
    assert done.rc == 0, done.stderr
    return host

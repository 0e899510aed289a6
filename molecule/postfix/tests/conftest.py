"""The server elsewhere, and how the scenario's own is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from elsewhere import OTHER


@pytest.fixture(scope="session")
def other(connect: Callable[[str], Any]) -> Any:
    """The server elsewhere."""
    host = connect("other.example.net")
    done = host.run(OTHER)
    assert done.rc == 0, done.stderr
    return host


@pytest.fixture
def ask(site: Any) -> Callable[[int], Endpoint]:
    """How a stranger or a user reaches a port, over IPv4."""
    return site.endpoint

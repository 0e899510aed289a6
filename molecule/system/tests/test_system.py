"""The whole stack, where accounts are the host's users."""

from __future__ import annotations

from typing import Any


def test_the_host_is_up(host: Any) -> None:
    assert host.run("systemctl is-system-running").stdout.strip() == "running"

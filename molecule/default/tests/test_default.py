"""The whole stack, on a host that has nothing yet."""

from __future__ import annotations

from typing import Any


def test_the_host_is_up(host: Any) -> None:
    assert host.run("systemctl is-system-running").stdout.strip() == "running"

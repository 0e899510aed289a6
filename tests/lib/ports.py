"""At which ports a host takes connections of others."""

from __future__ import annotations

from ansible_collections.postamt.mail.tests.lib.hosts import Host


def listening(host: Host) -> set[int]:
    """Ports at which anybody on a host listens for more than the host itself."""
    lines = [line.split()[3].rpartition(":") for line in host.check_output("ss -Hltn").splitlines()]
    return {int(port) for address, _colon, port in lines if not address.startswith(("127.", "[::1]"))}

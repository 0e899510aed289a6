# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records for the DNS, as concerns contribute them, and which addresses of a host belong there."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host

# Addresses that other networks cannot reach, or reach somebody else's host by: RFC 1918, 3927, 6598, 4193 and 4291
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Record:
    """One record: its owner's full name without the last dot, its type, and its data as a zone file has it."""

    owner: str
    kind: str
    data: str


def service(name: str, domain: str, port: int, target: str) -> Record:
    """Return the record that says where a domain's service is (RFC 2782); name: such as imaps."""
    return Record(f"_{name}._tcp.{domain}", "SRV", f"0 1 {port} {target}.")


def no_service(name: str, domain: str) -> Record:
    """Return the record that says that a domain has no such service."""
    return Record(f"_{name}._tcp.{domain}", "SRV", "0 0 0 .")


def address(owner: str, text: str) -> Record:
    return Record(owner, "A" if ipaddress.ip_address(text).version == 4 else "AAAA", text)


def text(owner: str, value: str) -> Record:
    """Return a TXT record: strings of at most 255 characters, which readers join."""
    return Record(owner, "TXT", " ".join(f'"{part}"' for part in re.findall(".{1,255}", value)))


def mailto(address: str) -> str:
    """Return a mail address as records name it to which reports go."""
    return f"mailto:{urllib.parse.quote(address, safe='@+=&$*~')}"


def joined(record: Record) -> str:
    """Return the value of a TXT record as text() took it."""
    return "".join(re.findall('"([^"]*)"', record.data))


def is_private(text: str) -> bool:
    return any(ipaddress.ip_address(text) in network for network in _PRIVATE)


def published(host: Host) -> list[str]:
    """Return the addresses of a host that others may know: no private one where there is a public one."""
    return [text for text in host.addresses if not is_private(text)] or list(host.addresses)

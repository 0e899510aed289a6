# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a resolver says of a name: whether there is an answer, and whether it has validated it (DNSSEC, RFC 4035)."""

from __future__ import annotations

import secrets
import socket
import struct
from dataclasses import dataclass

from .base import Endpoint, ProbeError

NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
CODES = {NOERROR: "NOERROR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", 5: "REFUSED"}
A, SOA, AAAA = 1, 6, 28
_RESPONSE, _RECURSE, _AUTHENTIC, _DO, _OPT = 0x8000, 0x0100, 0x0020, 0x8000, 41


@dataclass(frozen=True)
class DnsAnswer:
    """code: the response code. records: how many the answer has. validated: whether the resolver vouches for it."""

    code: int
    records: int
    validated: bool

    def __str__(self) -> str:
        return CODES.get(self.code, f"code {self.code}")


def dns_ask(endpoint: Endpoint, name: str, kind: int) -> DnsAnswer:
    """Ask a resolver over UDP, with the wish to see that it validates; raises ProbeError where it does not answer."""
    number = secrets.randbelow(1 << 16)
    labels = [label.encode("ascii") for label in name.split(".") if label]
    question = b"".join(bytes([len(label)]) + label for label in labels) + struct.pack(">BHH", 0, kind, 1)
    options = struct.pack(">BHHIH", 0, _OPT, 1232, _DO, 0)
    query = struct.pack(">HHHHHH", number, _RECURSE | _AUTHENTIC, 1, 0, 0, 1) + question + options
    asked = f"DNS question {name}"
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as link:
            link.settimeout(endpoint.timeout)
            link.connect((endpoint.host, endpoint.port))
            link.send(query)
            said = link.recv(4096)
    except OSError as error:
        raise ProbeError(endpoint, asked, error.strerror or error) from error
    if len(said) < 12 or not said[12:].lower().startswith(question.lower()):
        raise ProbeError(endpoint, asked, "not an answer to the question")
    found, bits, _questions, records = struct.unpack(">HHHH", said[:8])
    if found != number or not bits & _RESPONSE:
        raise ProbeError(endpoint, asked, "not an answer to the question")
    return DnsAnswer(bits & 0xF, records, bool(bits & _AUTHENTIC))

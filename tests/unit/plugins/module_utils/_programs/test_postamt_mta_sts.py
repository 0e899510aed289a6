# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Postfix is told of a destination: nothing, a domain's policy, or that DANE decides."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.zone
import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs import postamt_mta_sts
from ansible_collections.postamt.mail.plugins.module_utils._programs.postamt_mta_sts import Dane, answer

POLICY = b"OK secure match=mx.example.net servername=hostname"
PIN = "ab" * 32
SIGNED = ["mx.signed.example 60 IN A 192.0.2.1", "mx2.signed.example 60 IN A 192.0.2.2"]
TLSA = f"_25._tcp.mx.signed.example 60 IN TLSA 3 1 1 {PIN}"
BOTH = [f"signed.example 60 IN MX {number} {name}.signed.example" for number, name in ((10, "mx2"), (20, "mx"))]


class Resolver(asyncio.DatagramProtocol):
    """A resolver that has no keys, and is believed. broken: names for which it says SERVFAIL."""

    def __init__(self, records: list[str], signed: str, broken: str) -> None:
        self.zone = dns.zone.from_text("\n".join(records), ".", relativize=False, check_origin=False)
        self.signed = dns.name.from_text(signed)
        self.broken = dns.name.from_text(broken) if broken else None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = dns.message.from_wire(data)
        response = dns.message.make_response(asked, recursion_available=True)
        name, kind = asked.question[0].name, asked.question[0].rdtype
        if name == self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif found := self.zone.get_rrset(name, kind):
            response.answer.append(found)
        elif not any(node.is_subdomain(name) for node in self.zone.nodes):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if name.is_subdomain(self.signed):
            response.flags |= dns.flags.AD
        self.transport.sendto(response.to_wire(), addr)


def told(wanted: bytes, *records: str, policy: bytes = POLICY, broken: str = "") -> bytes:
    """Return the answer where the DNS has these records, and zone signed.example is signed."""
    zone = ["@ 60 IN SOA . . 1 2 3 4 5", "@ 60 IN NS .", *records]

    async def ask(request: bytes) -> bytes:
        assert request == b"postfix " + wanted
        return policy

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: Resolver(zone, "signed.example", broken), ("127.0.0.1", 0)
        )
        try:
            port: int = transport.get_extra_info("sockname")[1]
            return await answer(b"postfix " + wanted, ask, Dane("127.0.0.1", port))
        finally:
            transport.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    "wanted",
    ["[smtp.example.net]:587", "[192.0.2.1]", ".example.net", "a..example", "", "ä.example", f"{'a' * 64}.example"],
)
def test_what_has_no_policy_is_not_asked_for(wanted: str) -> None:
    async def ask(request: bytes) -> bytes:
        raise AssertionError(request)

    assert asyncio.run(answer(f"postfix {wanted}".encode(), ask, None)) == b"NOTFOUND "


@pytest.mark.parametrize("policy", [b"NOTFOUND ", b"TEMP later"])
def test_without_a_policy_nobody_asks_for_dane(policy: bytes) -> None:
    assert told(b"signed.example", policy=policy, broken="signed.example") == policy


@pytest.mark.parametrize("records", [BOTH, BOTH[1:], []], ids=["some servers", "its server", "no MX"])
def test_dane_decides_where_a_server_has_records(records: list[str]) -> None:
    own = [] if records else [f"signed.example 60 IN A 192.0.2.1\n_25._tcp.signed.example 60 IN TLSA 3 1 1 {PIN}"]
    assert told(b"signed.example", *records, *own, *SIGNED, TLSA) == b"OK dane-only"


@pytest.mark.parametrize(
    ("wanted", "records"),
    [
        ("signed.example", [*BOTH, *SIGNED]),
        ("signed.example", [*BOTH, *SIGNED, TLSA.replace("3 1 1", "1 1 1")]),
        ("signed.example", [*BOTH, *SIGNED, TLSA.replace("_25", "_26")]),
        ("signed.example", ["signed.example 60 IN MX 0 ."]),
        ("signed.example:26", [*BOTH, *SIGNED, TLSA]),
        # whoever changes the MX records of an unsigned zone may have a server with TLSA records
        ("else.example", ["else.example 60 IN MX 10 mx.signed.example", *SIGNED, TLSA]),
        ("signed.example", ["signed.example 60 IN MX 10 mx.else.example", "mx.else.example 60 IN A 192.0.2.1",
                            f"_25._tcp.mx.else.example 60 IN TLSA 3 1 1 {PIN}"]),
        ("nowhere.example", []),
    ],
    ids=["none", "not usable", "another port", "no mail", "asked port", "unsigned MX", "unsigned server", "no domain"],
)  # fmt: skip
def test_a_policy_counts_where_dane_says_nothing(wanted: str, records: list[str]) -> None:
    assert told(wanted.encode(), *records) == POLICY


def test_dane_of_another_port_counts_there() -> None:
    assert told(b"signed.example:26", *BOTH, *SIGNED, TLSA.replace("_25", "_26")) == b"OK dane-only"


@pytest.mark.parametrize("broken", ["signed.example", "mx.signed.example", "_25._tcp.mx.signed.example"])
def test_mail_waits_where_the_dns_does_not_say(broken: str) -> None:
    assert told(b"signed.example", *BOTH, *SIGNED, TLSA, broken=broken).startswith(b"TEMP ")


def test_mail_waits_where_the_daemon_fails_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_request: bytes) -> Any:
        raise ValueError("no such thing")

    async def sleeps(_request: bytes) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(postamt_mta_sts, "ANSWERS_WITHIN", 0.05)
    for policy in (fails, sleeps):
        assert asyncio.run(answer(b"postfix example.net", policy, None)).startswith(b"TEMP ")

"""A world with signed zones (DNSSEC) for hosts: a root with a key of its own, and zones below it.

Unbound serves them on loopback of each host, as name servers of the world would.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import shlex
import struct
import time
import types
import typing as t
from collections.abc import Collection, Mapping, Sequence

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ADDRESS = "127.0.0.54"
TTL = 60
_HIDDEN = "127.0.0.55"
_FOLDER = "/run/world-dns"
_UNIT = "world-dns"
_SOA = f"@ {TTL} IN SOA ns.example. hostmaster.example. 1 3600 600 86400 {TTL}\n@ {TTL} IN NS ns.example.\n"
_ECDSA = 13  # P-256 with SHA-256 (RFC 6605)
_OPTIONS = """\
    local-zone: "test." nodefault
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    do-daemonize: no
remote-control:
    control-enable: no
"""
# Hands questions on to a server, and answers later than that; over UDP.
_SLOWLY = """
import asyncio, sys
here, there, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])

class Answer(asyncio.DatagramProtocol):
    def __init__(self, question, give):
        self.question, self.give = question, give
    def connection_made(self, link):
        link.sendto(self.question)
        self.link = link
    def datagram_received(self, data, _server):
        asyncio.get_running_loop().call_later(delay, self.give, data)
        self.link.close()

class Questions(asyncio.DatagramProtocol):
    def connection_made(self, link):
        self.link, self.running = link, set()
    def datagram_received(self, data, client):
        loop = asyncio.get_running_loop()
        asked = lambda: Answer(data, lambda answer: self.link.sendto(answer, client))
        task = loop.create_task(loop.create_datagram_endpoint(asked, remote_addr=(there, 53)))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Questions, (here, 53))
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Runs(t.Protocol):
    """What a host has to do for a world (hosts.py)."""

    def run(self, command: str, *args: str) -> object: ...

    def check_output(self, command: str, *args: str) -> str: ...


def unbound(address: str, clients: str, *lines: str) -> str:
    """Return a configuration of Unbound for clients (a network) at an address; lines: further server options."""
    own = [f"interface: {address}", f"access-control: {clients} allow", *lines]
    return "\n".join(["server:", *(f"    {line}" for line in own), _OPTIONS])


def serve(
    hosts: Sequence[Runs],
    zones: Mapping[str, str],
    unsigned: Collection[str] = (),
    broken: Collection[str] = (),
    forged: Mapping[str, tuple[str, str]] = types.MappingProxyType({}),
    root: Signer | None = None,
) -> str:
    """Serve zones on hosts; returns the record of the root's key, by which a resolver trusts all of it.

    zones: lines of a zone file by the zone's name. unsigned: zones without signatures, which the root says. broken:
    zones whose signatures are no longer valid. forged: by zone, a text in its records, and what a liar says instead of
    it, who has no key. root: who signs the root; somebody new where not said.
    """
    above, config = _SOA, unbound(ADDRESS, "127.0.0.0/8", 'module-config: "iterator"')
    texts = {}
    for name, lines in zones.items():
        zone = dns.zone.from_text(_SOA + lines, f"{name}.", relativize=False, check_origin=False)
        above += f"{name}. {TTL} IN NS ns.example.\n"
        if name not in unsigned:
            signer = Signer(dns.name.from_text(name), age=7200 if name in broken else 0)
            above += f"{name}. {TTL} IN DS {sign(zone, signer)}\n"
        texts[name] = str(zone.to_text(relativize=False))
    for name, (right, wrong) in forged.items():
        assert right in texts[name]
        texts[name] = texts[name].replace(right, wrong)
    whole = dns.zone.from_text(above, ".", relativize=False, check_origin=False)
    anchor = f". IN DS {sign(whole, root or Signer(dns.name.root))}"
    texts["."] = str(whole.to_text(relativize=False))
    files = {}
    for name, text in texts.items():
        file = f"{_FOLDER}/{name.strip('.') or 'root'}.zone"
        config += f'auth-zone:\n    name: "{name}"\n    zonefile: "{file}"\n    for-upstream: yes\n'
        files[file] = text
    for host in hosts:
        host.check_output(f"mkdir -p {_FOLDER}")
        for file, text in {**files, f"{_FOLDER}/unbound.conf": config}.items():
            host.check_output("printf %%s %s > %s", text, file)
        start(host)
    return anchor


def trusting(anchor: str) -> dict[str, t.Any]:
    """Return the variables by which a site believes this world, and no other."""
    own = {"auto-trust-anchor-file": None, "trust-anchor": f'"{anchor}"'}
    return {"mail_resolver_forward": [ADDRESS], "unbound_settings": own}


def start(host: Runs, delay: float = 0) -> None:
    """Have the world answer, anew where it does. delay: seconds by which each answer comes later."""
    stop(host)
    address, options = ADDRESS, ""
    if delay:
        address, options = _HIDDEN, f"& exec python3 -c {shlex.quote(_SLOWLY)} {ADDRESS} {_HIDDEN} {delay}"
    host.check_output(f"sed -i 's/^    interface: .*/    interface: {address}/' {_FOLDER}/unbound.conf")
    command = f"/usr/sbin/unbound -d -c {_FOLDER}/unbound.conf {options}"
    host.check_output("systemd-run --quiet --unit=%s sh -c %s", _UNIT, command)


def stop(host: Runs) -> None:
    """End the world."""
    host.run(f"systemctl stop {_UNIT}; systemctl reset-failed {_UNIT}")


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclasses.dataclass
class Signer:
    """A zone's key. age: seconds since the signatures were made, which are valid for an hour."""

    origin: dns.name.Name
    age: int = 0
    private: ec.EllipticCurvePrivateKey = dataclasses.field(default_factory=_new_key)

    @property
    def public(self) -> bytes:
        """The key as data of a DNSKEY record (RFC 4034, 2.1)."""
        numbers = self.private.public_key().public_numbers()
        return struct.pack(">HBB", 257, 3, _ECDSA) + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    @property
    def tag(self) -> int:
        total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(self.public))
        return (total + (total >> 16)) & 0xFFFF

    def signature(self, owner: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rdata.Rdata:
        """Return the RRSIG of records (RFC 4034, 3.1)."""
        made = int(time.time()) - self.age - 60
        labels = len(owner) - 1 - owner.is_wild()
        head = (
            struct.pack(">HBBIIIH", rdataset.rdtype, _ECDSA, labels, rdataset.ttl, made + 3660, made, self.tag)
            + self.origin.to_digestable()
        )
        one = owner.to_digestable() + struct.pack(">HHI", rdataset.rdtype, dns.rdataclass.IN, rdataset.ttl)
        datas = sorted(rdata.to_digestable(self.origin) for rdata in rdataset)
        signed = head + b"".join(one + struct.pack(">H", len(data)) + data for data in datas)
        pair = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        value = head + b"".join(number.to_bytes(32, "big") for number in pair)
        return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RRSIG, value, 0, len(value))


def sign(zone: dns.zone.Zone, signer: Signer) -> str:
    """Sign a zone, its absent names and types included (NSEC); returns the data of the DS record for its parent."""
    assert zone.origin is not None
    key = f"257 3 {_ECDSA} {base64.b64encode(signer.public[4:]).decode()}"
    _add(zone, zone.origin, dns.rdata.from_text("IN", "DNSKEY", key))
    for name in [*zone.nodes]:  # Unbound proves no absence below a name that has no records of its own
        for depth in range(len(zone.origin) + 1, len(name)):
            if (above := name.split(depth)[1]) not in zone.nodes:
                _add(zone, above, dns.rdata.from_text("IN", "TXT", '"above others"'))
    names = sorted(zone.nodes)
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        kinds = {one.rdtype for one in zone.nodes[name]} | {dns.rdatatype.NSEC, dns.rdatatype.RRSIG}
        words = " ".join(dns.rdatatype.to_text(kind) for kind in sorted(kinds))
        _add(zone, name, dns.rdata.from_text("IN", "NSEC", f"{following} {words}"))
        delegated = name != zone.origin and dns.rdatatype.NS in kinds
        for rdataset in [*zone.nodes[name]]:
            if not (delegated and rdataset.rdtype == dns.rdatatype.NS):
                _add(zone, name, signer.signature(name, rdataset), rdataset.rdtype)
    digest = hashlib.sha256(zone.origin.to_digestable() + signer.public).hexdigest()
    return f"{signer.tag} {_ECDSA} 2 {digest}"


def _add(zone: dns.zone.Zone, name: dns.name.Name, rdata: dns.rdata.Rdata, covers: int = 0) -> None:
    zone.find_rdataset(name, rdata.rdtype, dns.rdatatype.RdataType(covers), create=True).add(rdata, TTL)

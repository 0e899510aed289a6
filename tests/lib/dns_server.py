"""A small name server on loopback: answers from zones, takes signed updates, and misbehaves when told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.zone

SOA = "@ 3600 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60\n@ 3600 IN NS ns.invalid.\n"


class DnsServer:
    """Serves zones at an address of loopback, over UDP and TCP at one port.

    zones: lines of a zone file by the zone's name; SOA and NS are added. keys: secrets in base64 by key name: who signs
    with one may update all zones. behaviour: by name (lower case, no last dot), or * for all: `silent`, `servfail`,
    `refused`, a number of seconds to be slow, or a function from the question to wire data (a lie). elsewhere: what is
    said of names in no zone. asked: the questions that came, as (name, kind).
    """

    def __init__(
        self,
        zones: Mapping[str, str],
        keys: Mapping[str, str] | None = None,
        behaviour: Mapping[str, str | float | Callable[[Any], bytes]] | None = None,
        elsewhere: str = "nxdomain",
    ) -> None:
        self.zones = {
            dns.name.from_text(name): dns.zone.from_text(SOA + lines, f"{name}.", relativize=False, check_origin=False)
            for name, lines in zones.items()
        }
        self.keyring = dns.tsigkeyring.from_text(dict(keys or {}))
        self.behaviour = dict(behaviour or {})
        self.elsewhere = elsewhere
        self.asked: list[tuple[str, str]] = []
        self.updates = 0  # messages that changed something
        self.before_update: Callable[[], None] = lambda: None  # what somebody else does just before one
        self._lock = threading.Lock()
        self._ends = threading.Event()

    def __enter__(self) -> DnsServer:
        self._tcp, self._udp = _sockets()
        self.port = self._tcp.getsockname()[1]
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ends.set()
        self._udp.sendto(b"", self._udp.getsockname())  # wakes the thread, as closing does not
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._udp.close()
        self._tcp.close()

    @property
    def resolver(self) -> str:
        """Its address, as the variable dns_resolvers takes it."""
        return f"127.0.0.1#{self.port}"

    def texts(self, name: str, kind: str) -> list[str]:
        """Return the records that it has of a name and type, as a zone file has them."""
        found = self._rdatas(dns.name.from_text(name), dns.rdatatype.from_text(kind))
        return sorted(one.to_text() for one in found)

    def add(self, name: str, kind: str, data: str) -> None:
        """Add a record, as somebody else does by hand."""
        owner = dns.name.from_text(name)
        zone = self._zone(owner)
        assert zone is not None
        rrset = dns.rrset.from_text(owner, 3600, "IN", kind, data)
        zone.find_rdataset(owner, rrset.rdtype, create=True).add(rrset[0], 3600)

    def put(self, name: str, kind: str, *records: str) -> None:
        """Have these records of a name and type, and no others."""
        owner = dns.name.from_text(name)
        self._zone(owner).delete_rdataset(owner, kind)
        for data in records:
            self.add(name, kind, data)

    # ---- sockets

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ends.is_set():
                wire, client = self._udp.recvfrom(65535)
                if self._ends.is_set():
                    return
                threading.Thread(target=self._over_udp, args=(wire, client), daemon=True).start()

    def _over_udp(self, wire: bytes, client: Any) -> None:
        answer = self._answer(wire)
        if answer is not None and len(answer) > 1232:
            short = dns.message.make_response(dns.message.from_wire(wire, keyring=self.keyring))
            short.flags |= dns.flags.TC
            answer = short.to_wire()
        if answer is not None:
            with contextlib.suppress(OSError):
                self._udp.sendto(answer, client)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ends.is_set():
                connection, _client = self._tcp.accept()
                threading.Thread(target=self._over_tcp, args=(connection,), daemon=True).start()

    def _over_tcp(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, struct.error), connection.makefile("rb") as stream:
            while header := stream.read(2):
                answer = self._answer(stream.read(*struct.unpack("!H", header)))
                if answer is not None:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    # ---- answers

    def _answer(self, wire: bytes) -> bytes | None:
        try:
            asked = dns.message.from_wire(wire, keyring=self.keyring)
        except dns.tsig.PeerBadKey:
            return None
        except (dns.message.UnknownTSIGKey, dns.tsig.BadSignature):
            return _not_signed(wire)
        response = dns.message.make_response(asked)
        if isinstance(asked, dns.update.UpdateMessage):
            response.set_rcode(self._update(asked) if asked.had_tsig else dns.rcode.REFUSED)
            return response.to_wire()
        question = asked.question[0]
        name = str(question.name).rstrip(".").lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype)))
        behaviour = self.behaviour.get(name, self.behaviour.get("*"))
        if behaviour == "silent":
            return None
        if callable(behaviour):
            return behaviour(asked)
        if isinstance(behaviour, int | float):
            time.sleep(behaviour)
        if behaviour in ("servfail", "refused"):
            response.set_rcode(dns.rcode.from_text(str(behaviour)))
        else:
            self._fill(response, question.name, question.rdtype)
        return response.to_wire(max_size=65535)

    def _fill(self, response: Any, name: Any, kind: Any) -> None:
        """Put in what there is, along aliases in all zones."""
        response.flags |= dns.flags.AA | dns.flags.RA
        for _link in range(20):
            zone = self._zone(name)
            if zone is None:
                response.set_rcode(dns.rcode.from_text(self.elsewhere))
                return
            source = self._source(zone, name)
            found, alias = self._rdatas(source, kind), self._rdatas(source, dns.rdatatype.CNAME)
            if found or not alias:
                break
            response.answer.append(dns.rrset.from_rdata_list(name, 3600, alias))
            name = alias[0].target
            if kind == dns.rdatatype.CNAME:
                return
        if found:
            response.answer.append(dns.rrset.from_rdata_list(name, 3600, found))
            return
        response.authority.append(
            dns.rrset.from_rdata_list(zone.origin, 60, self._rdatas(zone.origin, dns.rdatatype.SOA))
        )
        if not self._exists(zone, source):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _source(self, zone: Any, name: Any) -> Any:
        """Return the name whose records are the answer: the name itself, or the wildcard that stands for it."""
        around = name
        while not self._exists(zone, around):
            around = around.parent()
        wildcard = dns.name.from_text("*", around)
        return wildcard if around != name and self._exists(zone, wildcard) else name

    @staticmethod
    def _exists(zone: Any, name: Any) -> bool:
        return any(one.is_subdomain(name) for one in zone.nodes if zone.nodes[one].rdatasets)

    def _zone(self, name: Any) -> Any:
        around = [origin for origin in self.zones if name.is_subdomain(origin)]
        return self.zones[max(around, key=len)] if around else None

    def _rdatas(self, name: Any, kind: Any) -> list[Any]:
        zone = self._zone(name)
        found = zone.get_rdataset(name, kind) if zone is not None else None
        return list(found or ())

    # ---- updates (RFC 2136, 3.2 and 3.4)

    def _update(self, asked: Any) -> Any:
        self.before_update()
        zone = self.zones.get(asked.zone[0].name)
        if zone is None:
            return dns.rcode.NOTAUTH
        with self._lock:
            for one in asked.prerequisite:
                alike = [other for other in asked.prerequisite if (other.name, other.rdtype) == (one.name, one.rdtype)]
                if wrong := self._unmet(one, {rdata for other in alike for rdata in other}):
                    return wrong
            for one in asked.update:
                self._change(zone, one)
            self.updates += 1
        return dns.rcode.NOERROR

    def _unmet(self, one: Any, whole: set[Any]) -> Any:
        there = self._rdatas(one.name, one.rdtype)
        if one.deleting == dns.rdataclass.NONE:  # must be absent
            return dns.rcode.YXRRSET if there else 0
        if one.deleting == dns.rdataclass.ANY:  # must be there
            return 0 if there else dns.rcode.NXRRSET
        return 0 if set(there) == whole else dns.rcode.NXRRSET

    def _change(self, zone: Any, one: Any) -> None:
        if one.deleting == dns.rdataclass.ANY:
            zone.delete_rdataset(one.name, one.rdtype)
            return
        there = zone.get_rdataset(one.name, one.rdtype)
        if one.deleting == dns.rdataclass.NONE:
            for rdata in one:
                if there is not None and rdata in there:
                    there.remove(rdata)
            if there is not None and not there:
                zone.delete_rdataset(one.name, one.rdtype)
            return
        for rdata in one:
            zone.find_rdataset(one.name, one.rdtype, create=True).add(rdata, one.ttl)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """Return sockets for TCP and UDP at one port that is free for both."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp


def _not_signed(wire: bytes) -> bytes:
    """Return the answer to who signs with a key that is not known: the question, and NOTAUTH."""
    end = 12
    while wire[end]:
        end += wire[end] + 1
    operation = wire[2] & 0x78
    return wire[:2] + bytes([0x80 | operation, 9, 0, 1, 0, 0, 0, 0, 0, 0]) + wire[12 : end + 5]


@contextlib.contextmanager
def silent_port() -> Iterator[str]:
    """Yield the address of a resolver that takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1#{bound.getsockname()[1]}"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A name server that takes signed updates: what it has, and how it is told to change that."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t
from collections.abc import Callable, Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._model.name_server import NameServer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import DnsError, text_of

T = t.TypeVar("T")
_PATIENCE = 10.0  # seconds for an answer
_AT_ONCE = 8  # questions


class UpdateRefused(DnsError):
    """The server itself says, signed, that it has changed nothing."""


@dataclasses.dataclass(frozen=True)
class Change:
    """What happens to the records of a name and type. there: what is there now. Data is dnspython's."""

    owner: str
    kind: str
    there: list[t.Any]
    add: dict[Record, t.Any]
    delete: dict[Record, t.Any]


class Server:
    """All questions are signed, so that nobody else answers them; the key is in no message of an error."""

    def __init__(self, said: NameServer) -> None:
        import dns.name
        import dns.tsig

        self._said = said
        self.title = f"name server {said.server}" + (f" port {said.port}" if said.port != 53 else "")
        self._key = dns.tsig.Key(said.key_name, said.key_secret, dns.name.from_text(said.key_algorithm.lower()))

    def each(self, function: Callable[[t.Any], T], items: Iterable[t.Any]) -> list[T]:
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(function, items))

    def zone_of(self, owner: str) -> str:
        """Return the server's zone that a name is in; empty where it has none."""
        import dns.flags
        import dns.name
        import dns.rcode
        import dns.rdatatype

        name = dns.name.from_text(owner)
        while len(name.labels) > 2:
            response = self._asked(name, "SOA")
            if response.rcode() in (dns.rcode.SERVFAIL, dns.rcode.FORMERR):
                raise DnsError(f"{self.title}: {owner} SOA: {dns.rcode.to_text(response.rcode())}")
            if not response.flags & dns.flags.AA:
                return ""
            for rrset in (*response.answer, *response.authority):
                if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
                    return str(rrset.name).rstrip(".").lower()
            name = name.parent()
        return ""

    def records(self, zone: str, owner: str, kind: str, whole: bool) -> tuple[list[t.Any], str]:
        """Return what the server has of a name and type, and of which name it is an alias.

        whole: also where its answer is that of a wildcard, such as *.example.org; else such a name has nothing.
        """
        import dns.name

        name, origin = dns.name.from_text(owner), dns.name.from_text(zone)
        found = self._records(name, kind)
        above = name
        while not whole and found != ([], "") and above != origin:
            above = above.parent()
            if self._records(dns.name.from_text("*", above), kind) == found:
                return [], ""
        return found

    def _records(self, name: t.Any, kind: str) -> tuple[list[t.Any], str]:
        import dns.rcode
        import dns.rdatatype

        response = self._asked(name, kind)
        if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise DnsError(f"{self.title}: {name} {kind}: {dns.rcode.to_text(response.rcode())}")
        own = [rrset for rrset in response.answer if rrset.name == name]
        alias = [str(rrset[0].target).rstrip(".") for rrset in own if rrset.rdtype == dns.rdatatype.CNAME]
        found = [one for rrset in own if rrset.rdtype == dns.rdatatype.from_text(kind) for one in rrset]
        return sorted(found, key=self.key), alias[0] if alias else ""

    def parsed(self, record: Record) -> t.Any:
        """Return a record's data as dnspython has it."""
        import dns.rdata

        return dns.rdata.from_text("IN", record.kind, record.data)

    def check(self, record: Record) -> None:
        """Raise ValueError where a record can be none in the DNS."""
        import dns.exception
        import dns.name

        try:
            dns.name.from_text(record.owner)
            self.parsed(record)
        except (dns.exception.DNSException, NotImplementedError) as error:
            raise ValueError from error

    def key(self, data: t.Any) -> t.Any:
        """Return what two records have in common that mean the same."""
        if data.rdtype == 16:  # TXT: readers join its strings
            return b"".join(data.strings)
        return data.to_digestable()

    def text(self, data: t.Any) -> str:
        """Return a text (TXT) as answers of resolvers have it."""
        return text_of(data)

    def update(self, zone: str, changes: Iterable[Change], ttl: int) -> bool:
        """Change records where all of them are still as they were read; tell whether they were."""
        import dns.name
        import dns.rcode
        import dns.update

        message = dns.update.UpdateMessage(f"{zone}.", keyring=self._key)
        for change in changes:
            name = dns.name.from_text(change.owner)
            if change.there:
                message.present(name, *change.there)
            else:
                message.absent(name, change.kind)
            if change.add:
                message.absent(name, "CNAME")
            for data in change.delete.values():
                message.delete(name, data)
            for data in change.add.values():
                message.add(name, ttl, data)
        answer = self._exchanged(message).rcode()
        if answer in (dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.YXDOMAIN, dns.rcode.NXDOMAIN):
            return False
        if answer != dns.rcode.NOERROR:
            raise UpdateRefused(f"{self.title} does not change zone {zone}: {dns.rcode.to_text(answer)}")
        return True

    def _asked(self, name: t.Any, kind: str) -> t.Any:
        import dns.message

        message = dns.message.make_query(name, kind, flags=0)  # of its own zones: nothing is asked for us elsewhere
        message.use_tsig(self._key)
        return self._exchanged(message)

    def _exchanged(self, message: t.Any) -> t.Any:
        """Return the answer to a message, once it is known to be the server's."""
        import dns.exception
        import dns.query
        import dns.rcode
        import dns.tsig

        words = {
            dns.tsig.PeerBadKey: "it does not know the key",
            dns.tsig.PeerBadSignature: "its key is another one",
            dns.tsig.PeerBadTime: "its clock differs from the controller's",
            dns.exception.FormError: "its answer is not signed with it, or makes no sense",
            EOFError: "it ended the connection",
            dns.exception.Timeout: f"no answer within {_PATIENCE:g} seconds",
        }
        try:
            answer = dns.query.tcp(message, self._said.server, timeout=_PATIENCE, port=self._said.port)
        except OSError as error:
            raise DnsError(f"{self.title} cannot be reached: {error.strerror or error}") from None
        except (dns.exception.DNSException, EOFError) as error:
            why = next((text for kind, text in words.items() if isinstance(error, kind)), type(error).__name__)
            raise DnsError(f"{self.title}, with key {self._said.key_name}: {why}") from None
        if not answer.had_tsig:
            said = dns.rcode.to_text(answer.rcode())
            raise DnsError(f"{self.title}, with key {self._said.key_name}: its answer is not signed with it ({said})")
        return answer

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send the site's records to a name server (RFC 2136), signed (RFC 8945); records of others are never touched.

The state folder remembers what was sent. Deleted is only what is remembered and no longer wanted. Each update says what
must be there still, so that what somebody else changes meanwhile is not lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import typing as t
from collections.abc import Iterable, Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import DnsUpdates, Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import _exchanger_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_dmarc, dns_text, stored_dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import DnsError, need_dnspython
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import quoted
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_wire import Change, Server, UpdateRefused
from ansible_collections.postamt.mail.plugins.plugin_utils._run.spf import Ask
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

FILE = "dns.json"  # in the state folder: the records that were sent
_AT_ONCE = 40  # sets of records in one message
_TRIES = 4  # while somebody else changes the same records
Place = tuple[str, str]  # a name and a type


@dataclasses.dataclass(frozen=True)
class Refused:
    """A record that could only do harm beside somebody else's."""

    owner: str
    kind: str
    why: str


@dataclasses.dataclass
class Result:
    added: list[str] = dataclasses.field(default_factory=list)
    deleted: list[str] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


class Push:
    """One push. check: only say what would be sent. ask: the resolvers, of names that other servers may have."""

    def __init__(self, site: Site, state: State, check: bool, ask: Ask | None = None) -> None:
        need_dnspython()
        self._site, self._state, self._check, self._ask = site, state, check, ask
        self._said = t.cast(DnsUpdates, site.of(Variables).mail_dns_update)
        self._ttl = site.of(Variables).mail_dns_ttl
        self._server = Server(self._said)
        # Who has not been seen has no addresses here, and keeps those in the DNS.
        unseen = [host for host in site.hosts.values() if not host.addresses]
        self._kept = {str(host.name) for host in unseen} | ({str(site.server_name)} if unseen else set())
        # Whose key is not known keeps its TLSA records, too.
        self._kept_tlsa = {
            exchangers.owner(str(host.name))
            for host in site.hosts_with("mail_mx")
            if _exchanger_keys.wanted(site, host) is None
        }
        self._result = Result()
        self._staying: set[str] = set()

    def run(self) -> Result:
        with contextlib.nullcontext() if self._check else self._state.locked():
            self._ours = self._remembered()
            self._keys = self._kept_keys()
            self._wanted = {record for domain in self._site.domains for record in zone.records(self._site, domain)}
            places = {(record.owner, record.kind) for record in self._wanted | self._ours}
            zones = self._zones(sorted({owner for owner, _kind in places}))
            for name in sorted(set(filter(None, zones.values()))):
                inside = sorted(place for place in places if zones[place[0]] == name)
                for start in range(0, len(inside), _AT_ONCE):
                    self._bring(name, inside[start : start + _AT_ONCE])
        self._note_staying()
        return self._result

    def _kept_keys(self) -> stored_dkim_keys.Keys:
        """Read the keys under the lock, since another run may have changed them; the records follow from these."""
        signed = stored_dkim_keys.signed_domains(self._site)
        try:
            kept = stored_dkim_keys.read(self._state)
        except StateError:
            if signed:
                raise
            return {}
        self._site.dkim_keys = {name: kept.get(name) or self._site.dkim_keys[name] for name in signed}
        return kept

    def _note_staying(self) -> None:
        if self._staying:
            listed = ", ".join(sorted(self._staying)[:5])
            more = f" and {len(self._staying) - 5} more" if len(self._staying) > 5 else ""
            self._result.notes.append(
                f"the DKIM records {listed}{more} stay, since mail signed with their keys may be on its way: remove "
                "them by hand once none is (where the site still signs, dkim_step=withdraw does so)"
            )

    def _zones(self, owners: list[str]) -> dict[str, str]:
        """Return the zone of each name; empty where the server has none, or may not change it."""
        if self._said.zones:
            found = {owner: _around(owner, self._said.zones) for owner in owners}
        else:
            found = dict(zip(owners, self._server.each(self._server.zone_of, owners), strict=True))
        missing = [owner for owner in owners if not found[owner]]
        if missing:
            listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            self._result.notes.append(f"{self._server.title} has no zone for {listed}: set these records elsewhere")
        return found

    def _bring(self, name: str, places: list[Place]) -> None:
        """Bring some of a zone's records to what is wanted."""
        for tried in range(_TRIES):
            refused: list[Refused] = []
            # A name whose records are those of a wildcard has none of its own, or just the same: one of two tries fits.
            compared = self._compared(name, places, refused, whole=bool(tried % 2))
            changes = [change for change in compared if change.add or change.delete]
            if self._check or not changes or self._sent(name, changes):
                break
        else:
            raise DnsError(
                f"{self._server.title}: somebody else is changing the same records of {name}: run again later"
            )
        self._result.refused += refused
        for change in changes:
            self._result.added += [_line(record) for record in change.add]
            self._result.deleted += [_line(record) for record in change.delete]

    def _compared(self, name: str, places: list[Place], refused: list[Refused], whole: bool) -> Iterator[Change]:
        answers = self._server.each(lambda place: self._server.records(name, place[0], place[1], whole), places)
        for (owner, kind), (there, alias) in zip(places, answers, strict=True):
            wanted = self._of(self._wanted, owner, kind)
            if alias:
                if wanted:
                    why = f"{owner} is an alias (CNAME) of {alias}, and can have no records beside it"
                    refused.append(Refused(owner, kind, f"{why}: remove the CNAME"))
                continue
            known = {self._server.key(one): one for one in there}
            add = {record: data for record, data in wanted.items() if self._server.key(data) not in known}
            keys = {self._server.key(data) for data in wanted.values()}
            former = {
                record: known[self._server.key(data)]
                for record, data in self._of(self._ours, owner, kind).items()
                if self._server.key(data) in known and self._server.key(data) not in keys
            }
            if kind in ("A", "AAAA") and owner in self._kept:
                former = {}
            if kind == "TLSA" and owner in self._kept_tlsa:
                add = former = {}
            if former and not wanted and not self._may_go(owner):
                self._staying.add(owner)
                former = {}
            others = [one for one in there if one not in former.values() and self._server.key(one) not in keys]
            add = {record: data for record, data in add.items() if not self._clashes(record, data, others, refused)}
            add = {record: data for record, data in add.items() if not self._weakens(record, data, there, refused)}
            if not add and kind == "TXT" and any(one.owner == owner and one.kind == kind for one in refused):
                former = {}  # better the old text than none
            yield Change(owner, kind, there, add, former)

    def _may_go(self, owner: str) -> bool:
        """Tell whether nobody needs a record any more: of a key, only once it was withdrawn."""
        selector, sign, domain = owner.partition("._domainkey.")
        keys = self._keys.get(Domain(domain))
        return not sign or (keys is not None and selector.lower() not in map(str.lower, keys.selectors()))

    def _clashes(self, record: Record, data: t.Any, others: Iterable[t.Any], refused: list[Refused]) -> bool:
        """Tell whether a text would stand beside somebody else's of the same purpose, and both would be void."""
        if record.kind != "TXT":
            return False
        purpose = dns_text.purpose(record.owner, self._server.text(data))
        for other in map(self._server.text, others):
            if purpose in dns_text.TITLES and dns_text.purpose(record.owner, other) == purpose:
                what = f"{dns_text.TITLES[purpose]} record that this site has not sent ({quoted(other)})"
                why = (
                    f"{record.owner} has {what}, and two of them are as good as none: remove it, or keep it as your own"
                )
                refused.append(Refused(record.owner, record.kind, why))
                return True
        return False

    def _weakens(self, record: Record, data: t.Any, there: Iterable[t.Any], refused: list[Refused]) -> bool:
        """Tell whether a domain has a stricter policy (DMARC) from a name above it, as long as it has none itself."""
        if record.kind != "TXT" or self._ask is None:
            return False
        texts = [self._server.text(one) for one in (data, *there)]
        new, *old = [dns_text.purpose(record.owner, text) == "dmarc" for text in texts]
        if not new or any(old):
            return False
        why = dns_dmarc.inherited(record.owner, texts[0], self._ask)
        if why:
            refused.append(Refused(record.owner, record.kind, why))
        return bool(why)

    def _of(self, records: Iterable[Record], owner: str, kind: str) -> dict[Record, t.Any]:
        found = sorted((one for one in records if (one.owner, one.kind) == (owner, kind)), key=lambda one: one.data)
        return {record: self._server.parsed(record) for record in found}

    def _sent(self, name: str, changes: list[Change]) -> bool:
        """Send an update; tell whether the records were still as they had been read."""
        adding = set(itertools.chain.from_iterable(change.add for change in changes))
        deleting = set(itertools.chain.from_iterable(change.delete for change in changes))
        self._remember(self._ours | adding)  # first: a run that ends here must know what is its own
        try:
            done = self._server.update(name, changes, self._ttl)
        except UpdateRefused:  # after any other error, such as silence, the records may be there
            self._remember(self._ours)
            raise
        self._ours = (self._ours | adding) - deleting if done else self._ours
        self._remember(self._ours)
        return done

    def _remembered(self) -> set[Record]:
        place = self._state.path(FILE)
        try:
            found = {_record(item) for item in json.loads(self._state.read(FILE) or b"[]")}
            for record in found:
                self._server.check(record)
            return found
        except (ValueError, TypeError, RecursionError):
            wrong = (
                f"{place} must be a list of records in JSON: restore it, or remove it and delete old records by hand"
            )
            raise StateError(wrong) from None

    def _remember(self, records: set[Record]) -> None:
        listed = sorted([record.owner, record.kind, record.data] for record in records)
        self._state.write(FILE, (json.dumps(listed, indent=1) + "\n").encode(), secret=False)


def _record(item: object) -> Record:
    """Return a record of what was sent; raises ValueError."""
    if not isinstance(item, list) or [type(part) for part in item] != [str] * 3:
        raise ValueError
    return Record(*item)


def _around(owner: str, zones: Iterable[str]) -> str:
    around = [str(name) for name in zones if owner == name or owner.endswith(f".{name}")]
    return max(around, key=len, default="")


def _line(record: Record) -> str:
    return f"{record.owner} {record.kind} {record.data}"

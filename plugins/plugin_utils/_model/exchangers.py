# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys that mail exchangers show at port 25, and TLSA records that name them (RFC 6698, RFC 7672)."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t
from collections.abc import Collection, Mapping

KEY_DIGEST = re.compile("[0-9a-f]{64}")  # SHA-256 of a public key
_MATCHING: dict[str, t.Callable[[bytes], str]] = {
    "0": bytes.hex,
    "1": lambda data: hashlib.sha256(data).hexdigest(),
    "2": lambda data: hashlib.sha512(data).hexdigest(),
}
_TRUST_ANCHOR, _END_ENTITY = "2", "3"
_USABLE = re.compile(rf"([{_TRUST_ANCHOR}{_END_ENTITY}]) ([01]) ([012]) ([0-9a-f]+)")  # by SMTP (RFC 7672, 3.1)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate and its public key (SubjectPublicKeyInfo), in DER."""

    whole: bytes
    key: bytes

    @property
    def key_digest(self) -> str:
        """The SHA-256 of the public key in hexadecimal, as TLSA 3 1 1 has it."""
        return hashlib.sha256(self.key).hexdigest()

    def fits(self, selector: str, matching: str, data: str) -> bool:
        return _MATCHING[matching]((self.whole, self.key)[int(selector)]) == data


@dataclasses.dataclass(frozen=True)
class Shown:
    """What port 25 shows to one kind of client: the certificate first, then those above it.

    own: whether a site's CA has issued it.
    """

    chain: tuple[Certificate, ...]
    own: bool = False

    @property
    def key_digest(self) -> str:
        return self.chain[0].key_digest

    def fits(self, record: str) -> bool:
        """Tell whether a TLSA record, as canonical() returns it, lets a client accept this chain."""
        found = _USABLE.fullmatch(record)
        if not found:
            return False
        usage, *rest = found.groups()
        return any(one.fits(*rest) for one in (self.chain[:1] if usage == _END_ENTITY else self.chain))


@dataclasses.dataclass(frozen=True)
class Known:
    """What earlier runs have seen of an exchanger's TLSA records.

    told: digests of keys that its zone had, so that somebody may have published them. shown: digests of keys that the
    DNS had, and since when, in seconds since the epoch. ttl: for how many seconds resolvers keep older answers.
    """

    told: frozenset[str] = frozenset()
    shown: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ttl: int = 0

    @property
    def is_bound(self) -> bool:
        """Tell whether other servers may know a record, so that an unknown key would keep their mail away."""
        return bool(self.told or self.shown)

    def usable_from(self, digest: str) -> int | None:
        """Return when every resolver knows the record of a key; None where the DNS or the zone did not have it.

        What the DNS had may come from a resolver that remembers it after it has left the zone.
        """
        since = self.shown.get(digest) if digest in self.told else None
        return None if since is None else since + 2 * self.ttl

    def usable(self, now: float) -> list[str]:
        """Return the keys that an exchanger may take."""
        return sorted(one for one in self.told if (begin := self.usable_from(one)) is not None and now >= begin)


def owner(host_name: str) -> str:
    """Return the name at which other servers look for the TLSA records of an exchanger."""
    return f"_25._tcp.{host_name}"


def data(digest: str) -> str:
    """Return the record of a key: DANE-EE, of the public key, SHA-256."""
    return f"3 1 1 {digest}"


def canonical(text: str) -> str:
    """Return a record's data in one spelling; hexadecimal digits may stand in several words."""
    words = text.lower().split()
    return " ".join([*words[:3], "".join(words[3:])])


def is_usable(record: str) -> bool:
    """Tell whether servers that send mail act on a record at all."""
    return bool(_USABLE.fullmatch(record))


def digest_of(record: str) -> str:
    """Return the digest of a record that data() could have made, else nothing."""
    found = re.fullmatch(f"3 1 1 ({KEY_DIGEST.pattern})", record)
    return found[1] if found else ""


def wanted(shown: Collection[Shown], coming: Collection[str], known: Known, replaced: bool) -> list[str]:
    """Return the digests of the keys that the zone has to name; none where the key is about to change.

    coming: those of keys that come next. replaced: whether another certificate is to come where the site's CA has
    issued one.
    """
    lasting = {one.key_digest for one in shown if not (replaced and one.own) or one.key_digest in known.told}
    return sorted(lasting | set(coming)) if lasting else []

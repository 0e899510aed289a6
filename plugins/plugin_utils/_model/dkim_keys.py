# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys by which a domain's mail is signed (DKIM: RFC 6376, RFC 8301, RFC 8463), and what the DNS says of them.

Nothing here reads or writes a file. No message quotes a key, and no repr() shows one.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import re
import string
import typing as t
from collections.abc import Collection, Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain, Refused

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
except ImportError:  # ansible-core brings it; only its import test has none
    pass

Algorithm = t.Literal["rsa", "ed25519"]
Role = t.Literal["signing", "next", "former"]
ROLES: tuple[Role, ...] = ("signing", "next", "former")
RSA_BITS = 2048
RSA_BETWEEN = range(1024, 4097)  # what each verifier has to take (RFC 8301, 3.2)
# RFC 6376, 3.1: sub-domain *( "." sub-domain ), as RFC 5321 has it
SELECTOR = re.compile(r"(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)*(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")
LONGEST_NAME = 253
_MADE = {"rsa": "rsa", "ed25519": "ed"}  # what a selector begins with that is made here
LONGEST_DOMAIN = LONGEST_NAME - len("rsa20261128a._domainkey.")

_SECONDS = range(2**35)  # to the year 3058: later ones are no dates everywhere

PrivateKey = t.Union["rsa.RSAPrivateKey", "ed25519.Ed25519PrivateKey"]


def name_of(selector: str, domain: str) -> str:
    """Return the name in the DNS at which a key's record is."""
    return f"{selector}._domainkey.{domain}"


@dataclasses.dataclass(frozen=True)
class Key:
    """A private key and the selector by which verifiers find its public half; private: PKCS#8 in PEM."""

    algorithm: Algorithm
    selector: str
    private: str = dataclasses.field(repr=False)

    def record(self) -> str:
        """Return the text of the TXT record."""
        return f"v=DKIM1; k={self.algorithm}; p={_public(self.private)}"

    def public(self) -> bytes:
        """Return what the record says in p=."""
        return base64.b64decode(_public(self.private))

    def for_rspamd(self) -> str:
        """Return the private key as Rspamd reads it: RSA in PEM, Ed25519 as the base64 of seed and public key."""
        key = _loaded(self.private)
        if isinstance(key, rsa.RSAPrivateKey):
            return self.private
        return base64.b64encode(_seed(key) + self.public()).decode("ascii")


@dataclasses.dataclass(frozen=True)
class KeySet:
    """The keys that sign together: RSA and Ed25519, or one of them where they were made elsewhere.

    date: YYYYMMDD, the day on which they were made or taken over. since: the second (UTC) from which on they have their
    present role, None until a run has deployed it.
    """

    date: str
    keys: tuple[Key, ...]
    since: int | None = None

    def selectors(self) -> tuple[str, ...]:
        return tuple(key.selector for key in self.keys)


@dataclasses.dataclass(frozen=True)
class DomainKeys:
    """A domain's keys by their role. next: published, not signing yet. former: published, no longer signing.

    kept: whether they are in the state folder; those that are not are made up, and must not be published.
    """

    signing: KeySet
    next: KeySet | None = None
    former: KeySet | None = None
    kept: bool = True

    def sets(self) -> Iterator[tuple[Role, KeySet]]:
        for role in ROLES:
            keys = getattr(self, role)
            if keys is not None:
                yield role, keys

    def selectors(self) -> set[str]:
        return {selector for _role, keys in self.sets() for selector in keys.selectors()}

    def records(self, domain: str) -> list[tuple[str, str]]:
        """Return name and text of each record."""
        return [pair for _role, keys in self.sets() for pair in records(keys, domain)]

    def deployed(self, now: int) -> DomainKeys:
        """Return the keys after a run that has deployed them."""
        dated = {role: dataclasses.replace(keys, since=now) for role, keys in self.sets() if keys.since is None}
        return dataclasses.replace(self, **t.cast(dict[str, t.Any], dated))

    def published(self, keys: KeySet, now: int) -> DomainKeys:
        """Return the keys with a next set; what is published needs no run."""
        return dataclasses.replace(self, next=dataclasses.replace(keys, since=now))

    def signed(self) -> DomainKeys:
        """Return the keys after the next set has begun to sign."""
        if self.next is None or self.former is not None:
            raise ValueError("there is no next set, or a former one that would be lost")
        signing, former = (dataclasses.replace(keys, since=None) for keys in (self.next, self.signing))
        return dataclasses.replace(self, signing=signing, next=None, former=former)

    def withdrawn(self) -> DomainKeys:
        """Return the keys without the former set."""
        return dataclasses.replace(self, former=None)


class MadeUp(dict[Domain, DomainKeys]):
    """Keys outside a run, for tests and filters: the same ones for each domain, made when somebody asks."""

    def __missing__(self, domain: Domain) -> DomainKeys:
        return made_up()


@functools.cache
def made_up(date: str = "20000101") -> DomainKeys:
    """Return keys that nobody keeps, the same ones for as long as this process lives; date: as in their selectors."""
    return DomainKeys(new_set(date), kept=False)


def records(keys: KeySet, domain: str) -> list[tuple[str, str]]:
    """Return name and text of each record of a set."""
    return [(name_of(key.selector, domain), key.record()) for key in keys.keys]


def tags(text: str, packed: Collection[str] = ("p",)) -> list[tuple[str, str]]:
    """Return names and values of a record's tags (RFC 6376, 3.2), without the white space that may be around them.

    packed: the tags in which it means nothing; in a list it may be around the colons (3.6.1).
    """
    pairs = [tuple(map(str.strip, part.split("=", 1))) for part in text.split(";") if part.strip()]
    return [(one[0], _plain("".join(one[1:]), one[0] in packed)) for one in pairs]


def _plain(value: str, packed: bool) -> str:
    return "".join(value.split()) if packed else re.sub(r"\s*:\s*", ":", value)


def fault(ours: str, theirs: str) -> str:
    """Return what keeps a record from showing the key of ours, as verifiers read it (RFC 6376, 3.6.1).

    It is the end of a sentence whose subject is the record; empty where the record shows the key.
    """
    pairs = tags(theirs)
    said, wanted = dict(pairs), dict(tags(ours))
    odd = any("=" not in part for part in theirs.split(";") if part.strip())
    if odd or len(said) != len(pairs) or "v" in [name for name, _value in pairs[1:]]:
        return "cannot be read: it must begin with v=DKIM1, and have each tag once"
    if said.get("v", "DKIM1") != "DKIM1" or "p" not in said:
        return "is no DKIM key"
    if not said["p"]:
        return "says that the key is revoked (p= is empty)"
    algorithm = wanted.get("k", "rsa")
    if said.get("k", "rsa") != algorithm:
        return f"is for another algorithm than {algorithm} (k=)"
    if "sha256" not in said.get("h", "sha256").split(":"):
        return "does not allow SHA-256 (h=)"
    if not {"*", "email"} & set(said.get("s", "*").split(":")):
        return "is not for mail (s=)"
    if "y" in said.get("t", "").split(":"):
        return "says that signatures are only a test (t=y)"
    try:
        same = base64.b64decode(said["p"], validate=True) == base64.b64decode(wanted["p"])
    except binascii.Error:
        same = False
    return "" if same else "has another key (p=)"


def new_set(date: str, taken: Collection[str] = ()) -> KeySet:
    """Make a key of each algorithm; taken: selectors that the domain has already."""
    known = {selector.lower() for selector in taken}
    names = {algorithm: f"{word}{date}" for algorithm, word in _MADE.items()}
    letter = next(more for more in _letters() if not known & {f"{name}{more}" for name in names.values()})
    made: dict[str, PrivateKey] = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    return KeySet(date, tuple(_key(key, names[algorithm] + letter) for algorithm, key in made.items()))


def _letters() -> Iterator[str]:
    yield ""
    yield from string.ascii_lowercase
    yield from (f"z{number}" for number in range(10**6))  # nobody makes so many on one day


def key_from(content: bytes, selector: str) -> Key:
    """Return a key that somebody has made elsewhere, from its file; raises Refused.

    RSA in PEM (PKCS#1, PKCS#8), as OpenDKIM and Rspamd keep it; Ed25519 in PEM, or in base64 as Rspamd writes it.
    """
    try:
        key = _of_base64(content) or serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise Refused("is protected by a pass phrase: take that away (ansible-vault encrypts such a file)") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(
            "holds no private key: it must be RSA or Ed25519 in PEM, or Ed25519 in base64 as Rspamd writes it"
        ) from None
    return _key(_fit(key), selector)


def _fit(key: t.Any) -> PrivateKey:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Refused("holds a key of another kind: DKIM knows RSA and Ed25519")
    if key.key_size not in RSA_BETWEEN:
        raise Refused(
            f"holds an RSA key of {key.key_size} bits: it must have {RSA_BETWEEN[0]} to {RSA_BETWEEN[-1]} (RFC 8301)"
        )
    return key


def _of_base64(content: bytes) -> PrivateKey | None:
    """Return the Ed25519 key of a seed, or of a seed and its public key; None where the content is not such."""
    try:
        data = base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return None
    if len(data) not in (32, 64):
        return None
    key = ed25519.Ed25519PrivateKey.from_private_bytes(data[:32])
    if data[32:] not in (b"", _raw(key)):
        raise ValueError
    return key


def _key(key: PrivateKey, selector: str) -> Key:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Key("rsa" if isinstance(key, rsa.RSAPrivateKey) else "ed25519", selector, pem.decode("ascii"))


def _loaded(private: str) -> PrivateKey:
    # Whether the numbers of an RSA key fit is asked once, when it is taken over: that takes as long as making one.
    return _fit(
        serialization.load_pem_private_key(private.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    )


@functools.lru_cache(maxsize=8192)
def _public(private: str) -> str:
    key = _loaded(private)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(_raw(key)).decode("ascii")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode("ascii")


def _raw(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _seed(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


# As plain data: {signing: SET, next: SET or null, former: SET or null}, and SET is
# {date: "20261128", since: SECONDS or null, keys: [{algorithm: rsa, selector: rsa20261128, private: PEM}]}.


def to_plain(keys: DomainKeys) -> dict[str, t.Any]:
    return {role: dataclasses.asdict(found) if (found := getattr(keys, role)) else None for role in ROLES}


def from_plain(data: object) -> DomainKeys:
    """Return a domain's keys; raises Refused with what is wrong, and where."""
    found = _mapping(data, "the domain's keys", ROLES)
    sets = {role: _set(found[role], role) if found[role] is not None else None for role in ROLES}
    signing = sets["signing"]
    if signing is None:
        raise Refused("signing must not be null")
    keys = DomainKeys(signing, sets["next"], sets["former"])
    names = [selector.lower() for _role, one in keys.sets() for selector in one.selectors()]
    if len(names) != len(set(names)):
        raise Refused("each key must have a selector of its own")
    return keys


def _mapping(data: object, where: str, names: Collection[str]) -> Mapping[str, t.Any]:
    if not isinstance(data, Mapping) or set(data) != set(names):
        raise Refused(f"{where} must be a mapping with the keys {', '.join(names)}")
    return data


def _set(data: object, role: str) -> KeySet:
    found = _mapping(data, role, ("date", "keys", "since"))
    date, since, keys = found["date"], found["since"], found["keys"]
    if not isinstance(date, str) or not re.fullmatch("[0-9]{8}", date):
        raise Refused(f"date of {role} must be eight digits in quotes, year, month and day")
    # What is no number would be looked for in the whole range.
    if since is not None and (not isinstance(since, int) or isinstance(since, bool) or since not in _SECONDS):
        raise Refused(f"since of {role} must be a number of seconds, or null")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 2:
        raise Refused(f"keys of {role} must be a list of one or two keys")
    made = tuple(_one(item, f"a key of {role}") for item in keys)
    if len({key.algorithm for key in made}) != len(made):
        raise Refused(f"keys of {role} must differ in their algorithm")
    return KeySet(date, made, since)


def _one(data: object, where: str) -> Key:
    found = _mapping(data, where, ("algorithm", "selector", "private"))
    algorithm, selector, private = found["algorithm"], found["selector"], found["private"]
    if algorithm not in ("rsa", "ed25519"):
        raise Refused(f"algorithm of {where} must be rsa or ed25519")
    if not isinstance(selector, str) or not SELECTOR.match(selector):
        raise Refused(f"selector of {where} must be labels of letters, digits and hyphens, with dots between them")
    try:
        key = _loaded(private) if isinstance(private, str) else None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # Refused is a ValueError
        key = None
    if key is None or algorithm != ("rsa" if isinstance(key, rsa.RSAPrivateKey) else "ed25519"):
        raise Refused(f"private of {where} must be its private key in PEM (PKCS#8), of that algorithm")
    return Key(algorithm, selector, private)

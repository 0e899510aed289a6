# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Typed variables: declared once as dataclass fields, parsed strictly, every problem reported at once.

A declaration carries its own documentation, so that the reference is generated from what is enforced:

    @dataclass(frozen=True)
    class Variables:
        mail_quota: Size = var("Limit of a mailbox that names none.", Size(0))
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import ipaddress
import math
import operator
import re
import reprlib
import types
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model import hashes

Domain = t.NewType("Domain", str)
Address = t.NewType("Address", str)
Recipient = t.NewType("Recipient", Address)  # that servers elsewhere can write to
Login = t.NewType("Login", Recipient)  # of an account
Size = t.NewType("Size", int)
HostName = t.NewType("HostName", str)
IPAddress = t.NewType("IPAddress", str)
Network = t.NewType("Network", str)
Path = t.NewType("Path", str)
Secret = t.NewType("Secret", str)
Hash = t.NewType("Hash", str)
DomainOrAddress = t.NewType("DomainOrAddress", str)
# What hosts say of themselves
Word = t.NewType("Word", str)
Version = t.NewType("Version", str)
Digest = t.NewType("Digest", str)
Flag = t.NewType("Flag", bool)
Count = t.NewType("Count", int)

# Fields are declared through var(), outside the class body, which linters do not expect of dataclasses.field itself.
_field: Callable[..., t.Any] = operator.attrgetter("field")(dataclasses)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_ROUTES = "%!"
_NO_LOGIN = {
    "+": "mail to it would go to what is before the + (plus addresses)",
    "*": "doveadm(1) takes it for a wildcard, and would work on other accounts as well",
    "?": "doveadm(1) takes it for a wildcard, and would work on other accounts as well",
    "/": "it may be part of a path, and the mailbox would lie in another one",
}
LOGIN_LETTERS = "".join(
    char
    for char in map(chr, range(33, 127))
    if char in ".@" or (_LOCAL.match(char) and char not in _ROUTES and char not in _NO_LOGIN)
)
_LEADING = (
    "|/-#$"  # aliases(5), postmap(1), command lines, dovecot.conf; : and " are in no address that is accepted here
)
_ADDRESS_LENGTH = 254  # RFC 5321, 4.5.3.1.3: a path has 256 with its brackets
_UNSEEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_SIZE = re.compile(r"(\d{1,18})\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LARGEST = 1 << 50  # all programs count that far, and ten times as far
_NUMBERS = range(1 << 31)  # what Postfix takes for a number
DAYS = range(1, 36501)
PORTS = range(1, 65536)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the inventory: where, what stands there, what may stand there."""

    where: str
    value: object
    allowed: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" is {_shorten(self.value)}"
        # What somebody exported may be a key here, and a key may hold what a terminal obeys.
        where = "".join(letter if letter.isprintable() else "?" for letter in self.where)
        return f"{where}{shown}: {self.allowed}"


class SiteError(Exception):
    """The inventory is wrong; carries every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{head} in the site's variables:", *(f"- {p}" for p in self.problems)]))


class Refused(ValueError):
    """A single value is not of its type; the text says what is allowed."""


# A few lines of YAML can stand for more items than memory holds (aliases of aliases): no more is written out than is
# shown.
_WRITER = reprlib.Repr()
_WRITER.maxlevel = 4
_WRITER.maxlist = _WRITER.maxtuple = _WRITER.maxdict = _WRITER.maxset = 9
_WRITER.maxstring = _WRITER.maxlong = _WRITER.maxother = 200


def _shorten(value: object) -> str:
    text = _WRITER.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Described:
    """What stands for a value in a message: its kind, where the value itself may be secret, or null."""

    def __init__(self, value: object) -> None:
        kinds: dict[t.Any, str] = {
            Mapping: "a mapping",
            list: "a list",
            tuple: "a list",
            str: "text",
            types.NoneType: "null",
        }
        self.what = next((word for kind, word in kinds.items() if isinstance(value, kind)), "a single value")

    def __repr__(self) -> str:
        return self.what


def _shown(kind: t.Any, value: object) -> object:
    """Return what a message may say of a value that is no mapping or list of its kind: a password may be in it."""
    return _Described(value) if value is None or _holds_secrets(kind) else value


@functools.cache
def _holds_secrets(kind: t.Any) -> bool:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        marked = any(field.metadata.get("secret") for field in dataclasses.fields(kind))
        return marked or any(map(_holds_secrets, field_types(kind).values()))
    return kind in (Secret, Hash) or any(map(_holds_secrets, t.get_args(kind)))


def var(
    doc: str,
    default: t.Any = dataclasses.MISSING,
    *,
    example: str = "",
    secret: bool = False,
    within: range = _NUMBERS,
) -> t.Any:
    """Declare a variable or a key: what it is for, its default, one example in YAML, whether it is secret.

    within: which whole numbers it takes.
    """
    metadata = {"doc": doc, "example": example, "secret": secret, "within": within}
    if isinstance(default, list | dict):
        kept = default
        return _field(default_factory=lambda: type(kept)(kept), metadata=metadata)
    return _field(default=default, metadata=metadata)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the known name closest to a misspelt one, or nothing."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def domain(value: object) -> Domain:
    """Return a domain name in A-labels, lower case (RFC 1035, RFC 5891)."""
    if not isinstance(value, str) or not value:
        raise Refused(_DOMAIN)
    return _domain(value)


_DOMAIN = "must be a domain name such as example.org"


@functools.lru_cache(maxsize=1024)  # thousands of addresses are of few domains
def _domain(value: str) -> Domain:
    name = value.strip().removesuffix(".").lower()
    if not name.isascii():
        try:
            import idna
        except ImportError:
            raise Refused("holds letters beyond ASCII, which needs the Python package idna on the controller") from None
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise Refused(_DOMAIN) from None
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(_LABEL.match(label) for label in labels) or labels[-1].isdigit():
        raise Refused(_DOMAIN)
    return Domain(name)


def address(value: object) -> Address:
    """Return a mail address with its domain in A-labels and all of it in lower case (RFC 5321, dot-string)."""
    expected = "must be a mail address such as alice@example.org, its local part in ASCII"
    local, at, host = value.strip().rpartition("@") if isinstance(value, str) else ("", "", "")
    if not at or len(local) > 64 or not _LOCAL.match(local):
        raise Refused(expected)
    if local[0] in _LEADING:
        raise Refused(
            f"must not begin with {local[0]}: where addresses are read, that begins a command (|), a file (/), an "
            "option (-), a comment (#) or a variable ($)"
        )
    try:
        whole = f"{local.lower()}@{domain(host)}"
    except Refused:
        raise Refused(expected) from None
    if len(whole) > _ADDRESS_LENGTH:
        raise Refused(f"must have at most {_ADDRESS_LENGTH} characters (RFC 5321)")
    return Address(whole)


def recipient(value: object) -> Recipient:
    """Return an address that is an account's, an alias, or that of a server behind this one."""
    if isinstance(value, str) and value.strip().startswith(("@", "*@")):
        raise Refused("stands for a whole domain: there are no catch-all addresses or domain aliases; name each one")
    found = address(value)
    _refuse_letters(found, dict.fromkeys(_ROUTES, "Postfix takes that for a route, and refuses mail to it"))
    return Recipient(found)


def login(value: object) -> Login:
    """Return the address of an account, by which its owner logs in."""
    found = recipient(value)
    _refuse_letters(found, _NO_LOGIN)
    return Login(found)


def _refuse_letters(value: Address, reasons: Mapping[str, str]) -> None:
    for char in value.rpartition("@")[0]:
        if char in reasons:
            raise Refused(f"must not have {char} before its @: {reasons[char]}")


def domain_or_address(value: object) -> DomainOrAddress:
    """Return a mail address, or a domain where there is no @."""
    return DomainOrAddress(address(value) if isinstance(value, str) and "@" in value else domain(value))


def size(value: object) -> Size:
    """Return a size in bytes; K, M, G and T are powers of 1024."""
    number = _whole(value)
    found = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if found:
        number = int(found[1]) * _UNITS[found[2].upper()]
    if number is None or number < 0:
        raise Refused("must be a size: a number of bytes, or with K, M, G or T, such as 500M; 0 means no limit")
    if number > _LARGEST:
        raise Refused("must be at most 1024T")
    return Size(number)


def hostname(value: object) -> HostName:
    """Return a fully qualified host name in A-labels."""
    try:
        return HostName(domain(value))
    except Refused:
        raise Refused("must be a fully qualified host name such as mail.example.org") from None


def _ip(value: object) -> IPAddress:
    try:
        return IPAddress(str(ipaddress.ip_address(_unscoped(value))))
    except ValueError:
        raise Refused("must be an IPv4 or IPv6 address") from None


def _network(value: object) -> Network:
    try:
        return Network(str(ipaddress.ip_network(_unscoped(value), strict=False)))
    except ValueError:
        raise Refused("must be a network such as 192.0.2.0/24 or 2001:db8::/64") from None


def _unscoped(value: object) -> str:
    """Return text without an IPv6 scope (%eth0), after which Python takes anything, line breaks too."""
    if not isinstance(value, str) or "%" in value:
        raise ValueError
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith(("/", "~")) or _UNSEEN.search(value):
        raise Refused("must be an absolute path")
    return Path(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        # YAML reads 0123 as 83 and 12:34:56 as 45296: what was written is lost, and no text would be the right one.
        hint = "" if isinstance(value, Mapping | list) else "; numbers, dates and true or false need quotes to be text"
        raise Refused(f"must be text{hint}")
    if _UNSEEN.search(value):
        raise Refused("must be text on one line, without control characters")
    return value


def _secret(value: object) -> Secret:
    text = _text(value)
    if not text:
        raise Refused("must not be empty")
    return Secret(text)


def _hash(value: object) -> Hash:
    try:
        return Hash(hashes.for_slapd(_text(value)))
    except hashes.Unknown as unknown:
        raise Refused(str(unknown)) from None


# A command line (-e) and an INI inventory know nothing but text, YAML 1.1 has words for booleans, and JSON tools write
# numbers in their own way. What all of them mean is said here, for every variable.


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    number = _whole(value)
    word = str(number) if number is not None else value.strip().lower() if isinstance(value, str) else ""
    if word not in _WORDS:
        raise Refused("must be true or false")
    return _WORDS[word]


def _whole(value: object) -> int | None:
    """Return a whole number, however it is written; None where it is none."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def _int(value: object) -> int:
    number = _whole(value)
    if number is None:
        raise Refused("must be a whole number")
    return number


def _float(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Refused("must be a number")
    return number


def _choice(value: object, choices: tuple[t.Any, ...]) -> str | None:
    """Return which of several words is meant: off is false to YAML, and on is true."""
    for word in choices:
        if value == word or (isinstance(value, bool) and _WORDS.get(word) is value):
            return str(word)
    return None


def _matching(pattern: str, allowed: str) -> Callable[[object], str]:
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Refused(allowed)
        return value

    return check


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 60:
        raise Refused("must be a whole number that is not negative")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Refused("must be true or false")
    return value


_SCALARS: dict[object, Callable[[object], t.Any]] = {
    Domain: domain, Address: address, Recipient: recipient, Login: login, DomainOrAddress: domain_or_address,
    Size: size, HostName: hostname, IPAddress: _ip, Network: _network, Path: _path, Secret: _secret, Hash: _hash,
    str: _text, bool: _bool, int: _int, float: _float, t.Any: lambda value: value,
    Word: _matching(r"[A-Za-z0-9_][A-Za-z0-9 ._+-]{0,63}", "must be a name"),
    Version: _matching(r"[0-9]{1,4}\.[0-9]{1,4}(\.[A-Za-z0-9]{1,16}){0,4}", "must be a version such as 3.10.13"),
    Digest: _matching(r"([0-9A-F]{64})?", "must be a SHA-256 in hexadecimal, or empty"),
    Count: _count,
    Flag: _flag,
}  # fmt: skip
TYPE_WORDS: dict[object, str] = {
    Domain: "domain name", Address: "mail address", Recipient: "mail address", Login: "mail address",
    DomainOrAddress: "domain name or mail address", Size: "size", HostName: "host name", IPAddress: "IP address",
    Network: "network", Path: "path", Secret: "secret text", Hash: "hash", str: "text", bool: "true or false",
    int: "whole number", float: "number", t.Any: "anything",
}  # fmt: skip


def parse(kind: t.Any, value: object, where: str, problems: list[Problem], secret: bool = False) -> t.Any:
    """Return value as kind; what does not fit goes to problems and yields None."""
    if value is not None:
        kind = _alone(kind)
    scalar = _SCALARS.get(kind)
    if scalar:
        try:
            return scalar(value)
        except Refused as refused:
            hidden = secret or kind in (Secret, Hash)
            problems.append(Problem(where, None if hidden else _shown(kind, value), str(refused)))
            return None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return parse_fields(kind, value, where, problems)
    return _parse_container(kind, value, where, problems, secret)


@functools.cache
def _alone(kind: t.Any) -> t.Any:
    """Return the kind that a value has which is there, where there may be none."""
    if t.get_origin(kind) in (t.Union, types.UnionType):
        return next(argument for argument in t.get_args(kind) if argument is not types.NoneType)
    return kind


def _parse_container(kind: t.Any, value: object, where: str, problems: list[Problem], secret: bool) -> t.Any:
    origin, arguments = t.get_origin(kind), t.get_args(kind)
    if origin in (t.Union, types.UnionType):
        return None if types.NoneType in arguments else parse(_alone(kind), value, where, problems, secret)
    if origin is t.Literal:
        word = _choice(value, arguments)
        if word is not None:
            return word
        words = ", ".join(str(a) for a in arguments)
        hint = nearest(value, map(str, arguments)) if isinstance(value, str) else ""
        problems.append(Problem(where, _shown(kind, value), f"must be one of {words}{hint}"))
        return None
    if origin is list:
        if isinstance(value, str | int):  # one is a list of one: what people write for a single forward
            value = [value]
        if not isinstance(value, list | tuple):
            problems.append(Problem(where, _shown(kind, value), "must be a list"))
            return []
        return [parse(arguments[0], item, f"{where}[{i}]", problems, secret) for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(Problem(where, _shown(kind, value), "must be a mapping"))
            return {}
        found: dict[t.Any, t.Any] = {}
        for key, item in value.items():
            place = f"{where}.{key}"
            name = parse(arguments[0], key, place, problems)
            if name is not None and name in found:
                problems.append(Problem(place, None, "is listed twice"))
            found[name] = parse(arguments[1], item, place, problems, secret)
        return found
    raise TypeError(f"{where}: no parser for {kind}")


def parse_fields(kind: type, value: object, where: str, problems: list[Problem], prefix: str = ".") -> t.Any:
    """Return a dataclass from a mapping; unknown and missing keys are problems that name the nearest known one."""
    if not isinstance(value, Mapping):
        allowed = "must be a mapping with the keys " + ", ".join(field_types(kind))
        problems.append(Problem(where, _shown(kind, value), allowed))
        return None
    hints = field_types(kind)
    for key in value:
        if key not in hints:
            allowed = f"is not known{nearest(str(key), hints)}"
            problems.append(Problem(f"{where}{prefix}{key}", None, f"{allowed} (known: {', '.join(hints)})"))
    found: dict[str, t.Any] = {}
    before = len(problems)
    for field in _fields(kind):
        place = f"{where}{prefix}{field.name}"
        if field.name in value:
            kind_of, within = hints[field.name], field.metadata.get("within")
            item = parse(kind_of, value[field.name], place, problems, bool(field.metadata.get("secret")))
            if within and kind_of in (int, int | None) and item is not None and item not in within:
                problems.append(Problem(place, item, f"must be from {within[0]} to {within[-1]}"))
            found[field.name] = item
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(Problem(place, None, f"is required: {field.metadata.get('doc', '')}"))
    return kind(**found) if len(problems) == before else None


@functools.cache
def _fields(kind: type) -> tuple[dataclasses.Field[t.Any], ...]:
    return dataclasses.fields(kind)


_HINTS: dict[type, dict[str, t.Any]] = {}


def field_types(kind: type) -> dict[str, t.Any]:
    """Return the fields of a dataclass with their resolved types, in order."""
    if kind not in _HINTS:
        _HINTS[kind] = t.get_type_hints(kind)
    return _HINTS[kind]

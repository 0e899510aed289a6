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
import ipaddress
import operator
import re
import reprlib
import types
import typing as t
from collections.abc import Callable, Iterable, Mapping

Domain = t.NewType("Domain", str)
Address = t.NewType("Address", str)
Size = t.NewType("Size", int)
HostName = t.NewType("HostName", str)
IPAddress = t.NewType("IPAddress", str)
Network = t.NewType("Network", str)
Path = t.NewType("Path", str)
Secret = t.NewType("Secret", str)
# What hosts say of themselves
Word = t.NewType("Word", str)
Version = t.NewType("Version", str)
Digest = t.NewType("Digest", str)
Count = t.NewType("Count", int)

# Fields are declared through var(), outside the class body, which linters do not expect of dataclasses.field itself.
_field: Callable[..., t.Any] = operator.attrgetter("field")(dataclasses)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_LEADING = "|/-#"  # aliases(5), postmap(1), and command lines; : and " are in no address that is accepted here
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


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


def var(doc: str, default: t.Any = dataclasses.MISSING, *, example: str = "", secret: bool = False) -> t.Any:
    """Declare a variable or a key: what it is for, its default, one example in YAML, whether it is secret."""
    metadata = {"doc": doc, "example": example, "secret": secret}
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
    expected = "must be a domain name such as example.org"
    if not isinstance(value, str) or not value:
        raise Refused(expected)
    name = value.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            import idna
        except ImportError:
            raise Refused("holds letters beyond ASCII, which needs the Python package idna on the controller") from None
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise Refused(expected) from None
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(_LABEL.match(label) for label in labels) or labels[-1].isdigit():
        raise Refused(expected)
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
            "option (-) or a comment (#)"
        )
    try:
        return Address(f"{local.lower()}@{domain(host)}")
    except Refused:
        raise Refused(expected) from None


def size(value: object) -> Size:
    """Return a size in bytes; K, M, G and T are powers of 1024."""
    found = _SIZE.match(str(value).strip()) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if not found:
        raise Refused("must be a size: a number of bytes, or with K, M, G or T, such as 500M; 0 means no limit")
    return Size(int(found[1]) * _UNITS[found[2].upper()])


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
    if not isinstance(value, str) or not value.startswith(("/", "~")):
        raise Refused("must be an absolute path")
    return Path(value)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refused("must be text")
    text = str(value)
    if any(ord(char) < 32 and char != "\t" for char in text):
        raise Refused("must be text on one line")
    return text


def _secret(value: object) -> Secret:
    text = _text(value)
    if not text:
        raise Refused("must not be empty")
    return Secret(text)


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise Refused("must be true or false")


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("must be a whole number")
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("must be a number")
    return float(value)


def _matching(pattern: str, allowed: str) -> Callable[[object], str]:
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Refused(allowed)
        return value

    return check


def _count(value: object) -> int:
    number = _int(value)
    if not 0 <= number < 1 << 60:
        raise Refused("must be a whole number that is not negative")
    return number


_SCALARS: dict[object, Callable[[object], t.Any]] = {
    Domain: domain, Address: address, Size: size, HostName: hostname, IPAddress: _ip, Network: _network, Path: _path,
    Secret: _secret, str: _text, bool: _bool, int: _int, float: _float, t.Any: lambda value: value,
    Word: _matching(r"[A-Za-z0-9_][A-Za-z0-9 ._+-]{0,63}", "must be a name"),
    Version: _matching(r"[0-9]{1,4}\.[0-9]{1,4}(\.[A-Za-z0-9]{1,16}){0,4}", "must be a version such as 3.10.13"),
    Digest: _matching(r"([0-9A-F]{64})?", "must be a SHA-256 in hexadecimal, or empty"),
    Count: _count,
}  # fmt: skip
TYPE_WORDS: dict[object, str] = {
    Domain: "domain name", Address: "mail address", Size: "size", HostName: "host name", IPAddress: "IP address",
    Network: "network", Path: "path", Secret: "secret text", str: "text", bool: "true or false", int: "whole number",
    float: "number",
    t.Any: "anything",
}  # fmt: skip


def parse(kind: t.Any, value: object, where: str, problems: list[Problem], secret: bool = False) -> t.Any:
    """Return value as kind; what does not fit goes to problems and yields None."""
    scalar = _SCALARS.get(kind)
    if scalar:
        try:
            return scalar(value)
        except Refused as refused:
            hidden = secret or kind is Secret
            problems.append(Problem(where, None if hidden else value, str(refused)))
            return None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return parse_fields(kind, value, where, problems)
    return _parse_container(kind, value, where, problems, secret)


def _parse_container(kind: t.Any, value: object, where: str, problems: list[Problem], secret: bool) -> t.Any:
    origin, arguments = t.get_origin(kind), t.get_args(kind)
    if origin in (t.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        return parse(next(a for a in arguments if a is not types.NoneType), value, where, problems, secret)
    if origin is t.Literal:
        if isinstance(value, str) and value in arguments:
            return value
        words = ", ".join(str(a) for a in arguments)
        hint = nearest(value, map(str, arguments)) if isinstance(value, str) else ""
        problems.append(Problem(where, value, f"must be one of {words}{hint}"))
        return None
    if origin is list:
        if isinstance(value, str | int):  # one is a list of one: what people write for a single forward
            value = [value]
        if not isinstance(value, list | tuple):
            problems.append(Problem(where, value, "must be a list"))
            return []
        return [parse(arguments[0], item, f"{where}[{i}]", problems, secret) for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(Problem(where, value, "must be a mapping"))
            return {}
        return {
            parse(arguments[0], key, f"{where}.{key}", problems): parse(
                arguments[1], item, f"{where}.{key}", problems, secret
            )
            for key, item in value.items()
        }
    raise TypeError(f"{where}: no parser for {kind}")


def parse_fields(kind: type, value: object, where: str, problems: list[Problem], prefix: str = ".") -> t.Any:
    """Return a dataclass from a mapping; unknown and missing keys are problems that name the nearest known one."""
    if not isinstance(value, Mapping):
        problems.append(Problem(where, value, "must be a mapping with the keys " + ", ".join(field_types(kind))))
        return None
    hints = field_types(kind)
    for key in value:
        if key not in hints:
            allowed = f"is not known{nearest(str(key), hints)}"
            problems.append(Problem(f"{where}{prefix}{key}", None, f"{allowed} (known: {', '.join(hints)})"))
    found: dict[str, t.Any] = {}
    before = len(problems)
    for field in dataclasses.fields(kind):
        place = f"{where}{prefix}{field.name}"
        if field.name in value:
            found[field.name] = parse(
                hints[field.name], value[field.name], place, problems, bool(field.metadata.get("secret"))
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(Problem(place, None, f"is required: {field.metadata.get('doc', '')}"))
    return kind(**found) if len(problems) == before else None


_HINTS: dict[type, dict[str, t.Any]] = {}


def field_types(kind: type) -> dict[str, t.Any]:
    """Return the fields of a dataclass with their resolved types, in order."""
    if kind not in _HINTS:
        _HINTS[kind] = t.get_type_hints(kind)
    return _HINTS[kind]

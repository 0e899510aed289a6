# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Types of values: each with its parser, which returns a value in one form, or raises Refused."""

from __future__ import annotations

import functools
import ipaddress
import math
import re
import typing as t
from collections.abc import Callable, Mapping

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


class Refused(ValueError):
    """A single value is not of its type; the text says what is allowed."""


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


def choice(value: object, choices: tuple[t.Any, ...]) -> str | None:
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


PARSERS: dict[object, Callable[[object], t.Any]] = {
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

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a managed host may answer, key by key and typed all the way down.

A host that has fallen answers what its intruder likes. Ansible would take facts, variables and new hosts from an
answer, and the site's other hosts are configured by what this one says of itself. So every answer passes `checked()`:
what is not listed here makes the task of that host fail, and no other one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, parse_fields
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki

Answer = dict[str, t.Any]

# Control characters, lone surrogates, and what turns the direction of text round: none of it belongs on a terminal.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What Ansible's own machinery adds to a module's answer; nobody here reads it.
_ANSIBLES = frozenset(
    ("invocation", "exception", "warnings", "deprecations", "ansible_facts", "rc", "module_stdout", "module_stderr",
     "stdout", "stdout_lines", "stderr", "stderr_lines")
)  # fmt: skip


class Wrong(Exception):
    """An answer is not of its form; the text names the key."""


def clean(value: str) -> str:
    """Return text without the characters that nobody sees, for a terminal, a log or a configuration."""
    return _UNSEEN.sub("?", str.__str__(value).replace("\r\n", "\n"))


def text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{where} must be text")
    return clean(value)


def line(value: object, where: str) -> str:
    """Return text that is shown as a line: after a line break another host could seem to speak."""
    return text(value, where).replace("\n", "?")


def flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"{where} must be true or false")
    return value


def number(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 33:
        raise Wrong(f"{where} must be a whole number")
    return int(value)


def chain(value: object, where: str) -> str:
    """Return a certificate and its chain in PEM."""
    if not isinstance(value, str) or len(value) > _LONGEST_CHAIN or not pki.from_pem(value):
        raise Wrong(f"{where} must be certificates in PEM")
    return str.__str__(value)


def chains(value: object, where: str) -> list[str]:
    """Return certificates that a port shows, each with its chain."""
    if not isinstance(value, list | tuple) or len(value) > _MOST_CHAINS:
        raise Wrong(f"{where} must be a list of at most {_MOST_CHAINS} items")
    return [chain(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _matching(pattern: str, what: str) -> Callable[[object, str], str]:
    compiled = re.compile(pattern)

    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Wrong(f"{where} must be {what}")
        return str.__str__(value)

    return check


def _or_nothing(kind: t.Any) -> Callable[[object, str], t.Any]:
    return lambda value, where: None if value is None else _parsed(kind, value, where)


def look(value: object, where: str = "look") -> Answer:
    """Return what a host says that it is like."""
    problems: list[Problem] = []
    found = parse_fields(Look, _cleaned(value), where, problems)
    if problems:
        raise Wrong(str(problems[0]))
    if not -_FAR < found.clock < _FAR:
        raise Wrong(f"{where}.clock must be seconds")
    for name, items in dataclasses.asdict(found).items():
        if isinstance(items, list | dict) and len(items) > _MANY:
            raise Wrong(f"{where}.{name} has {len(items)} items, and {_MANY} are the most")
    for index, address in enumerate(map(ipaddress.ip_address, found.addresses)):
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
            raise Wrong(f"{where}.addresses[{index}] is {address}: must be an address at which others reach the host")
    strange = sorted(set(found.unclaimed) - set(compose.programs()))
    if strange:
        raise Wrong(f"{where}.unclaimed has {strange[0]}, which is no program of the site")
    return dataclasses.asdict(found)


def _cleaned(value: object) -> t.Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value


@dataclasses.dataclass(frozen=True)
class Whole:
    """A mapping that has all of its keys."""

    keys: Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Each:
    """A mapping whose keys are not known beforehand."""

    key: t.Any
    value: t.Any


_FAR = 1 << 40  # seconds
_LONGEST_CHAIN, _MOST_CHAINS = 100_000, 16
_MANY = 1000  # items of a list that becomes lines of other hosts' configurations
_digits = _matching(r"[0-9]{1,10}", "seconds since 1970")
digest = _matching(r"[0-9a-f]{64}", "a digest in hexadecimal")
word = _matching(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,254}", "a name")
_packed = _matching(r"[A-Za-z0-9+/=\s]*", "packed data")
_folder = _matching(r"(/[^/.\x00-\x1f][^/\x00-\x1f]*)+", "the path of a folder")
_COMMON: dict[str, t.Any] = {
    "failed": flag,
    "msg": text,
    "changed": flag,
    "actions": [line],
    "diff": [{"before": text, "after": text, "before_header": line, "after_header": line}],
    "missing": {
        "packages": [word],
        "users": [Whole({"name": word, "uid": _or_nothing(number), "home": _folder, "groups": [word]})],
        "groups": [word],
        "stopped": [word],
    },
    "unmade": [line],
}
_ANSWERS: dict[str, dict[str, t.Any]] = {
    "look": {"look": look},
    "compare": {"rivals": text, "what": [line], "difference": text, "problems": [text], "notes": [line]},
    "move_directory": {"data": _packed, "accounts": number},
    "accounts": {
        "accounts": [
            Whole(
                {
                    "address": line,
                    "enabled": flag,
                    "aliases": [line],
                    "forward": [line],
                    "quota": line,
                    "source": line,
                    "dn": line,
                    "user": line,
                    "delete_from": _or_nothing(line),
                }
            )
        ],
        "note": line,
        "password_set": flag,
        "deleted": [line],
        "left": {
            "kick": [line],
            "delete": Each(line, lambda value, where: value if value == "" else _folder(value, where)),
        },
    },
    "quarantine": {
        "mails": [
            Whole({"id": line, "time": _digits, "reason": line, "sender": line, "recipients": line, "subject": line})
        ],
        "notes": [line],
    },
    "reports": {
        "messages": [Whole({"user": line, "mailbox": word, "uid": number, "size": number, "time": _digits})],
        "more": number,
        "texts": [Whole({"uid": number, "text": _packed})],
        "notes": [line],
    },
    "remove": {"stays": Each(line, line), "ran": [word]},
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    "look": ("look",),
    "compare": ("rivals", "what", "difference", "problems", "notes"),
    "accounts": ("actions",),
    "quarantine": ("mails",),
    "reports": ("notes",),
    "remove": ("actions", "stays", "ran"),
    "move_directory": ("changed",),
}
_STOCK = {"failed": flag, "msg": text, "changed": flag}


def checked(
    job: str,
    answer: Mapping[str, t.Any],
    also: Mapping[str, t.Any] | None = None,
    required: tuple[str, ...] = ("changed", "actions"),
) -> Answer:
    """Return the answer of a program or a job, or raise Wrong.

    also, required: what a program's host may answer besides, and what it has to answer (exchange.py).
    """
    found = {key: value for key, value in answer.items() if key not in _ANSIBLES and not key.startswith("_ansible_")}
    parsed: Answer = _parsed({**_COMMON, **_ANSWERS.get(job, {}), **(also or {})}, found, "")
    absent = [key for key in _REQUIRED.get(job, required) if key not in parsed]
    if absent and not parsed.get("failed"):
        raise Wrong(f"{absent[0]} is missing")
    if not answer.get("failed") or parsed.get("msg"):
        return parsed
    return {**parsed, "msg": "it failed without a message"}


def stock(answer: Mapping[str, t.Any]) -> Answer:
    """Return what is needed of the answer of one of Ansible's own modules, or raise Wrong."""
    return t.cast(Answer, _parsed(_STOCK, {key: answer[key] for key in _STOCK if key in answer}, ""))


def _parsed(kind: t.Any, value: object, where: str) -> t.Any:
    if callable(kind):
        return kind(value, where)
    if isinstance(kind, list):
        if not isinstance(value, list | tuple):
            raise Wrong(f"{where} must be a list")
        return [_parsed(kind[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        raise Wrong(f"{where or 'the answer'} must be a mapping")
    if isinstance(kind, Whole):
        whole: Answer = _parsed(kind.keys, value, where)
        for key in kind.keys:
            if key not in whole:
                raise Wrong(f"{where}.{key} is missing")
        return whole
    found = {}
    for key, item in value.items():
        place = f"{where}.{key}" if where else clean(str(key))
        if isinstance(kind, Each):
            found[kind.key(key, clean(place))] = _parsed(kind.value, item, clean(place))
        elif key in kind:
            found[str(key)] = _parsed(kind[key], item, place)
        else:
            raise Wrong(f"{clean(place)[:80]} is no key that it may have")
    return found

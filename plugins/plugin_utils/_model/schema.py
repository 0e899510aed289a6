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
import operator
import reprlib
import types
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import (
    PARSERS,
    Hash,
    Refused,
    Secret,
    choice,
)

# Fields are declared through var(), outside the class body, which linters do not expect of dataclasses.field itself.
_field: Callable[..., t.Any] = operator.attrgetter("field")(dataclasses)

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


def parse(kind: t.Any, value: object, where: str, problems: list[Problem], secret: bool = False) -> t.Any:
    """Return value as kind; what does not fit goes to problems and yields None."""
    if value is not None:
        kind = _alone(kind)
    scalar = PARSERS.get(kind)
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
        word = choice(value, arguments)
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

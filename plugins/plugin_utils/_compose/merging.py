# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How contributions of several concerns become one: what stacks, what has one owner, and what is a conflict.

Nothing here depends on the order in which concerns are asked: it would be the order of their file names.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence

Contributions = list[tuple[str, t.Any]]
SECRET = re.compile(r"(password|_pw|api_key|secret|nonce)\Z")  # ends the name of a setting that nobody may see
SEVERAL = "*"  # ends the name of a slot that several concerns may fill


class ComposeError(Exception):
    """What the user has said of a program cannot be, in one or several sentences, each with the variable first."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = tuple(dict.fromkeys(sentences))
        super().__init__("\n".join(self.sentences))


class ConcernError(ComposeError):
    """Concerns disagree, or one of them is wrong: nothing that the user has said.

    sentences: what of the user's cannot be either, where that is known.
    """

    def __init__(self, faults: str | Iterable[str], sentences: Iterable[str] = ()) -> None:
        super().__init__(*sentences)
        self.faults = tuple(dict.fromkeys([faults] if isinstance(faults, str) else faults))
        self.args = ("\n".join([*self.sentences, *self.faults]),)


def merged(
    parts: Contributions, attribute: str, what: str, strictness: Mapping[str, Sequence[t.Any]] | None = None
) -> dict[str, t.Any]:
    """Merge one mapping of all contributions by key; two concerns that disagree are an error naming both.

    strictness: keys of which two concerns may want different values, each with its values from lax to strict: the
    strictest one counts.
    """
    result: dict[str, t.Any] = {}
    owner: dict[str, str] = {}
    for concern, part in parts:
        for key, value in getattr(part, attribute).items():
            order = (strictness or {}).get(key, ())
            if key not in result:
                result[key], owner[key] = value, concern
            elif result[key] in order and value in order:
                if order.index(value) > order.index(result[key]):
                    result[key], owner[key] = value, concern
            elif result[key] != value:
                raise disagree(f"{what} {key}", (owner[key], result[key]), (concern, value))
    return result


def disagree(what: str, one: tuple[str, t.Any], other: tuple[str, t.Any]) -> ConcernError:
    """Return the conflict of two concerns, each with what it wants."""
    (first, wanted), (second, instead) = sorted([one, other], key=lambda said: said[0])
    one_wants, other_wants = ("its own" if SECRET.search(what) else _shown(value) for value in (wanted, instead))
    return ConcernError(f"{what}: concern {first} wants {one_wants}, concern {second} wants {other_wants}")


def _shown(value: t.Any) -> str:
    """Return a value as a message may show it: files and tables are long, and may hold passwords."""
    return f"its own {type(value).__name__.lower()}" if dataclasses.is_dataclass(value) else repr(value)


def slotted(
    parts: Contributions, attribute: str, orders: Mapping[str, Sequence[str]], what: str
) -> dict[str, list[t.Any]]:
    """Return lists that several concerns fill, each with its slots in the declared order.

    orders: each list's slots; one whose name ends with * takes items of several concerns, sorted.
    """
    filled: dict[str, dict[str, dict[str, list[t.Any]]]] = {}  # by list, slot and concern
    for concern, part in parts:
        for name, slots in getattr(part, attribute).items():
            order = orders.get(name)
            if order is None:
                raise ConcernError(
                    f"concern {concern}: {what} {name} has no slots (lists: {', '.join(sorted(orders))})"
                )
            for slot, items in slots.items():
                several = f"{slot}{SEVERAL}" in order
                if slot.endswith(SEVERAL) or (slot not in order and not several):
                    known = ", ".join(one.rstrip(SEVERAL) for one in order)
                    raise ConcernError(f"concern {concern}: {what} {name} has no slot {slot} (slots: {known})")
                if isinstance(items, str):
                    raise ConcernError(f"concern {concern}: {what} {name}, slot {slot}: must be a list of entries")
                owners = filled.setdefault(name, {}).setdefault(slot, {})
                owners[concern] = list(items)
                if len(owners) > 1 and not several:
                    (one, first), (other, second) = sorted(owners.items())
                    raise ConcernError(
                        f"{what} {name}: concerns {one} and {other} both fill slot {slot} ({first} and {second})"
                    )
    return {name: _in_order(orders[name], slots) for name, slots in filled.items()}


def _in_order(order: Sequence[str], slots: Mapping[str, Mapping[str, list[t.Any]]]) -> list[t.Any]:
    words = [
        tuple(items)
        for slot in order
        for items in sorted(slots.get(slot.rstrip(SEVERAL), {}).values(), key=lambda items: [*map(str, items)])
    ]
    return [item for items in dict.fromkeys(words) for item in items]


def files_of(parts: Contributions, what: str) -> list[t.Any]:
    """Return the files of all contributions by their paths, each of which has one owner."""
    owner: dict[str, tuple[str, t.Any]] = {}
    for concern, part in parts:
        for file in part.files:
            if file.path in owner:
                raise disagree(f"{what} {file.path}", owner[file.path], (concern, file))
            owner[file.path] = concern, file
    return [file for _path, (_concern, file) in sorted(owner.items())]


def agreed(parts: Contributions, attribute: str, key: str) -> list[t.Any]:
    """Return folders, users or units of all contributions, each once; two concerns may want the same one.

    key: what tells one from another, such as path.
    """
    owner: dict[str, tuple[str, t.Any]] = {}
    for concern, part in sorted(parts, key=lambda part: part[0]):
        for item in getattr(part, attribute):
            name = getattr(item, key)
            other, known = owner.setdefault(name, (concern, item))
            if known != item:
                raise ConcernError(f"{name}: concern {other} wants {known}, concern {concern} wants {item}")
    return [*dict.fromkeys(every(parts, attribute))]


def every(parts: Contributions, attribute: str) -> list[t.Any]:
    """Return one list of all contributions: what one concern says stays together and in its order."""
    return [item for items in sorted(([*getattr(part, attribute)] for _name, part in parts), key=str) for item in items]


def united(parts: Contributions, attribute: str) -> list[t.Any]:
    """Return the sorted union of one list of all contributions."""
    return sorted({item for _concern, part in parts for item in getattr(part, attribute)})


def overridden(values: dict[str, t.Any], overrides: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return values with the user's own on top; null removes."""
    return {key: value for key, value in {**values, **overrides}.items() if value is not None}


def tree_merge(trees: Iterable[tuple[str, Mapping[str, t.Any]]], what: str) -> dict[str, t.Any]:
    """Merge nested mappings; two different leaves are an error naming both concerns."""
    result: dict[str, t.Any] = {}
    owner: dict[tuple[str, ...], str] = {}

    def merge(into: dict[str, t.Any], tree: Mapping[str, t.Any], path: tuple[str, ...], concern: str) -> None:
        for key, value in tree.items():
            place = (*path, key)
            where = f"{what} {' / '.join(place)}"
            if isinstance(value, Mapping):
                if not isinstance(into.setdefault(key, {}), dict):
                    raise disagree(where, (owner[place], into[key]), (concern, "a block"))
                owner.setdefault(place, concern)
                merge(into[key], value, place, concern)
            elif key in into and into[key] != value:
                instead = "a block" if isinstance(into[key], dict) else into[key]
                raise disagree(where, (owner[place], instead), (concern, value))
            else:
                into[key] = value
                owner.setdefault(place, concern)

    for concern, tree in trees:
        merge(result, tree, (), concern)
    return result

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Dovecot knows by name in each version, and what its own checker lets pass although it does not work.

2.3 accepts anything in `plugin {}`; 2.4 takes 2.3's %u and $name for plain text. Both are refused here.
"""

from __future__ import annotations

import functools
import json
import os
import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import nearest

# Blocks that limit where settings hold: what may stand at the top may stand in them (dovecot.conf(5)).
FILTERS = frozenset({"protocol", "local", "local_name", "remote"})
_OLD_LANGUAGE = re.compile(r"(?<!%)%(?:[A-Z]?[a-z$]|[0-9.]+[A-Z]*[a-z])")


@functools.cache
def known(version: tuple[int, int]) -> dict[str, frozenset[str]]:
    """Return the settings of a version by kind of block, "" being the top; 2.4 has all of them there, with prefixes."""
    with open(os.path.join(os.path.dirname(__file__), "dovecot_settings.json"), encoding="ascii") as file:
        versions: dict[str, dict[str, list[str]]] = json.load(file)
    return {kind: frozenset(names) for kind, names in versions["2.4" if version >= (2, 4) else "2.3"].items()}


def problems(version: tuple[int, int], settings: Mapping[str, t.Any]) -> Iterator[str]:
    """Yield a sentence for each of the user's settings that this version does not have or would misread."""
    label = f"Dovecot {version[0]}.{version[1]}"
    check = _new if version >= (2, 4) else _old
    for path, problem in check(settings, known(version)):
        yield f"dovecot_settings: {' / '.join(path)}: {label} {problem}"


Found = Iterator[tuple[tuple[str, ...], str]]


def _old(tree: Mapping[str, t.Any], kinds: Mapping[str, frozenset[str]], kind: str = "") -> Found:
    here = kinds[kind]
    for key, value in tree.items():
        word = key.split()[0].partition("#")[0] if key.split() else key
        block = isinstance(value, Mapping)
        lists = word in ("mail_plugins", "protocols")
        if block and word in {*FILTERS, "plugin", *kinds} and not lists:
            yield from (((key, *path), what) for path, what in _old(value, kinds, word if word in kinds else ""))
        elif block and word == "dict" or block and lists:
            continue
        elif block:
            yield (key,), f"has no such block{nearest(word, {*FILTERS, 'plugin', 'dict', *kinds} - {''})}"
        elif value is None and word != key:
            continue  # a block that is taken out
        elif word not in here and not any(_matches(name, word) for name in here if name[-1] in "#*" or "#" in name):
            yield (key,), f"has no such setting{nearest(word, here)}"


def _matches(pattern: str, name: str) -> bool:
    """Tell whether a name is one of a numbered (#) or composed (*) kind."""
    return bool(re.fullmatch(re.escape(pattern).replace(r"\#", r"\d+").replace(r"\*", r"[\w-]+"), name))


def _new(
    tree: Mapping[str, t.Any], kinds: Mapping[str, frozenset[str]], prefixes: frozenset[str] = frozenset({""})
) -> Found:
    names = kinds[""]
    for key, value in tree.items():
        word, _space, label = key.partition(" ")
        if isinstance(value, Mapping):
            outer = prefixes | {""}
            if any(prefix + word in names for prefix in outer):
                continue  # a list, whose elements have any name
            inside = {f"{prefix}{word}_" for prefix in outer}
            label = label.strip('"').replace("-", "_")
            inside |= {f"{prefix}{label}_" for prefix in inside} | ({f"{label}_"} if label else set())
            if word in FILTERS or any(name.startswith(tuple(inside)) for name in names):
                yield from (((key, *path), what) for path, what in _new(value, kinds, outer | inside))
            # doveconf names a block that there is not, and does not list those that there are
        elif not any(prefix + word in names for prefix in prefixes) and not (value is None and label):
            yield (key,), f"has no such setting{nearest(word, _reachable(names, prefixes))}"
        else:
            yield from (((key,), what) for what in _misread(value, names))


def _reachable(names: frozenset[str], prefixes: frozenset[str]) -> set[str]:
    """Return the names as they may be written in a block: those with its prefixes without them."""
    inside = {name.removeprefix(prefix) for prefix in prefixes - {""} for name in names if name.startswith(prefix)}
    return inside or set(names)


def _misread(value: object, names: frozenset[str]) -> Iterator[str]:
    """Yield what 2.4 would take for plain text without a word."""
    text = str(value)
    old = _OLD_LANGUAGE.search(text)
    if old:
        yield f"takes {old[0]} for plain text; it has %{{user}}, %{{user | domain}} and the like"
    for name in re.findall(r"\$(\w+)", text):
        if name in names:
            yield f"takes ${name} for plain text; write a list as a mapping, which adds to what is there"

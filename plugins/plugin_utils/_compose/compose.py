# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the concerns, and ask each what it contributes to a program, which merges the answers (merging.py).

A concern is a module below _concerns/ and a program a module in _programs/; both are found by their file names, so that
adding one adds a file and changes none. This happens on the controller only.
"""

from __future__ import annotations

import functools
import importlib
import pathlib
import types
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

PACKAGE = "ansible_collections.postamt.mail.plugins.plugin_utils"
UTILS = pathlib.Path(__file__).parents[1]
Plan = dict[str, t.Any]


def _modules(folder: str) -> dict[str, types.ModuleType]:
    """Return the modules below a folder by their names, which no two share."""
    found = {}
    for path in sorted((UTILS / folder).rglob("[!_]*.py"), key=lambda path: path.stem):
        if path.stem in found:
            raise ConcernError(f"{folder}: two files are called {path.name}")
        found[path.stem] = importlib.import_module(".".join([PACKAGE, *path.relative_to(UTILS).with_suffix("").parts]))
    return found


@functools.cache
def programs() -> dict[str, types.ModuleType]:
    """Return the programs by name; each has PROGRAM (program.py), and `plan(site, host, contributions, overrides)`."""
    return _modules("_programs")


def ordered() -> dict[str, Program]:
    """Return what each program says of itself, in the order in which a run sets the programs up."""
    said = {name: module.PROGRAM for name, module in programs().items()}
    return dict(sorted(said.items(), key=lambda item: (item[1].order, item[0])))


@functools.cache
def concerns() -> dict[str, types.ModuleType]:
    """Return the concerns by name; a public function that is no program's name is refused."""
    found = _modules("_concerns")
    allowed = {
        "applies", "check", "elastic_memory", "links", "memory", "dns", "dns_warnings", "lookups", "secrets",
        *programs(),
    }  # fmt: skip
    for name, concern in found.items():
        for word, value in vars(concern).items():
            own = isinstance(value, types.FunctionType) and value.__module__ == concern.__name__
            if own and not word.startswith("_") and word not in allowed:
                known = ", ".join(sorted(allowed))
                raise ConcernError(f"concern {name}: function {word} is neither a program nor asked for ({known})")
        for word in (*getattr(concern, "RUNS", ()), *getattr(concern, "EVERYWHERE", ())):
            if not hasattr(concern, word) or word not in programs():
                raise ConcernError(f"concern {name}: RUNS or EVERYWHERE names {word}, to which it contributes nothing")
        for word in getattr(concern, "EVERYWHERE", ()):
            if not hasattr(programs()[word], "in_full"):
                raise ConcernError(f"concern {name}: EVERYWHERE names {word}, which is the same on all its hosts")
    for program in programs():
        running = [name for name, concern in found.items() if program in getattr(concern, "RUNS", ())]
        if len(running) > 1:
            raise ConcernError(f"concerns {' and '.join(running)} both say where {program} runs (RUNS)")
    owner: dict[str, str] = {}
    for name, concern in found.items():
        for field in getattr(getattr(concern, "Variables", None), "__dataclass_fields__", ()):
            if owner.setdefault(field, name) != name:
                raise ConcernError(f"concerns {owner[field]} and {name} both have variable {field}")
    saying = [name for name, concern in found.items() if hasattr(concern, "lookups")]
    if len(saying) > 1:
        raise ConcernError(f"concerns {' and '.join(saying)} both say where accounts live (function lookups)")
    return found


def contributions(program: str, site: Site, host: Host) -> Contributions:
    """Return what each concern wants of a program on a host; nothing where the program does not run.

    Where a concern applies, its function applies(site, host) says: everywhere, if it has none. A program runs where the
    concern that names it in RUNS contributes, and where nobody does so, where any concern does.
    """
    full = getattr(programs()[program], "in_full", None)
    handing_on = full is not None and not full(site, host)
    runner = next((name for name, concern in concerns().items() if program in getattr(concern, "RUNS", ())), "")
    needed = _asked(concerns()[runner], program, site, host) if runner else None
    if runner and needed is None:
        return []
    found = []
    for name, concern in concerns().items():
        if not handing_on or program in getattr(concern, "EVERYWHERE", ()):
            answer = needed if name == runner else _asked(concern, program, site, host)
            if answer is not None:
                found.append((name, answer))
    return found


def _asked(concern: types.ModuleType, program: str, site: Site, host: Host) -> t.Any:
    function: Callable[[Site, Host], t.Any] | None = getattr(concern, program, None)
    return function(site, host) if function and site.applies(concern, host) else None


def plan(program: str, site: Site, host: Host, overrides: Mapping[str, t.Any] | None = None) -> Plan:
    """Return everything that a program's module needs for one host, as plain data.

    overrides: the program's own variables, such as {"settings": {...}, "services": {...}} of postfix.
    """
    for kind, said in (overrides or {}).items():
        if said and not isinstance(said, Mapping):
            raise ComposeError(f"{program}_{kind}: must be a mapping, not a {type(said).__name__}")
    parts = contributions(program, site, host)
    module = programs()[program]
    found = module.plan(site, host, parts, overrides or {})
    _refuse_second_files(program, [file["path"] for file in found["files"]], parts)
    return {**found, "program": module.PROGRAM.for_host(program), "adopt": site.core.mail_adopt}


def _refuse_second_files(program: str, paths: list[str], parts: Contributions) -> None:
    """Refuse a concern's file where the program writes one of its own: each run would write both in turn."""
    for concern, part in parts:
        for file in getattr(part, "files", ()):
            if paths.count(file.path) > 1:
                raise ConcernError(f"concern {concern} brings {file.path}, which program {program} writes itself")

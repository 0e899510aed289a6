# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host is still as the last run left it, told in one look for all programs.

A run that has applied a plan leaves in the program's manifest, as `last` (last.py), what the host has to be like as
long as nobody changes it. settled() compares that with the host: files, folders, packages, users, units, ports, what is
shown on the wire, and what the program's own class adds. Where it finds no difference, the same plan needs no second
run of the program's module. Whatever it cannot tell is a doubt, and a doubt means the long way.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, folders, locks, needs, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.last import rights
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Home, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown

_DAMAGE = (units.Failed, OSError, KeyError, TypeError, ValueError, AttributeError)  # somebody may edit a manifest

_BUSY = "programs are being changed on this host right now ({})"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A program's manifest, with what the last run left of its plan."""

    name: str
    manifest: Mapping[str, Any]

    @property
    def last(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["last"]
        return found

    @property
    def plan(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.last["plan"]
        return found

    @property
    def all_units(self) -> list[str]:
        """The units of the plan, and those that run with them."""
        return [one for unit in self.plan["units"] for one in (*self.last["companions"][unit["name"]], unit["name"])]

    @property
    def ports(self) -> set[tuple[str, int]]:
        """Address (empty for all) and number of the ports at which it has to listen."""
        return units.endpoints([*(check["arguments"] for check in self.plan["questions"]), *self.serves])

    @property
    def serves(self) -> list[Mapping[str, Any]]:
        """The ports that show certificates."""
        return self.manifest.get("serves") or []

    def strangers(self, there: Iterable[units.Listener]) -> list[units.Listener]:
        """Return who else listens at its ports."""
        mine, ports = set(self.all_units), self.ports
        return [one for one in there if one.unit not in mine and any(one.holds(*port) for port in ports)]


@dataclasses.dataclass(frozen=True)
class World:
    """What of the host is asked once for all programs."""

    installed: frozenset[str]
    states: Mapping[str, units.UnitState]
    listeners: list[units.Listener] | None  # None where the host cannot tell
    shown: Mapping[str, list[str]]  # ports that show another certificate than the one on disk, by program


Last = Mapping[str, Any]  # what a manifest has as `last`


def settled(kinds: Callable[[str], type[Program]], paths: Paths = HOST) -> tuple[dict[str, Last], dict[str, list[str]]]:
    """Return what the last run left of the plans as which the host still is, by program, and doubts about the others.

    kinds: returns a program's class by its name.
    """
    found: dict[str, Last] = {}
    doubts: dict[str, list[str]] = {}
    claims = []
    for name in files.names(paths.state):
        try:
            manifest = files.load(paths.of(name).manifest)
            if manifest.get("last"):
                claims.append(Claim(name, manifest))
        except OSError as error:
            doubts[name] = [str(error)]
    try:
        if holder := locks.holder(paths):
            raise units.Failed(_BUSY.format(holder))
        world = _world(claims)
    except _DAMAGE as error:
        return {}, {claim.name: [_said(error)] for claim in claims}
    for claim in claims:
        home = paths.of(claim.name)
        try:
            said = list(_doubts(claim, world, kinds(claim.name), home))
            if files.load(home.manifest) != claim.manifest:
                said.append("it was changed during this look")
        except _DAMAGE as error:
            said = [_said(error)]
        if said:
            doubts[claim.name] = said
        else:
            found[claim.name] = claim.last
    if holder := locks.holder(paths):  # he came during this look, and may change whatever was seen before
        return {}, {**doubts, **dict.fromkeys(found, [_BUSY.format(holder)])}
    return found, doubts


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, units.Failed | OSError) else f"its manifest is damaged ({error!r})"


def _world(claims: list[Claim]) -> World:
    packages = {name for claim in claims for name in claim.plan["packages"]}
    there = _listeners()
    with _asked(claims, there) as questions:  # they take longest, and the others meanwhile
        return World(
            installed=frozenset(needs.installed(sorted(packages))),
            states=units.states(dict.fromkeys(unit for claim in claims for unit in claim.all_units)),
            listeners=there,
            shown={
                name: [question.place for question in asked if question.is_wrong()] for name, asked in questions.items()
            },
        )


def _listeners() -> list[units.Listener] | None:
    try:
        return units.listeners()
    except OSError:  # no iproute2
        return None


@contextlib.contextmanager
def _asked(claims: list[Claim], there: list[units.Listener] | None) -> Iterator[dict[str, list[shown.Question]]]:
    """Ask the ports of all programs for the certificates that they show; returns the questions by program.

    Somebody else who has a port is not asked: whoever says nothing there would keep the run waiting. So a port is one
    program's at all its addresses, and is asked once, where the host can tell who has it.
    """
    taken = {one.port for claim in claims for one in claim.strangers(there or ())}
    listeners = shown.listeners() if there is None else shown.reachable((one.place, one.port) for one in there)
    with contextlib.ExitStack() as stack:
        questions = {}
        for claim in claims:
            items = [item for item in claim.serves if item["port"] not in taken]
            asked = shown.asked(items, listeners, everywhere=there is None)
            questions[claim.name] = stack.enter_context(asked)
        yield questions


def _doubts(claim: Claim, world: World, kind: type[Program], home: Home) -> Iterator[str]:
    """Yield what is not as the last run left it, one sentence each."""
    last, plan = claim.last, claim.plan
    if files.exists(home.journal):
        yield "a change was left half done"
    for path, digest in claim.manifest["files"].items():
        if files.digest(path) != digest:
            yield f"{path} is not as it was written"
        elif rights(path) != last["files"].get(path):
            yield f"{path} has another owner or mode"
    if plan["wanted"]:
        yield from _doubts_of_parts(claim, world)
    yield from _doubts_of_units(claim, world)
    for path, digest in (claim.manifest.get("watch") or {}).items():
        if files.digest(path) != digest:
            yield f"{path} has changed"
    yield from (f"{port} shows another certificate than the one on disk" for port in world.shown.get(claim.name, ()))
    now = kind(plan).evidence()
    for name in {*now, *last["evidence"]}:
        if now.get(name) != last["evidence"].get(name):
            yield f"{name} is not as it was"


def _doubts_of_parts(claim: Claim, world: World) -> Iterator[str]:
    """Yield what is missing of that which a program that is wanted needs."""
    plan = claim.plan
    for folder in claim.last["folders"]:
        if not folders.right(folder):
            yield f"folder {folder['path']} is not there, or has another owner or mode"
    for name in plan["packages"]:
        if name not in world.installed:
            yield f"package {name} is not installed"
    for user in plan["users"]:
        if not needs.has_user(user):
            yield f"user {user['name']} is not there, or not in its groups"
    if world.listeners is None:
        return
    for address, port in sorted(claim.ports):
        if not any(one.holds(address, port) for one in world.listeners):
            yield f"nobody listens on port {port}"
    yield from (f"port {one.port} is taken by {one.who}" for one in claim.strangers(world.listeners))


def _doubts_of_units(claim: Claim, world: World) -> Iterator[str]:
    for unit in claim.plan["units"]:
        state = world.states[unit["name"]]
        if not unit["running"]:
            if state.exists and (state.active or state.enabled):
                yield f"{unit['name']} runs or is enabled"
            continue
        if not state.enabled:
            yield f"{unit['name']} is not enabled"
        for name in (*claim.last["companions"][unit["name"]], unit["name"]):
            if not world.states[name].active or world.states[name].starting:
                yield f"{name} does not run"
        if state.stale:
            yield f"the file of {unit['name']} has changed since systemd read it"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which units have to be started, enabled, stopped, and whether running ones must take up what is new."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Collection, Mapping, Sequence

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program


@dataclasses.dataclass(frozen=True)
class UnitChanges:
    """What becomes of units.

    groups: each unit with its companions, in the order of their start, by name, for those that shall run and for those
    that shall not. ours: units that shall run, with their companions. running: those that do so already. ran: what ran
    before this collection came, for whoever takes it away again. verb: restart or reload, where running units have to
    take up what is new. served: whether the program served when the change began.
    """

    groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    ours: list[str] = dataclasses.field(default_factory=list)
    running: Sequence[str] = ()
    starts: Sequence[str] = ()
    enables: Sequence[str] = ()
    stops: Sequence[str] = ()
    disables: Sequence[str] = ()
    ran: list[str] = dataclasses.field(default_factory=list)
    verb: str = ""
    served: bool = False

    @property
    def due(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.verb or self.starts or self.enables or self.stops or self.disables)

    @property
    def all(self) -> list[str]:
        """All units, companions included."""
        return [one for group in self.groups.values() for one in group]

    def with_companions(self, names: Collection[str]) -> list[str]:
        """Return units with those that run with them, in the order of their start."""
        return [one for name in names for one in self.groups[name]]


def look(
    program: Program, seen: Observation, changed_certificates: Sequence[str] = (), paths: Paths = HOST
) -> UnitChanges:
    """Look at the units of the plan, and at those of earlier runs that it does not name any more."""
    wishes, groups = _wishes(program, seen, paths)
    states = units.states(one for group in groups.values() for one in group)
    active = {name: all(states[one].active for one in group) for name, group in groups.items()}
    running = [name for name, wish in wishes.items() if wish and active[name]]
    starts = [name for name, wish in wishes.items() if wish and not active[name]]
    away = [name for name, wish in wishes.items() if not wish and states[name].exists]
    ran = [name for name in wishes if active[name]]
    journal = seen.records.journal
    return UnitChanges(
        groups=groups,
        ours=[one for name, wish in wishes.items() if wish for one in groups[name]],
        running=running,
        starts=starts,
        enables=[name for name, wish in wishes.items() if wish and not states[name].enabled],
        stops=[name for name in away if any(states[one].active for one in groups[name])],
        disables=[name for name in away if states[name].enabled and "@" not in name],
        ran=seen.records.manifest.get("ran", journal.get("ran", ran)),
        verb=_verb(program, seen, changed_certificates, [states[name] for name in running], paths),
        # A change under way counts by what served when it began.
        served=journal["served"] if journal else bool(running) and not starts,
    )


def _wishes(program: Program, seen: Observation, paths: Paths) -> tuple[dict[str, bool], dict[str, list[str]]]:
    """Return which units shall run, and each with its companions; what the plan does not name any more shall not."""
    records = seen.records
    planned = {unit["name"]: unit["running"] for unit in program.plan["units"]}
    first = not records.manifest and program.enabled
    displaced = [name for name in (program.displaced_units() if first else ()) if name not in planned]
    groups = {name: [*program.companion_units(name), name] for name in planned}
    known = {one for group in groups.values() for one in group}
    # a journal of versions before 1.0 names no units
    left = [os.path.basename(path) for path in seen.stale if f"{os.path.dirname(path)}/" == paths.unit_files]
    gone = [name for name in dict.fromkeys([*reversed(records.units), *left]) if name not in known]
    away = [*displaced, *gone]
    return {**dict.fromkeys(away, False), **planned}, {**{name: [name] for name in away}, **groups}


def _verb(
    program: Program,
    seen: Observation,
    changed_certificates: Sequence[str],
    running: Sequence[units.UnitState],
    paths: Paths,
) -> str:
    """Return how running units take up what is new: restart, reload, or not at all."""
    journal = seen.records.journal
    stale = any(unit.stale for unit in running)
    if not running or not (seen.changes or changed_certificates or journal or stale):
        return ""
    again = (
        # Somebody else's may wait after a failure, for want of what another program has ceased to offer meanwhile.
        bool(seen.foreign)
        or stale
        or any(target.path.startswith(paths.unit_files) for target in seen.changes)
        or journal.get("reread") == "restart"
        or any(unit.starting or renewed(program, unit, paths) for unit in running)
        or program.needs_restart(seen.texts_before, seen.texts_after)
    )
    return "restart" if again else "reload" if program.reloads else ""


def renewed(program: Program, unit: units.UnitState, paths: Paths = HOST) -> bool:
    """Tell whether packages of the program came while a unit ran: it knows those that were there at its start."""
    names = {name for name in program.plan["packages"] if name.startswith(program.name)}
    lists = (name for name in files.names(paths.dpkg) if name.endswith(".list"))
    mine = (files.status(f"{paths.dpkg}/{name}") for name in lists if name[:-5].partition(":")[0] in names)
    began = time.time() - (time.monotonic() - unit.since)
    return any(one and one.st_mtime > began for one in mine)

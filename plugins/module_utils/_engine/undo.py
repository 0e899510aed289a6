# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that made things worse is taken back; what cannot be better stays, and the next run tries again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import NoReturn

from ansible_collections.postamt.mail.plugins.module_utils._engine import ask, journal, take_up, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.ask import Answers
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Begun, Change, Journal
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Why a change is given up.

    why: sentences. back: whether the old files are better. dead: whether the program fell silent, so that the old
    files need a restart. unmade: what of missing_artifacts() could not be made.
    """

    why: Sequence[str]
    back: bool
    dead: bool
    unmade: Sequence[str] = ()


def give_up(change: Change, begun: Begun, trouble: Trouble) -> NoReturn:
    """Raise Stop; bring the old files back, or else leave the journal, so that the next run checks again."""
    logged = units.complaints(change.units.all, begun.since)
    details = [*trouble.why, *(f"logged: {line}" for line in logged)]
    details += change.changed_settings() if change.units.served else []
    details += [f"new since the last reload: {', '.join(change.renewed)}"] if change.renewed else []
    unmade = trouble.unmade
    if trouble.back and begun.journal["files"]:
        unmade = ()  # the old configuration has it, or never wanted it
        try:
            became = undo(change, begun.journal, begun.before, trouble.dead)
            state = f"does not work with the new configuration; {became}"
        except (Failed, OSError) as error:
            state = f"does not work with the new configuration, and the old one is not back ({error}): run again"
    elif trouble.back:
        state = "works worse than before, and there is no older file of this collection to bring back"
    else:
        before_too = "" if change.units.running else ", nor did it before"
        state = f"does not work{before_too}; the new configuration stays, and the next run tries again"
    lines = [f"{change.program.title} {state}.", *(f"- {detail}" for detail in details)]
    raise Stop("\n".join(lines), **({"unmade": list(unmade)} if unmade else {}))


def undo(change: Change, half_done: Journal, before: Answers | None = None, dead: bool = False) -> str:
    """Bring the old files of the journal back and have the program take them up; returns what became of it.

    before: what the program answered, where a change of this run is taken back; None where it is an earlier run's.
    """
    program, home, changes = change.program, change.home, change.units
    _stop_new_units(change, half_done)
    paths = journal.restore(home, half_done, program.age)
    change.report.note("brought the old files back")
    if changes.running:
        take_up.read_unit_files(paths, changes.verb, change.report, home.paths)
        take_up.take_up(program, changes, "restart" if dead else half_done["reread"] or "reload")
    if before is not None:
        _start_again(changes)
    journal.clear(home)
    if before is None:
        return "the files from before a half done change are back"
    if not before:
        return "the old one is back"
    bad = ask.still_worse(change, before)
    return f"the old one is back, but {'; '.join(bad)} is still worse" if bad else "the old one is back and serves"


def _start_again(changes: UnitChanges) -> None:
    """Start and enable the units that the change has stopped."""
    if changes.disables:
        units.act("enable", *changes.disables)
    if changes.stops:
        units.act("start", *changes.with_companions(changes.stops))


def _stop_new_units(change: Change, half_done: Journal) -> None:
    """Stop units whose files came with the change: without these nobody would know of them any more."""
    came = {entry["path"] for entry in half_done["files"] if not entry["copy"]}
    new = [name for name in half_done.get("units", ()) if os.path.join(change.home.paths.unit_files, name) in came]
    if new:
        units.output("systemctl", "disable", "--now", *new, check=False)

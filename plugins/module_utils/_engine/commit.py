# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring about what is due, from the check of the new configuration to the record of it (transaction.py decides)."""

from __future__ import annotations

import contextlib

from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    ask,
    files,
    folders,
    journal,
    manifest,
    stage,
    swap,
    take_up,
    undo,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Begun, Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.stage import Built
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown


def commit(change: Change) -> None:
    """Check, swap, reload, check the health, and take back what made it worse; raises Stop."""
    begun = begin(change)
    built = put_in_force(change, begun)
    if not change.report.dry:
        judge(change, begun)
        see_served(change)
    finish(change, begun, built)


def begin(change: Change) -> Begun:
    """Check what is due, ask the program, write the new files beside the old ones, and begin the journal."""
    report, seen = change.report, change.seen
    half_done = seen.records.journal
    made: list[str] = []
    try:
        built = checked(change)
        if half_done:
            report.did("finished", "finish", "a change that an earlier run left half done")
        before = {} if report.dry else ask.before(change)
        folders.make(seen.folders, report, made)
        if report.dry:
            return Begun(half_done, before, made)
        stage.prepare(seen.changes, built, change.program.age, made)
        return Begun(journal.begin(change, built, made, ask.recorded(before)), before, made)
    except (Failed, OSError) as error:
        stage.discard(seen.changed_paths)
        for path in reversed(made):  # no record names them
            with contextlib.suppress(OSError):
                files.remove_folder(path)
        state = "the change of an earlier run is still half done" if half_done else "nothing was changed"
        raise Stop(f"{change.program.title}: {error}; {state}") from None


def checked(change: Change) -> Built:
    """Return what was built in the stage; a change that was left half done is taken back where this one is refused."""
    half_done = change.seen.records.journal
    try:
        return stage.check(change)
    except stage.Refused as refused:
        state = undo.undo(change, half_done) if half_done and not change.report.dry else "nothing was changed"
        raise Stop(f"{change.program.title}{refused}; {state}:\n{refused.listing}") from None


def put_in_force(change: Change, begun: Begun) -> dict[str, str]:
    """Swap the files and have the program take them up; returns the digests of what was built."""
    program, report, seen = change.program, change.report, change.seen
    try:
        built = swap.swap(program, seen.changes, report)
        take_up.activate(program, change.units, seen.changed_paths, seen.missing_artifacts, report, change.home.paths)
    except (Failed, OSError) as error:
        stage.discard(seen.changed_paths)
        unmade = [error.what] if isinstance(error, take_up.Unmade) else []
        undo.give_up(change, begun, undo.Trouble([str(error)], back=change.units.served, dead=True, unmade=unmade))
    return built


def judge(change: Change, begun: Begun) -> None:
    """Ask the program again; take the change back where answers got worse, and say what else is not well."""
    verdict = ask.judge(change, begun.before)
    if verdict.said:
        undo.give_up(change, begun, undo.Trouble(verdict.said, back=bool(verdict.worse), dead=bool(verdict.mute)))
    for text in verdict.later:
        change.report.note(text)


def see_served(change: Change) -> None:
    """See that a new certificate is shown; the journal stays where it is not, so that the next run tries again."""
    serves = change.program.plan["serves"]
    remaining = shown.settled(serves) if change.renewed and serves else []
    if remaining:
        where, verb = ", ".join(remaining), change.units.verb
        raise Stop(f"{change.program.title} shows another certificate than the one on disk after its {verb}: {where}")


def finish(change: Change, begun: Begun, built: dict[str, str]) -> None:
    """Remove what the plan does not have any more, and record what it has. built: digests of what was built."""
    program, report, seen, running = change.program, change.report, change.seen, change.units.running
    dropped = _drop_ins_left(change)
    try:
        swap.remove_stale(seen.stale, report)
        take_up.read_unit_files(seen.stale, "restart" if dropped else "", report, change.home.paths)
        if dropped and report.did("restarted", "restart", program.title):
            _restart(change)
        elif program.reads_folders and seen.stale and running and report.did("reloaded", "reload", program.title):
            take_up.take_up(program, change.units, "reload")
        if not report.dry:
            manifest.keep(change.home, change.claim(begun.made, built))
            journal.clear(change.home)
    except OSError as error:
        raise Stop(f"{program.title} serves with the new configuration; the next run finishes: {error}") from None


def _drop_ins_left(change: Change) -> list[str]:
    """Return drop-ins of running units that the plan does not have any more: they end with a restart.

    One that an interrupted run has removed already counts: nobody knows whether the restart came after it.
    """
    running = change.units.with_companions(change.units.running)
    folders = tuple(f"{change.home.paths.unit_files}{unit}.d/" for unit in running)
    gone = change.seen.records.files - set(change.seen.paths)
    return sorted(path for path in gone if path.startswith(folders))


def _restart(change: Change) -> None:
    """Restart without drop-ins that were removed, and see that the program serves; raises Stop."""
    title = change.program.title
    try:
        take_up.take_up(change.program, change.units, "restart")
    except Failed as error:
        raise Stop(f"{title}: {error}; the next run tries again") from None
    if said := ask.judge(change, {}).said:
        raise Stop("\n".join([f"{title} does not work after its restart; the next run tries again.", *said]))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a program's plan on a host: look, stage, check, swap, reload, run health checks, undo what made it worse.

A program that is configured by files has a Program (program.py), whose hooks say what is special about it; `run` does
the rest. What a plan holds is in plugin_utils/_compose/plan.py. Whatever happens in between, the files on the host are
a whole old or new set, and the journal in `pending/` says that a change is under way, so that the next run finishes it
or takes it back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    adopt,
    files,
    folders,
    journal,
    manifest,
    needs,
    observe,
    stage,
    swap,
    take_up,
    unit_changes,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.journal import Journal
from ansible_collections.postamt.mail.plugins.module_utils._engine.locks import alone
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import Missing
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown


def run(kind: type[Program], module: AnsibleModule) -> None:
    """Apply the plan of the module's request to a program of this kind; ends the module."""
    program = kind(module.params["request"]["plan"])
    execute(program, module, lambda report: {"missing": apply(program, report)})


def execute(
    program: Program, module: AnsibleModule, work: Callable[[Report], dict[str, Any]], paths: Paths = HOST
) -> None:
    """Do some work while nobody else touches the host's programs; ends the module with what it returns and reports."""
    report = Report(module.check_mode)
    try:
        with alone(program.name, paths):
            answer = work(report)
    except Stop as stop:
        module.fail_json(msg=str(stop), **report.noted(), **stop.more)
    except (Failed, OSError) as error:
        module.fail_json(msg=f"{program.title}: {error}", **report.noted())
    module.exit_json(**report.noted(), **answer)


def apply(program: Program, report: Report, paths: Paths = HOST) -> Missing:
    """Go the whole way; returns what the action has to bring first, where something is missing.

    Raises Stop, units.Failed or OSError.
    """
    home = paths.of(program.name)
    files.remove_tree(home.stage)  # left by a killed run
    missing = needs.missing(program.plan, report)
    stopped = needs.stop_rivals(program.plan, missing, report)
    seen = observe.observe(program, home)
    adopt.refuse_foreign_files(program, seen)
    if missing and not report.dry:
        return {**missing, **({"stopped": stopped} if stopped else {})}
    renewed = observe.changed_certificates(program.plan, seen.records, seen.watched, report.dry)
    changes = unit_changes.look(program, seen, renewed, paths)
    if not report.dry:
        journal.tidy(home, seen)
    report.diffs += seen.differences()
    change = Change(program, home, report, seen, changes, renewed, missing)
    if change.due:
        commit(change)
    elif not report.dry and (claim := change.claim()) != seen.records.manifest:
        manifest.keep(home, claim)  # somebody had written the very same files, or had it read the new certificate
    return missing


def commit(change: Change) -> None:
    """Check, swap, reload, check the health, and take back what made it worse; raises Stop."""
    from ansible_collections.postamt.mail.plugins.module_utils._engine import ask, undo  # cost time: only on a change

    program, home, report, seen = change.program, change.home, change.report, change.seen
    mark: Journal = seen.records.journal
    before: ask.Answers = {}
    made: list[str] = []  # folders
    try:
        try:
            built = stage.check(change)
        except stage.Refused as refused:
            state = "nothing was changed" if not mark or report.dry else undo.undo(change, mark)
            raise Stop(f"{program.title}{refused}; {state}:\n{refused.listing}") from None
        if mark:
            report.did("finished", "finish", "a change that an earlier run left half done")
        before = ask.before(change) if not report.dry else {}
        folders.make(seen.folders, report, made)
        if not report.dry:
            stage.prepare(seen.changes, built, program.age, made)
            mark = journal.begin(change, built, made, ask.recorded(before))
    except (Failed, OSError) as error:
        stage.discard(seen.changed_paths)
        for path in reversed(made):  # no record names them
            with contextlib.suppress(OSError):
                files.remove_folder(path)
        state = "the change of an earlier run is still half done" if mark else "nothing was changed"
        raise Stop(f"{program.title}: {error}; {state}") from None
    since = f"@{int(time.time())}"
    try:
        products = swap.swap(program, seen.changes, report)
        take_up.activate(program, change.units, seen.changed_paths, seen.missing_artifacts, report, home.paths)
    except (Failed, OSError) as error:
        stage.discard(seen.changed_paths)
        unmade = [error.what] if isinstance(error, take_up.Unmade) else []
        trouble = undo.Trouble([str(error)], back=change.units.served, dead=True, unmade=unmade)
        undo.give_up(change, mark, trouble, before, since)
    if not report.dry and program.enabled:
        verdict = ask.judge(change, before)
        if verdict.said:
            trouble = undo.Trouble(verdict.said, back=bool(verdict.worse), dead=bool(verdict.mute))
            undo.give_up(change, mark, trouble, before, since)
        report.actions += verdict.later
        see_served(change)
    finish(change, made, products)


def see_served(change: Change) -> None:
    """See that a new certificate is shown; the journal stays where it is not, so that the next run tries again."""
    serves = change.program.plan["serves"]
    remaining = shown.settled(serves) if change.renewed and serves else []
    if remaining:
        where, verb = ", ".join(remaining), change.units.verb
        raise Stop(f"{change.program.title} shows another certificate than the one on disk after its {verb}: {where}")


def finish(change: Change, made: list[str], products: dict[str, str]) -> None:
    """Remove what the plan does not have any more, and record what it has.

    made: folders that were not there. products: digests of what was built.
    """
    program, report, seen, running = change.program, change.report, change.seen, change.units.running
    try:
        swap.remove_stale(seen.stale, report)
        take_up.read_unit_files(seen.stale, "", report, change.home.paths)
        if program.reads_folders and seen.stale and running and report.did("reloaded", "reload", program.title):
            take_up.take_up(program, change.units, "reload")
        if not report.dry:
            manifest.keep(change.home, change.claim(made, products))
            journal.clear(change.home)
    except OSError as error:
        raise Stop(f"{program.title} serves with the new configuration; the next run finishes: {error}") from None

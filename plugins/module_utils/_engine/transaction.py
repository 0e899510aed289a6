# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a program's plan on a host: look, stage, check, swap, reload, run health checks, undo what made it worse.

A program that is configured by files has a Program (program.py), whose hooks say what is special about it; `run` does
the rest. What a plan holds is in plugin_utils/_compose/plan.py. Whatever happens in between, the files on the host are
a whole old or new set, and the journal in `pending/` says that a change is under way, so that the next run finishes it
or takes it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    adopt,
    files,
    manifest,
    needs,
    observe,
    unit_changes,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.locks import alone
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import Missing
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Home, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed


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
        tidy(home, seen)
    report.diffs += seen.differences()
    change = Change(program, home, report, seen, changes, renewed, missing)
    if change.due:
        from ansible_collections.postamt.mail.plugins.module_utils._engine import commit  # takes time to import

        commit.commit(change)
    elif not report.dry and (claim := change.claim()) != seen.records.manifest:
        manifest.keep(home, claim)  # somebody had written the very same files, or had it read the new certificate
    return missing


def tidy(home: Home, seen: Observation) -> None:
    """Remove what a killed run left that had not begun its change, or had ended it; it may have wanted other files."""
    for path in {*seen.records.files, *seen.paths}:
        files.remove(files.beside(path))
    if not seen.records.journal:
        files.remove_tree(home.pending)

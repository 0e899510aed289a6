# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units that shall not run are stopped, and the others take up what is new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed


class Unmade(Failed):
    """Something that the program needs could not be made (Program.create). what: as missing_artifacts() named it."""

    def __init__(self, what: str, why: object) -> None:
        super().__init__(str(why))
        self.what = what


def activate(
    program: Program,
    changes: UnitChanges,
    changed_paths: Sequence[str],
    artifacts: Sequence[str],
    report: Report,
    paths: Paths = HOST,
) -> None:
    """Stop what shall not run, and have the program take up what is new; raises Failed.

    changed_paths: files that were written. artifacts: what else the program needs and has not got.
    """
    stop(changes, report)
    read_unit_files(changed_paths, changes.verb, report, paths)
    for what in artifacts:
        if report.did("made", "make", what):
            try:
                program.create(what)
            except (Failed, OSError) as error:
                raise Unmade(what, error) from error
    if enables := [name for name in changes.enables if report.did("enabled", "enable", name)]:
        units.act("enable", *enables)
    if changes.verb and report.did(f"{changes.verb}ed", changes.verb, program.title):
        take_up(program, changes, changes.verb)
    for name in changes.starts:
        if report.did("started", "start", name):
            units.act("start", *changes.groups[name])


def stop(changes: UnitChanges, report: Report) -> None:
    """Stop and disable what shall not run."""
    for name in changes.stops:
        if report.did("stopped", "stop", name):
            units.act("stop", *reversed(changes.groups[name]))
    if disables := [name for name in changes.disables if report.did("disabled", "disable", name)]:
        units.act("disable", *disables)  # in one call, since each makes systemd read all of its units again


def read_unit_files(changed_paths: Iterable[str], verb: str, report: Report, paths: Paths = HOST) -> None:
    """Have systemd read its units again where files of theirs have changed, or where they are restarted."""
    if not report.dry and (verb == "restart" or any(path.startswith(paths.unit_files) for path in changed_paths)):
        units.output("systemctl", "daemon-reload")


def take_up(program: Program, changes: UnitChanges, verb: str) -> None:
    """Restart or reload what runs."""
    names = changes.with_companions(changes.running)
    (program.restart if verb == "restart" else program.reload)(names)

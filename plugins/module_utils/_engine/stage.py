# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new configuration before it is in force: checked in a stage, then written beside the old files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.folders import number
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed

Built = Mapping[str, bytes]  # what was built from files, by path


class Refused(Exception):
    """The new configuration is not to be used; the text goes after the program's title. details: one sentence each."""

    def __init__(self, what: str, details: Iterable[str]) -> None:
        super().__init__(what)
        self.listing = "\n".join(f"- {detail}" for detail in dict.fromkeys(details))


def check(change: Change) -> Built:
    """Ask the program's own checker about a staged copy, and build the tables there; raises Refused."""
    program, seen = change.program, change.seen
    if not seen.changes:
        return {}
    if change.missing or (program.checker and not shutil.which(program.checker)):
        what = "packages or users are missing" if change.missing else f"{program.checker} is not installed"
        change.report.note(f"the new configuration was not checked: {what}")
        return {}
    stage = change.home.stage
    files.private_folder(stage)
    try:
        _fill(program, stage, seen.targets)
        problems = _build(program, stage, seen.targets) or program.check(stage, change.report.dry)
        taken = [] if problems else _taken_ports(program, stage, change.units.all)
        products = [target.product.path for target in seen.changes if target.product]
        built = {path: made.content for path in products if (made := files.see(stage + path))}
    finally:
        files.remove_tree(stage)
    for what, said in (
        ("'s own checker refuses the new configuration", problems),
        (" cannot listen where the new configuration says", taken),
    ):
        if said:
            raise Refused(what, [one.replace(stage, "") for one in [*said, *change.changed_settings()]])
    return built


def _fill(program: Program, stage: str, targets: Iterable[Target]) -> None:
    for target in targets:
        path = stage + target.path
        files.make_folder(os.path.dirname(path))
        content = program.staged(target.path, target.content.decode()).encode()
        files.write(path, content, uid=os.geteuid(), gid=os.getegid(), age=program.age)


def _build(program: Program, stage: str, targets: Iterable[Target]) -> list[str]:
    """Build what is built from the staged files; returns what is wrong with them."""
    problems = []
    for target in targets:
        try:
            if target.build:
                program.build(target.build, target.path, stage)
        except Failed as error:
            problems.append(str(error))
    return problems


def _taken_ports(program: Program, stage: str, mine: Collection[str]) -> list[str]:
    """Return who else has a port: a server that cannot listen ends, if not now then at its next start.

    mine: the program's own units.
    """
    asked = units.endpoints(question["arguments"] for question in program.plan["questions"])
    return [f"{one}{program.where_taken}" for one in units.taken(sorted(asked | program.ports(stage)), mine)]


def prepare(changes: Iterable[Target], built: Built, age: float, made: list[str]) -> None:
    """Write the new files beside the old ones, so that a full disk shows before anything is changed.

    made: takes the paths of folders that were not there. age: seconds by which the files look older.
    """
    for target in changes:
        uid, gid = number(files.uid_of, target.owner), number(files.gid_of, target.group)
        made += files.make_folder(os.path.dirname(target.path))
        files.write(files.beside(target.path), target.content, target.mode, uid, gid, age)
        if target.product:
            if target.product.path not in built:
                raise Failed(f"{target.product.path} was not built")
            files.write(files.beside(target.product.path), built[target.product.path], target.mode, uid, gid)


def discard(paths: Iterable[str]) -> None:
    """Remove what was written beside the old files."""
    for path in paths:
        with contextlib.suppress(OSError):
            files.remove(files.beside(path))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new files take their places."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.folders import number
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target


def swap(program: Program, changes: Sequence[Target], report: Report) -> dict[str, str]:
    """Rename the new files into their places, built ones before their sources, the main ones last.

    Returns the digests of what was built, as it is now.
    """
    for target in changes:
        if report.did("wrote", "write", target.path):
            for path in target.paths():
                files.put(path)
    if report.dry:
        return {}
    files.settle(path for target in changes for path in target.paths())
    digests = {}
    for target in changes:
        if target.product:
            program.build_in_place(target.build, target.path)
            uid, gid = number(files.uid_of, target.owner), number(files.gid_of, target.group)
            files.set_rights(target.product.path, target.mode, uid, gid)
            digests[target.product.path] = files.digest(target.product.path)
    return digests


def remove_stale(paths: Sequence[str], report: Report) -> None:
    """Remove files of earlier runs that the plan does not have any more."""
    for path in paths:
        if report.did("removed", "remove", path):
            files.remove(path)

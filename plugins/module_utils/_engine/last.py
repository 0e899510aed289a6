# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a manifest keeps of the plan that was applied last, so that a look can tell whether the host still is so.

unchanged.py compares it with the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files

if TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program

# What of a plan the look needs again; contents of files and secrets are not in it.
_KEPT = ("wanted", "program", "packages", "users", "units", "questions", "parts")


def record(program: Program, paths: Iterable[str], folders: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Return what a manifest keeps as `last`; nothing where a look may not find that there is nothing to do.

    The plan's digest, which the controller says, tells it from any other plan. paths: the files that were written.
    folders: as the plan has them.
    """
    plan = program.plan
    if not plan.get("digest") or not program.settles():
        return {}
    return {
        "digest": plan["digest"],
        "plan": {key: plan[key] for key in (*_KEPT, *program.evidence_needs) if key in plan},
        "files": {path: rights(path) for path in sorted(paths)},
        "folders": [dict(folder) for folder in folders] if plan["wanted"] else [],
        "companions": {unit["name"]: list(program.companion_units(unit["name"])) for unit in plan["units"]},
        "evidence": program.evidence(),
    }


def rights(path: str) -> list[int]:
    """Return mode, owner and group of a file; nothing where there is none."""
    found = files.status(path)
    return list(files.rights(found)) if found else []

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a manifest keeps of the plan that was applied last, so that a look can tell whether the host still is so.

unchanged.py compares it with the host.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ansible_collections.postamt.mail.plugins.module_utils._engine import files

# What of a plan the look needs again; contents of files and secrets are not in it.
_KEPT = ("wanted", "program", "packages", "users", "units", "questions")


class Kind(Protocol):
    """What is asked of a program's class."""

    evidence_needs: tuple[str, ...]

    def companion_units(self, unit: str) -> tuple[str, ...]:
        """Return the units that run with a unit of the plan."""

    def evidence(self) -> dict[str, Any]:
        """Return what else tells that the program is as a run left it."""


def record(plan: Mapping[str, Any], kind: Kind, paths: Iterable[str], folders: list[dict[str, str]]) -> dict[str, Any]:
    """Return what a manifest keeps as `last`; nothing where the controller has said no digest.

    The plan's digest tells it from any other plan. paths: the files that the plan has written. folders: as the plan has
    them.
    """
    if not plan.get("digest"):
        return {}
    return {
        "digest": plan["digest"],
        "plan": {key: plan[key] for key in (*_KEPT, *kind.evidence_needs) if key in plan},
        "files": {path: rights(path) for path in sorted(paths)},
        "folders": folders if plan["wanted"] else [],
        "companions": {unit["name"]: list(kind.companion_units(unit["name"])) for unit in plan["units"]},
        "evidence": kind.evidence(),
    }


def rights(path: str) -> list[int]:
    """Return mode, owner and group of a file; nothing where there is none."""
    found = files.status(path)
    return [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid] if found else []

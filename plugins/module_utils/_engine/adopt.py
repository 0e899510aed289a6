# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of somebody else's configuration a plan puts out of force: it stops a run, unless it may be replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.module_utils._engine import observe, unit_changes
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, STATE, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Stop

DIFFERENCES = "The differences (- as it is, + as it would be):"


@dataclasses.dataclass
class Comparison:
    """How somebody else's configuration of a program differs from the desired one.

    what: files, and units that would be stopped.
    """

    what: list[str] = dataclasses.field(default_factory=list)
    difference: str = ""
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def refuse_foreign_files(program: Program, seen: Observation) -> None:
    """Raise Stop before somebody else's configuration, unless it may be replaced."""
    if program.enabled and seen.foreign and not program.plan.get("adopt"):
        raise Stop(f"{program.title}: {refusal(seen.foreign, _difference(program, seen))}")


def refusal(paths: Iterable[str], differences: str = "") -> str:
    """Return why a run stops before somebody else's configuration."""
    return (
        f"neither Debian's nor this collection's on this host: {', '.join(paths)}. Nothing was changed. With "
        f"mail_adopt: true this collection's configuration takes their place, and the replaced files are kept in "
        f"{STATE}/<program>/originals; mailboxes, /etc/aliases and the queue stay."
        + (f" {DIFFERENCES}\n{differences}" if differences else "")
    )


def compare(program: Program, paths: Paths = HOST) -> Comparison:
    """Return what of somebody else's configuration the plan would put out of force, without changing anything."""
    seen = observe.observe(program, paths.of(program.name))
    if not program.enabled:
        stops = [*unit_changes.look(program, seen, paths=paths).stops] if seen.superseded else []
        return Comparison(stops, "".join(f"-{name} runs\n+{name} is stopped and disabled\n" for name in stops))
    if not seen.foreign:
        return Comparison()
    return Comparison(seen.foreign, _difference(program, seen), *program.adoption_blockers(seen.desired_texts))


def _difference(program: Program, seen: Observation) -> str:
    return program.differences(seen.desired_texts, seen.foreign_files, list(seen.superseded))

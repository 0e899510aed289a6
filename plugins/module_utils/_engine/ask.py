# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a program before and after a change, by the health checks of its plan, whether it serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import health, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.health import Answer

Answers = Mapping[str, Answer]  # by the described check


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a program answers after a change, compared with before.

    worse: sentences about answers that got worse. mute: about those that show it does not serve. later: notes about
    passing refusals. said: sentences about all that are worse or mute.
    """

    worse: list[str] = dataclasses.field(default_factory=list)
    mute: list[str] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)
    later: list[str] = dataclasses.field(default_factory=list)


def before(change: Change) -> Answers:
    """Return what the program answers before the change, or answered before a change that was left half done."""
    journal = change.seen.records.journal
    if journal:
        return {check: Answer(**said) for check, said in journal["answers"].items()}
    return answers(change) if change.units.served else {}


def answers(change: Change, wait: float = 0) -> Answers:
    """Run the plan's health checks; wait: seconds that the program may take to answer at all."""
    program = change.program
    asked = {health.described(check): check for check in program.plan["questions"] if program.enabled}

    if not asked:
        return {}

    def hopeless() -> bool:
        """Tell whether a unit that shall run is dead, so that there is nothing to wait for."""
        return any(state.dead for state in units.states(change.units.ours).values())

    return dict(zip(asked, health.run(list(asked.values()), wait, hopeless), strict=True))


def judge(change: Change, old: Answers) -> Verdict:
    """Ask again, and compare."""
    new = answers(change, wait=change.program.patience)
    was = {check: old.get(check, health.NOTHING) for check in new}
    worse = [check for check, answer in new.items() if health.worse(was[check], answer)]
    mute = [check for check, answer in new.items() if answer.verdict in (health.SILENT, health.BROKEN)]
    later = []
    for check, answer in new.items():
        if answer.verdict == health.LATER:
            cause = f" ({', '.join(answer.down)} does not answer)" if answer.down else ""
            later.append(f"asked {check}, which answers {answer.text} for now{cause}")
    said = [f"{q}: before {was[q].text}, now {a.text}" for q, a in new.items() if q in worse or q in mute]
    return Verdict(worse, mute, said, later)


def still_worse(change: Change, old: Answers) -> list[str]:
    """Return the checks whose answers are worse than they were, once the old files are back."""
    again = answers(change, wait=change.program.patience)
    return [check for check, answer in again.items() if check in old and health.worse(old[check], answer)]


def recorded(found: Answers) -> dict[str, dict[str, Any]]:
    """Return answers for the journal."""
    return {check: vars(answer) for check, answer in found.items()}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How saslauthd takes a new configuration up: it has neither a checker nor a reload."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import UNIT_FILES
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program

UNIT, DEBIANS = "saslauthd-postfix.service", "saslauthd.service"
ALIAS = f"{DEBIANS} another name of {UNIT}"


class Sasl(Program):
    def missing_artifacts(self, leaving: Collection[str]) -> list[str]:
        leads = files.readlink(UNIT_FILES + DEBIANS)
        return [] if leads in (UNIT_FILES + UNIT, UNIT, "/dev/null") else [ALIAS]  # masked: nothing else starts

    def create(self, what: str) -> None:
        """Have Debian's name mean this collection's daemon; one that runs by it would be nobody's."""
        debians = units.states([DEBIANS])[DEBIANS]
        if debians.active:
            units.act("stop", DEBIANS)
        if debians.enabled:
            units.act("disable", DEBIANS)
        units.act("enable", UNIT)

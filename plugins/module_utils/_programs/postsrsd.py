# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How PostSRSd takes a new configuration up: it has neither a checker nor a reload."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program

UNIT = "postamt-srs.service"
DEBIANS_UNIT = "postsrsd.service"
# Below 1024: no user of the host can listen there while it is down, and say where mail goes.
FORWARD, REVERSE = 956, 957


class Postsrsd(Program):
    def displaced_units(self) -> tuple[str, ...]:
        """Return Debian's own unit, which the package enables, unless an administrator uses it."""
        unused = files.exists("/usr/sbin/postsrsd") and not units.states([DEBIANS_UNIT])[DEBIANS_UNIT].active
        return (DEBIANS_UNIT,) if unused else ()

    def ports(self, stage: str) -> set[tuple[str, int]]:
        return {("127.0.0.1", FORWARD), ("127.0.0.1", REVERSE)}

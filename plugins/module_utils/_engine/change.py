# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is due on a host: all that was found out before anything is changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import manifest, secrecy
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import Missing
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Home
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges

if TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine.health import Answer

Journal = Mapping[str, Any]
MOST = 8  # changed settings that a message names


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of one program on a host.

    renewed: files of others, certificates, that the program has not read yet. missing: packages and users that are not
    there, where this run only predicts. report: takes what is done.
    """

    program: Program
    home: Home
    report: Report
    seen: Observation
    units: UnitChanges
    renewed: Sequence[str] = ()
    missing: Missing = dataclasses.field(default_factory=dict)

    @property
    def due(self) -> bool:
        """Whether anything has to be done."""
        return self.seen.due or self.units.due

    def changed_settings(self) -> list[str]:
        """Return what the change is about, as details of a message."""
        targets = self.seen.changes
        old = {t.path: secrecy.shown(t.seen.content, t.secret) if t.seen else None for t in targets}
        new = {t.path: secrecy.shown(t.content, t.secret) for t in targets}
        changed = self.program.changed_settings(old, new)
        more = [f"changed: and {len(changed) - MOST} more"] if len(changed) > MOST else []
        return [*(f"changed: {text}" for text in changed[:MOST]), *more]

    def claim(self, made: Sequence[str] = (), built: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the manifest of the host as it is after the change.

        made: folders that were not there. built: digests of products that were built.
        """
        folders = {*self.seen.records.folders, *made}
        digests = {**self.seen.digests, **(built or {})}
        return manifest.claim(self.program.plan, digests, folders, self.units, self.seen.watched)


@dataclasses.dataclass(frozen=True)
class Begun:
    """A change that is under way.

    journal: as it is on the disk. before: what the program answered, by health check. made: folders that were not
    there. since: when it began, for journalctl(1).
    """

    journal: Journal
    before: Mapping[str, Answer]
    made: Sequence[str] = ()
    since: str = dataclasses.field(default_factory=lambda: f"@{int(time.time())}")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifest of a program: what of a host is this collection's, for the next run and for who takes it away again.

A run writes it when it has succeeded, and nowhere else than here is said what it records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, folders, last
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Home

if TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
    from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges


@dataclasses.dataclass(frozen=True)
class Records:
    """What earlier runs left: the manifest, and the journal of a change that was left half done."""

    manifest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    journal: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> frozenset[str]:
        """Paths that earlier runs wrote."""
        marked = (entry["path"] for entry in self.journal.get("files", ()))
        return frozenset({*self.manifest.get("files", ()), *marked})

    @property
    def folders(self) -> frozenset[str]:
        """Folders that earlier runs made."""
        return frozenset({*self.manifest.get("folders", ()), *self.journal.get("folders", ())})

    @property
    def units(self) -> list[str]:
        """Units that earlier runs had running, in the order of their start."""
        return list(dict.fromkeys([*self.manifest.get("units", ()), *self.journal.get("units", ())]))

    @property
    def watched(self) -> Mapping[str, str]:
        """Digests of files of others as the program read them last."""
        return dict(self.manifest.get("watch", {}))


def load(home: Home) -> Records:
    """Return what earlier runs left; raises OSError for a record that is damaged."""
    return Records(files.load(home.manifest), files.load(home.journal))


def claim(
    program: Program,
    digests: Mapping[str, str],
    made: Iterable[str],
    units: UnitChanges,
    watched: Mapping[str, str],
) -> dict[str, Any]:
    """Return what is recorded of a host that is as its plan wants it.

    digests: of what was meant, by path, and not of what a service may have put in its place since. made: all folders
    that were made. watched: digests of the files of others as the program has read them. What the plan says of the
    program is for the command postamt-certificates, which has it read new certificates. `last` is for the next look.
    """
    plan = program.plan
    return {
        "files": dict(digests),
        "folders": sorted(made),
        "units": units.ours,
        "ran": units.ran,
        "watch": dict(watched),
        "serves": plan["serves"],
        **{key: plan["program"][key] for key in ("title", "reload", "workers")},
        "last": last.record(program, digests, folders.planned(plan, sorted(made))),
    }


def keep(home: Home, record: Mapping[str, Any]) -> None:
    """Write the manifest."""
    files.private_folder(home.folder)
    files.save(home.manifest, dict(record))

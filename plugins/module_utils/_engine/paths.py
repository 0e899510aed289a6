# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the engine keeps its records on a host, and where it looks."""

from __future__ import annotations

import dataclasses

STATE = "/var/lib/postamt"  # what was written, originals, and the old copies of a change under way
RUNTIME = "/run/postamt"  # locks and stages: gone after a boot, so a check leaves no trace
UNIT_FILES = "/etc/systemd/system/"


@dataclasses.dataclass(frozen=True)
class Paths:
    """The folders of a host. A test makes them elsewhere.

    dpkg: where a file of each package's file names is as old as its installation.
    """

    state: str = STATE
    runtime: str = RUNTIME
    unit_files: str = UNIT_FILES
    dpkg: str = "/var/lib/dpkg/info"

    def of(self, program: str) -> Home:
        """Return the places of one program."""
        return Home(self, program)


HOST = Paths()


@dataclasses.dataclass(frozen=True)
class Home:
    """The places of one program; name: as in its plan."""

    paths: Paths
    name: str

    @property
    def folder(self) -> str:
        """All of its records."""
        return f"{self.paths.state}/{self.name}"

    @property
    def manifest(self) -> str:
        """What of this host is this collection's (manifest.py)."""
        return f"{self.folder}/manifest.json"

    @property
    def pending(self) -> str:
        """The old copies of a change under way."""
        return f"{self.folder}/pending"

    @property
    def journal(self) -> str:
        """What is known of a change under way (journal.py)."""
        return f"{self.pending}/mark.json"

    @property
    def originals(self) -> str:
        """The files that this collection replaced, below this folder by their whole paths."""
        return f"{self.folder}/originals"

    @property
    def stage(self) -> str:
        """Where a new configuration lies while it is checked, by its whole paths."""
        return f"{self.paths.runtime}/{self.name}.stage"

    @property
    def lock(self) -> str:
        """Held by a run of this program."""
        return f"{self.paths.runtime}/{self.name}.lock"

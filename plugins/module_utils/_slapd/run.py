# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the steps of a run of slapd's plan share: the record of what was applied, and the connection."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import RECORD


class Record:
    """What was applied last, and whether a change is under way, so that the next run says what it finishes.

    applied: what the next run compares with. dry: whether this run only predicts, and writes nothing.
    """

    def __init__(self, path: str = RECORD, dry: bool = False) -> None:
        self.path = path
        self.dry = dry
        self.applied: dict[str, Any] = files.load(path)
        self.under_way = bool(self.applied.pop("under_way", False))

    def begin(self) -> None:
        """Note that a change is under way."""
        if not self.under_way and not self.dry:
            self.under_way = True
            self.keep()

    def keep(self) -> None:
        """Write it."""
        if not self.dry:
            files.private_folder(os.path.dirname(self.path))
            files.save(self.path, {**self.applied, **({"under_way": True} if self.under_way else {})})


@dataclasses.dataclass(frozen=True)
class Run:
    """A run once slapd runs.

    connection: to slapd, or in check mode to its files where it does not run. restarted: whether this run has started
    it, so that it knows its certificate.
    """

    change: Change
    record: Record
    connection: Connection
    restarted: bool = False

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan that is applied."""
        return self.change.program.plan

    @property
    def suffix(self) -> str:
        """Of the directory."""
        return str(self.plan["config"]["suffix"])

    @property
    def report(self) -> Report:
        """What takes note of what is done."""
        return self.change.report

    @property
    def dry(self) -> bool:
        """Whether this run only predicts."""
        return self.report.dry

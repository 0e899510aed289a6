# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of what was applied last."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record


def test_a_run_that_is_killed_is_known_to_the_next(record: Record) -> None:
    record.applied["accounts"] = {}
    record.begin()
    again = Record(record.path)
    assert again.under_way and again.applied == {"accounts": {}}
    again.under_way = False
    again.keep()
    assert not Record(record.path).under_way
    assert files.load(record.path) == {"accounts": {}}


def test_check_mode_writes_nothing(record: Record) -> None:
    dry = Record(record.path, dry=True)
    dry.applied["accounts"] = {}
    dry.begin()
    dry.keep()
    assert not Path(record.path).exists()

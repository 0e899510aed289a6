# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of slapd's plan on a temporary root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record
from ansible_collections.postamt.mail.tests.lib.described import described


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """What is due of a plan: nothing yet; its database lies in the folder ldap-mail."""
    folder = tmp_path / "ldap-mail"
    folder.mkdir()
    (folder / "data.mdb").write_text("old")
    plan: dict[str, Any] = described(
        "ldap",
        wanted=True,
        config={"suffix": "o=mail", "database": {"olcDbDirectory": [str(folder)]}},
        entries={"suffix": "o=mail"},
        provider="mail.example.org",
        listen="ldapi:/// ldap://localhost/ ldaps://localhost/",
        key_group="no-such-group",
        units=[{"name": "slapd.service", "running": True}],
        packages=[],
    )
    paths = Paths(state=str(tmp_path / "state"), runtime=str(tmp_path / "run"))
    return Change(Program(plan), paths.of("ldap"), Report(), Observation(), UnitChanges())


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(str(tmp_path / "home" / "applied.json"))

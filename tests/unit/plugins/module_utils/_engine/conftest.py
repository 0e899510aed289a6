# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host below a temporary folder, in memory where there is such a folder: the engine waits for the disk often."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.tests.lib.engine import Lab

MEMORY = "/dev/shm"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        found = Lab(Path(folder))
        monkeypatch.setattr(units, "_runner", found.runner)
        yield found

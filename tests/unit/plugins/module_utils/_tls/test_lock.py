# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock that runs and the command share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls.lock import held, lock


def test_the_lock_waits_and_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with (
        lock(1, path),
        pytest.raises(TimeoutError, match=f"held for 0 seconds by process {os.getpid()}, "),
        lock(0.1, path),
    ):
        pass
    with lock(0.1, path):
        pass


def test_who_has_the_lock_can_be_asked_without_taking_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert held(path) == ""
    assert not (tmp_path / "lock").exists()
    with lock(1, path, "somebody"):
        assert held(path) == f"process {os.getpid()}, somebody"
    assert held(path) == ""
    with lock(0, path):
        pass

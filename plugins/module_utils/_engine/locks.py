# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks by which nobody else changes a host's programs meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import lock


@contextlib.contextmanager
def alone(program: str, paths: Paths = HOST) -> Iterator[None]:
    """Hold the lock of a program on this host; raises Failed where another run holds it.

    The command postamt-certificates, which reloads programs too, waits for this run, and this run for the command.
    """
    whose = f"a run of postamt.mail, {program}"
    with files.open_lock(paths.of(program).lock) as file:
        if not lock.locked(file, whose):
            holder = lock.holder(file)
            raise Failed(f"another run is changing it on this host right now ({holder}); nothing was done")
        with lock.lock(60, _services(paths), whose):
            yield


def holder(paths: Paths = HOST) -> str:
    """Return who changes programs on this host right now, empty where nobody does."""
    return lock.held(_services(paths))


def _services(paths: Paths) -> str:
    return os.path.join(paths.runtime, os.path.basename(lock.LOCK))

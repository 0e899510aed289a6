# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of whoever changes or reloads a host's mail programs, a run or the command postamt-certificates.

A host has this file as /usr/local/lib/postamt/lock.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import IO

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, walk

LOCK = "/run/postamt/services.lock"


@contextlib.contextmanager
def lock(wait: float, path: str = LOCK, whose: str = "postamt-certificates") -> Iterator[None]:
    """Have the host's mail programs to oneself; raises TimeoutError after so many seconds.

    whose: what others are told who wait in vain.
    """
    with files.open_lock(path) as file:
        until = time.monotonic() + wait
        while not locked(file, whose):
            if time.monotonic() > until:
                raise TimeoutError(f"{path} has been held for {wait:.0f} seconds by {holder(file)}") from None
            time.sleep(0.05)
        yield


def locked(file: IO[str], whose: str) -> bool:
    """Take a lock and write into it who has it; tells whether it was free. It is free again when its file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()}, {whose}")
    file.flush()
    return True


def held(path: str = LOCK) -> str:
    """Return who has the host's mail programs right now, in words; empty where nobody has."""
    try:
        file = walk.regular(path)[0]
    except (FileNotFoundError, NotADirectoryError):
        return ""
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().decode("utf-8", "replace") or "somebody else"
    return ""


def holder(file: IO[str]) -> str:
    """Return who has a lock, in words."""
    file.seek(0)
    return file.read() or "somebody else"

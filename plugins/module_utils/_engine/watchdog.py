# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An end for a module that hangs: it leaves no process and no lock, and what it left half done has its journal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time

from ansible_collections.postamt.mail.plugins.module_utils._engine import files

LIMIT = 1800.0  # seconds; a busy host with official signatures or 20,000 accounts needs a few minutes


def start(what: str, limit: float = LIMIT) -> None:
    """Have this process ended after so many seconds, as a kill would, with those that it started.

    what: whose work it is, for the message.
    """
    threading.Thread(target=_wait, args=(what, limit), daemon=True).start()


def _wait(what: str, limit: float) -> None:
    time.sleep(limit)
    started = descendants(os.getpid())
    waits = [" ".join(files.text(f"/proc/{pid}/cmdline").split("\0")).strip() for pid in started]
    waited = f", while it waited for {'; '.join(waits)}" if waits else ""
    said = f"{what} was ended, since it took more than {limit:.0f} seconds{waited}. The next run finishes what it began"
    answer = json.dumps({"failed": True, "changed": True, "msg": said})
    with contextlib.suppress(OSError):  # nobody may be there any more to read it, or read on
        os.set_blocking(1, False)
        os.write(1, f"\n{answer}\n".encode())
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(1)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, with those that these have (proc(5))."""
    found: list[int] = []
    for thread in files.names(f"/proc/{pid}/task"):
        for child in map(int, files.text(f"/proc/{pid}/task/{thread}/children").split()):
            found += [child, *descendants(child)]
    return found

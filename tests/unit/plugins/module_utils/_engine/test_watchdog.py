# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module that hangs is ended with what it started, and its lock is free."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, watchdog
from ansible_collections.postamt.mail.plugins.module_utils._tls import lock

HANGS = """
import subprocess, sys
from ansible_collections.postamt.mail.plugins.module_utils._tls import lock
from ansible_collections.postamt.mail.plugins.module_utils._engine import watchdog
watchdog.start("clamav on this host", 1.5)
with lock.lock(1, sys.argv[1], "a run of postamt.mail, clamav"):
    subprocess.run(["sh", "-c", "trap '' TERM; echo begun >&2; sleep 77.5; :"])
"""


def test_what_hangs_ends_with_its_children_and_leaves_no_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    words, env = [sys.executable, "-c", HANGS, path], {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    module = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert module.stderr and module.stderr.readline() == b"begun\n"
    with files.open_lock(path) as file:
        assert not lock.locked(file, "me")
        assert lock.holder(file) == f"process {module.pid}, a run of postamt.mail, clamav"
    until = time.monotonic() + 5
    while not (children := watchdog.descendants(module.pid)) and time.monotonic() < until:
        time.sleep(0.01)
    said = module.communicate(timeout=20)[0]
    assert module.returncode == 1
    answer = json.loads(said)
    assert answer["failed"]
    assert (
        "clamav on this host was ended, since it took more than 2 seconds, while it waited for sh -c" in answer["msg"]
    )
    assert "sleep 77.5" in answer["msg"]
    assert children and not any(files.exists(f"/proc/{child}/exe") for child in children)
    with lock.lock(0.1, path):
        pass


@pytest.mark.parametrize("full", [False, True])
def test_it_ends_where_nobody_reads_what_it_says(tmp_path: Path, full: bool) -> None:
    path, (reader, writer) = str(tmp_path / "lock"), os.pipe()
    if full:  # whoever reads has stopped
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
    else:
        os.close(reader)
    words, env = [sys.executable, "-c", HANGS, path], {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    module = subprocess.Popen(words, env=env, stdout=writer, stderr=subprocess.DEVNULL)
    try:
        assert module.wait(timeout=20) == 1
        with lock.lock(0.1, path):
            pass
    finally:
        for pid in watchdog.descendants(module.pid):
            os.kill(pid, 9)
        module.kill()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host with a certificate, and who shows it; with the real openssl."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls.shown import listening
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.tests.lib.openssl import issue, run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A host with one certificate, called public."""
    os.mkdir(tmp_path / "postamt")
    found = Store(str(tmp_path / "postamt" / "tls"), os.getgid(), run, os.getuid())
    chain, key = issue(tmp_path, "first")
    found.installed("CA\n", [{"name": "public", "chain": chain.read_text(), "key": key.read_text()}], [])
    return found


@pytest.fixture
def shown(store: Store) -> Iterator[dict[str, Any]]:
    """What shows the host's certificate at a port, as a plan says it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    files = [os.path.join(store.folder, "public", name) for name in ("chain.pem", "key.pem")]
    server = subprocess.Popen(
        ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-cert", files[0], "-key", files[1]]
    )
    try:
        until = time.monotonic() + 10
        while not listening(port) and time.monotonic() < until:
            time.sleep(0.02)
        yield {"port": port, "protocol": "", "tls": "implicit", "certificates": files[:1], "address": ""}
    finally:
        server.kill()
        server.wait()

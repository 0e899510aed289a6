# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall's daemon: it loads the table of the site's links and owns it.

A table with an owner (nft(8), flags owner) is there as long as the process that made it, and nobody else changes it:
neither `nft flush ruleset` by hand nor another service that begins so leaves a moment without it. A host has this file
as /usr/local/lib/postamt/firewall, so it needs nothing but files.py, which lies beside it there, Python's standard
library and libnftables.
"""

# A command has no AnsibleModule that would print and end for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

if __name__ != "__main__" or TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine import files
else:
    sys.dont_write_bytecode = True
    import files

CONFIGURATION = "/etc/postamt/nftables.conf"
LOADED = "/run/postamt-firewall/loaded"  # digest of the configuration in force
TABLE = "inet postamt"
PATIENCE = 10.0  # seconds in which a new configuration is in force


class Nft:
    """libnftables(3), whose one socket is what owns the table."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libnftables.so.1")  # which the package nftables brings
        self.library.nft_ctx_new.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.nft_ctx_new(0))
        self.library.nft_ctx_buffer_output(self.context)
        self.library.nft_ctx_buffer_error(self.context)
        self.library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p

    def run(self, commands: str) -> bool:
        """Run commands as one transaction; tells whether they were carried out."""
        return bool(self.library.nft_run_cmd_from_buffer(self.context, commands.encode()) == 0)

    def load(self) -> bool:
        """Load the configuration in place of the table that is there, without a moment between the two."""
        rules = files.text(CONFIGURATION)
        if not rules:  # without rules nothing but the table's end would be left to carry out
            print(f"{CONFIGURATION} is not there or cannot be read: run postamt.mail.site", file=sys.stderr, flush=True)
            return False
        there = self.run(f"list table {TABLE}")
        if not self.run(f"delete table {TABLE}\n{rules}" if there else rules):
            said = self.library.nft_ctx_get_error_buffer(self.context) or b""
            print(said.decode("utf-8", "replace").strip(), file=sys.stderr, flush=True)
            return False
        files.replace(LOADED, digest(rules).encode())
        return True


def digest(rules: str) -> str:
    """Return what tells one configuration from another."""
    return hashlib.sha256(rules.encode()).hexdigest()


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(state.encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)


def hold() -> int:
    """Hold the table until the end, and load the configuration again at each SIGHUP."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
    nft = Nft()
    if not nft.load():
        return 1
    notify("READY=1")
    while signal.sigwait({signal.SIGHUP, signal.SIGTERM}) == signal.SIGHUP:
        if not nft.load():
            print("the rules stay as they were", file=sys.stderr, flush=True)
    return 0


def reload(process: int) -> int:
    """Have the daemon load the configuration, and return when it has."""
    wanted = digest(files.text(CONFIGURATION))
    os.kill(process, signal.SIGHUP)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if files.text(LOADED) == wanted:
            return 0
        time.sleep(0.05)
    print(f"{CONFIGURATION} is not in force", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(reload(int(sys.argv[1])) if sys.argv[1:] else hold())

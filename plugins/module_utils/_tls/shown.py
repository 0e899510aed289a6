# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which certificate each port shows, asked at the ports themselves.

A host has this file as /usr/local/lib/postamt/shown.py.
"""

# What runs as a command has no AnsibleModule that would run programs for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls import commands
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import CHAIN, FOLDER, KEY, Store, chain_of

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
SILENCE = 15.0  # seconds in which a port answers
TRUSTING_NOBODY = ("-no-CAfile", "-no-CApath", "-no-CAstore")
PATIENCE = 10.0  # seconds in which a reloaded program shows its new certificate

Serves = Mapping[str, Any]  # plugin_utils/_compose/plan.py: port, protocol, tls, certificates, address


def listening(port: int, tables: Sequence[str] = TABLES) -> list[str]:
    """Return the addresses at which somebody listens on a port, loopback for all of a family."""
    return listeners(tables).get(port, [])


def listeners(tables: Sequence[str] = TABLES) -> dict[int, list[str]]:
    """Return the addresses at which somebody listens, by port, loopback for all of a family (proc(5))."""
    found: list[tuple[str, int]] = []
    for table in tables:
        for row in [line.split() for line in files.text(table).splitlines()[1:]]:
            if row[3] != "0A":
                continue
            words, number = row[1].split(":")
            raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
            address = socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
            found.append((address, int(number, 16)))
    return reachable(found)


def reachable(sockets: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    """Return by port where sockets that listen can be reached from this host: loopback for all of a family."""
    loopback6 = f"{1:032x}" in files.text("/proc/net/if_inet6")
    all6 = "::1" if loopback6 else "127.0.0.1"
    everywhere = {"0.0.0.0": "127.0.0.1", "::": all6, "*": all6}
    found: dict[int, set[str]] = {}
    for address, port in sockets:
        if not address.startswith("fe80:"):
            found.setdefault(port, set()).add(everywhere.get(address, address))
    return {port: sorted(addresses) for port, addresses in found.items()}


@dataclasses.dataclass(frozen=True)
class Question:
    """A port that is asked at one of its addresses for its certificate."""

    port: Serves
    address: str
    client: subprocess.Popen[bytes]
    until: float  # when it should have answered, by the monotonic clock

    @property
    def place(self) -> str:
        return f"port {self.port['port']} of {self.address}"

    def is_wrong(self, silent: bool = True) -> bool:
        """Tell whether another certificate is shown than the one on disk. silent: whether none at all is wrong."""
        shown = chain_of(self._answer())
        wanted = [chain_of(files.text(path)) for path in self.port["certificates"]]
        # OpenSSL may add the CA that it knows to a chain that ends below it.
        return bool(shown or silent) and not any(chain and shown[: len(chain)] == chain for chain in wanted)

    def _answer(self) -> str:
        try:
            said = self.client.communicate(timeout=max(0.0, self.until - time.monotonic()))[0]
        except subprocess.TimeoutExpired:
            self.client.terminate()
            said = self.client.communicate()[0]
        return said.decode("ascii", "replace")


@contextlib.contextmanager
def asked(
    serves: Iterable[Serves], there: Mapping[int, Sequence[str]], everywhere: bool = True
) -> Iterator[list[Question]]:
    """Ask ports for their certificates, all at once; they answer while the caller does something else.

    there: who listens, as listeners() returns it. A port at which nobody listens is not asked: whoever starts there
    reads what is on disk. everywhere: whether a port is asked at each of its addresses: a program reads a certificate
    for all of them, so one is enough where nobody else has the others.
    """
    serves = list(serves)
    own = {(item["port"], item["address"]) for item in serves if item["address"]}
    until = time.monotonic() + SILENCE
    with contextlib.ExitStack() as clients:
        questions = []
        for item in serves:
            heard = there.get(item["port"], [])
            others = [address for address in heard if (item["port"], address) not in own]
            addresses = others if not item["address"] else [item["address"]] if heard else []
            for address in addresses[: None if everywhere else 1]:
                client = clients.enter_context(_client(item, address))
                clients.callback(client.terminate)
                questions.append(Question(item, address, client, until))
        yield questions


def wrong(serves: Sequence[Serves], silent: bool = True) -> list[str]:
    """Return the ports that do not show the certificate on disk, such as "port 993 of ::1".

    silent: whether a port is wrong at which somebody listens who shows none.
    """
    if not serves:
        return []
    with asked(serves, listeners()) as questions:
        return [question.place for question in questions if question.is_wrong(silent)]


def unusable(serves: Iterable[Serves], folder: str = FOLDER) -> list[str]:
    """Return what is wrong with the certificates on disk; whoever read them now could not serve any longer.

    folder: that of this host's certificates. What lies elsewhere is not looked at.
    """
    store = Store(folder, -1, commands.run)
    found = []
    for path in sorted({path for item in serves for path in item["certificates"]}):
        generation, name = os.path.split(path)
        if os.path.dirname(generation) == folder and name == CHAIN:
            if not chain_of(files.text(path)):
                found.append(f"{path} holds no certificate")
            elif not store.matches(generation):
                found.append(f"{path} and {KEY} beside it do not belong together")
    return found


def _client(item: Serves, address: str) -> subprocess.Popen[bytes]:
    where = f"[{address}]:{item['port']}" if ":" in address else f"{address}:{item['port']}"
    # timeout(1) counts where this process is killed. What openssl trusts does not count, and takes most of its time.
    command = ["timeout", "20", "openssl", "s_client", *TRUSTING_NOBODY, "-showcerts", "-noservername"]
    command += ["-connect", where]
    command += ["-starttls", item["protocol"], "-name", "localhost"] if item["tls"] == "starttls" else []
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, env=commands.ENVIRONMENT)


def behind(serves: Sequence[Serves], watch: Mapping[str, str], workers: Mapping[str, Any]) -> list[str]:
    """Return what of a program does not use the certificates on disk: ports, or processes that are older.

    watch: digests of the files when the program last read them. workers: pid_file and names of its processes that take
    clients with what they read when they started, or nothing.
    """
    found = wrong(serves)
    # A busy process does not answer, and afterwards takes more clients with what it read when it started.
    if not found and workers and any(files.digest(path) != known for path, known in watch.items()):
        since = max((_changed(path) for path in watch), default=0.0)
        if any(started < since for started in _starts(workers["pid_file"], workers["names"])):
            found = ["a process that is older than the certificate"]
    return found


def _changed(path: str) -> float:
    """Return when a path came to mean what it means: its file, or a link on the way, was changed."""
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(2, len(parts))]
    links = [found for folder in folders if (found := files.status(folder)) and stat.S_ISLNK(found.st_mode)]
    times = [found.st_ctime for found in (*links, files.status(path, follow=True)) if found]
    return max(times, default=0.0)


def _starts(pid_file: str, names: Sequence[str]) -> list[float]:
    """Return when each child of these names was started, in seconds since the epoch; pid_file: their parent's."""
    parent = files.text(pid_file).strip()
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = []
    for pid in files.text(f"/proc/{parent}/task/{parent}/children").split():
        name, _parenthesis, rest = files.text(f"/proc/{pid}/stat").partition("(")[2].rpartition(")")
        if name in names:
            found.append(booted + int(rest.split()[19]) / os.sysconf("SC_CLK_TCK"))
    return found


def settled(serves: Sequence[Serves], wait: float = PATIENCE) -> list[str]:
    """Return the ports that are still wrong after so many seconds."""
    until = time.monotonic() + wait
    while (left := wrong(serves)) and time.monotonic() < until:
        time.sleep(0.2)
    return left

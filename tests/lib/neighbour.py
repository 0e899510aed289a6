"""What a user of a host may do there who is in no group: reach servers, and wait where others expect one."""

from __future__ import annotations

import shlex

from ansible_collections.postamt.mail.tests.lib.hosts import Host

# Which server that listens anywhere on the host greets this user as a mail server does? Postfix's paths are relative.
_GREETINGS = """
import socket, subprocess
from concurrent.futures import ThreadPoolExecutor
unix = [line.split()[7] for line in open("/proc/net/unix") if line.split()[3] == "00010000" and len(line.split()) > 7]
found = [(socket.AF_UNIX, path if path[0] in "/@" else "/var/spool/postfix/" + path) for path in unix]
for line in subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout.splitlines():
    address, _, port = line.split()[3].rpartition(":")
    address = address.strip("[]").partition("%")[0].replace("*", "0.0.0.0")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found.append((family, ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address), int(port))))

def greets(place):
    with socket.socket(place[0]) as link:
        link.settimeout(3)
        try:
            link.connect(place[1])
            return link.recv(4) == b"220 "
        except OSError:
            return False

with ThreadPoolExecutor(len(found)) as pool:
    for (family, where), mail in zip(found, pool.map(greets, found)):
        if mail:
            print(where if family == socket.AF_UNIX else where[1])
print("asked", len(found))
"""
# Take every place at which a filter has ever listened, and note who comes.
_IMPOSTOR = """
import glob, os, selectors, socket
chosen = selectors.DefaultSelector()
folders = ("/var/spool/postfix/amavis", "/var/spool/postfix/private", "/var/lib/amavis-links", "/run/postamt-links")
places = [f"{folder}/{name}" for folder in folders for name in ("world", "users", "hosts", "filter-world")]
places += [("127.0.0.1", port) for port in range(10024, 10029)] + [("127.0.0.2", 10024), ("127.0.0.2", 10026)]
for place in places:
    server = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
    try:
        server.bind(place)
        server.listen()
        chosen.register(server, selectors.EVENT_READ)
    except OSError:
        pass
print("waits", len(chosen.get_map()), flush=True)
while True:
    for key, _ in chosen.select():
        print("somebody came to", key.fileobj.getsockname(), flush=True)
        key.fileobj.accept()[0].close()
"""


def greeting_servers(host: Host) -> set[str]:
    """The ports and paths at which a mail server greets a user of no group; those with TLS at once are silent."""
    host.check_output("id mallory || useradd --create-home mallory")
    *found, asked = host.check_output(f"runuser -u mallory -- python3 -c {shlex.quote(_GREETINGS)}").splitlines()
    assert int(asked.split()[1]) > 10, "a look at what listens"
    return set(found)


def start_impostor(host: Host) -> None:
    """Have a user wait where the filter might be expected."""
    host.check_output("id mallory || useradd --create-home mallory")
    command = f"python3 -u -c {shlex.quote(_IMPOSTOR)}"
    host.check_output(f"systemd-run --collect -u impostor -p User=mallory {command}")
    host.check_output(
        "for try in $(seq 50); do journalctl -q -o cat -u impostor | grep -q '^waits' && exit; sleep 0.1; done; false"
    )


def visitors(host: Host) -> list[str]:
    """End it; who came."""
    host.check_output("systemctl stop impostor; journalctl --sync")
    said = host.check_output("journalctl -q -o cat -u impostor").splitlines()
    return [line for line in said if line.startswith("somebody came")]

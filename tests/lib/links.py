"""How the links of a host are, as HAProxy on it says."""

from __future__ import annotations

from ansible_collections.postamt.mail.tests.lib.hosts import Host


def states(host: Host, link: str) -> dict[str, str]:
    """How the servers of a link are, by the first label of their names."""
    ask = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/postamt-links/admin.sock')\n"
    ask += "s.sendall(b'show stat\\n')\nwhile data := s.recv(65536): print(data.decode(), end='')"
    rows = [line.split(",") for line in host.check_output(f'python3 -c "{ask}"').splitlines()]
    return {row[1].partition(".")[0]: row[17].split()[0] for row in rows if row[0] == link and "END" not in row[1]}

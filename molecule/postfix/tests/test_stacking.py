"""Concerns of others beside those that stand: milters, alias tables and TLS policies stack, on a running server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.elsewhere import CARL, STRANGER, arrived, goes_out
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site

REPOSITORY = Path(__file__).resolve().parents[3]
CONCERN = """
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Milter, Postfix, Table, table


def postfix(site, host):
    return Postfix(
        lists={{
            "virtual_alias_maps": {{"site": [table("{name}_lists", "lmdb")]}},
            "smtp_tls_policy_maps": {{"site": [table("{name}_policies", "lmdb")]}},
        }},
        milters=[Milter("inet:127.0.0.1:{port}", "check")],
        tables={{
            "{name}_lists": Table("lmdb", {{"{name}@example.test": "carl@inner.example"}}),
            "{name}_policies": Table("lmdb", {{"{hop}": "none"}}),
        }},
    )
"""
# A milter that does nothing but leave a line in the header (Postfix's MILTER_README; libmilter's mfdef.h).
MILTER = r"""
import socketserver, struct, sys


class Milter(socketserver.StreamRequestHandler):
    def answer(self, command, data=b""):
        self.wfile.write(struct.pack("!I", 1 + len(data)) + command + data)

    def handle(self):
        while head := self.rfile.read(4):
            packet = self.rfile.read(*struct.unpack("!I", head))
            command = packet[:1]
            if command == b"O":
                version, actions, steps = struct.unpack("!III", packet[1:13])
                self.answer(b"O", struct.pack("!III", min(version, 6), 1, steps & 0x7F))
            elif command == b"E":
                self.answer(b"h", b"X-Seen\0by %s\0" % sys.argv[2].encode())
                self.answer(b"c")
            elif command == b"Q":
                return
            elif command not in b"AD":
                self.answer(b"c")


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Milter).serve_forever()
"""
TLS = re.compile(r"by other\.example\.net \(Postfix\) with ESMTPS")
CONCERNS = {
    "one": {"port": 8801, "hop": "[other.example.net]:25"},
    "two": {"port": 8802, "hop": "[nowhere.example.net]:25"},
}


@pytest.fixture
def with_more(host: Host, play: RunAgain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The site with two concerns more, by a copy of the collection that has them, and their milters."""
    copy = tmp_path / "ansible_collections" / "postamt" / "mail"
    for folder in ("meta", "playbooks", "plugins", "roles"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "galaxy.yml", copy)
    for name, said in CONCERNS.items():
        concern = copy / "plugins" / "plugin_utils" / "_concerns" / f"thrown_away_{name}.py"
        concern.write_text(CONCERN.format(name=name, **said), encoding="utf-8")
    try:
        for name, said in CONCERNS.items():
            host.check_output(f"systemd-run --unit=milter-{name} python3 -c %s {said['port']} {name}", MILTER)
        with monkeypatch.context() as patch:
            patch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
            done = play()
            assert not done.failed, done.stdout
            assert play().changed == []
        yield
    finally:
        assert not play().failed
        host.run("systemctl stop milter-one milter-two")
    assert play().changed == []


@pytest.fixture
def sent(site: Site, ask: Ask, other: Host) -> Callable[[str], str]:
    """Send to an address, and return the message as it has come to the server elsewhere."""

    def sent(recipient: str) -> str:
        token = new_token()
        assert smtp_send(ask(25), STRANGER, [recipient], message(STRANGER, recipient, token)).accepted
        return arrived(other, token)

    return sent


def test_concerns_stack(
    site: Site,
    ask: Ask,
    other: Host,
    sent: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    before = sent(CARL)
    assert TLS.search(before) and "X-Seen" not in before
    request.getfixturevalue("with_more")
    for recipient in ("one@example.test", "two@example.test", CARL):
        found = sent(recipient)
        assert "X-Seen: by one" in found and "X-Seen: by two" in found
        assert not TLS.search(found), "the policy of the first concern"
    assert goes_out(site, ask, other), "the policy of the relayhost"

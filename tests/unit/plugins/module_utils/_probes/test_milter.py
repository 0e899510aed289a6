# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a milter may answer: the probe takes what the protocol allows, and no more. The real one is met elsewhere."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import health
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError
from ansible_collections.postamt.mail.plugins.module_utils._probes.milter import (
    LONGEST,
    MOST,
    SILENT,
    MilterAnswer,
    milter_message,
)

ANNA = "anna@example.org"
GOES_ON = b"c"


def packet(command: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(command + data)) + command + data


def offer(protocol: int = 0) -> bytes:
    return packet(b"O", struct.pack(">III", 6, 0, protocol))


class Peer:
    """A milter on a Unix socket. answers: raw bytes by the command of a step; what is not there goes on."""

    def __init__(self, path: str, answers: dict[bytes, bytes], silent: int = 0) -> None:
        self.path, self.heard = path, list[tuple[bytes, bytes]]()
        self._answers = {b"O": offer(silent), **answers}
        self._silent = silent

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            connection, _client = listener.accept()
            with connection, connection.makefile("rb") as stream:
                while header := stream.read(4):
                    content = stream.read(*struct.unpack(">I", header))
                    command = content[:1]
                    self.heard.append((command, content[1:]))
                    if command == b"D" or self._silent & SILENT.get(command, 0):
                        continue
                    answer = self._answers.get(command, packet(GOES_ON))
                    connection.sendall(answer)
                    if not answer:
                        return


@contextlib.contextmanager
def milter(folder: Path, answers: dict[bytes, bytes], silent: int = 0) -> Iterator[Peer]:
    peer = Peer(str(folder / "milter"), answers, silent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(peer.path)
        listener.listen()
        thread = threading.Thread(target=peer.serve, args=(listener,), daemon=True)
        thread.start()
        yield peer
        thread.join(5)


def ask(peer: Peer, timeout: float = 2) -> MilterAnswer:
    endpoint = Endpoint(peer.path, timeout=timeout)
    return milter_message(endpoint, ANNA, ANNA, [("Subject", "hello")], {"daemon_name": "ORIGINATING", "j": "mail"})


ADDED = packet(b"h", b"X-Seen\0yes\0") + packet(b"i", struct.pack(">I", 1) + b"DKIM-Signature\0v=1\0")


@pytest.mark.parametrize("silent", [0, SILENT[b"C"] | SILENT[b"H"], sum(SILENT.values())])
def test_a_message_goes_step_by_step(tmp_path: Path, silent: int) -> None:
    with milter(tmp_path, {b"E": ADDED + packet(b"a")}, silent) as peer:
        assert ask(peer) == MilterAnswer("accept", "", ("X-Seen", "DKIM-Signature"))
    assert [command for command, _data in peer.heard] == [b"O", b"D", b"C", b"H", b"M", b"R", b"L", b"N", b"B", b"E"]
    said = dict(peer.heard)
    assert said[b"D"] == b"C{daemon_name}\0ORIGINATING\0j\0mail\0"
    assert (said[b"M"], said[b"L"]) == (f"<{ANNA}>\0".encode(), b"Subject\0hello\0")


@pytest.mark.parametrize("step", [b"C", b"M", b"L", b"E"])
@pytest.mark.parametrize(
    ("answer", "verdict", "text"),
    [
        (packet(b"r"), "reject", ""),
        (packet(b"t"), "tempfail", ""),
        (packet(b"y", b"451 4.7.0 later\0"), "reply", "451 4.7.0 later"),
        (packet(b"y", b"451 \xff\xfe\0"), "reply", "451 \ufffd\ufffd"),
        (packet(b"p") * 3 + packet(b"t"), "tempfail", ""),  # it asks for more time
    ],
)
def test_a_refusal_ends_the_dialogue(tmp_path: Path, step: bytes, answer: bytes, verdict: str, text: str) -> None:
    with milter(tmp_path, {step: answer}) as peer:
        assert ask(peer) == MilterAnswer(verdict, text)
    assert peer.heard[-1][0] == step


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({b"O": b""}, "milter command O: connection closed"),
        ({b"O": offer()[:9]}, "milter command O: timed out"),
        ({b"O": packet(b"O", b"\0" * 11)}, "it does not negotiate"),
        ({b"O": packet(b"c")}, "it does not negotiate"),
        ({b"O": b"220 mail ESMTP\r\n"}, "not a milter's answer"),
        ({b"C": struct.pack(">I", 0)}, "milter command C: not a milter's answer"),
        ({b"C": struct.pack(">I", LONGEST + 1)}, "not a milter's answer"),
        ({b"C": b"\xff\xff\xff\xff"}, "not a milter's answer"),
        ({b"M": struct.pack(">I", 100) + b"c"}, "milter command M: timed out"),
        ({b"E": packet(b"h", b"X\0y\0")}, "milter command E: timed out"),  # and no end
        ({b"E": b""}, "milter command E: connection closed"),
        ({b"E": packet(b"p") * (MOST + 1)}, "milter command E: it comes to no end"),
    ],
)
def test_what_is_no_answer(tmp_path: Path, answers: dict[bytes, bytes], why: str) -> None:
    with milter(tmp_path, answers) as peer, pytest.raises(ProbeError, match=why):
        ask(peer, timeout=0.3)


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ({b"E": ADDED + packet(b"a")}, ("yes", "1 signatures")),
        ({}, ("no", "no signature")),
        ({b"E": packet(b"r")}, ("no", "reject")),
        ({b"E": packet(b"t")}, ("later", "tempfail")),
        ({b"E": packet(b"y", b"451 4.7.0 Cannot be signed now\0")}, ("later", "451 4.7.0 Cannot be signed now")),
    ],
)
def test_what_the_health_check_makes_of_it(tmp_path: Path, answers: t.Any, answer: tuple[str, str]) -> None:
    with milter(tmp_path, answers) as peer:
        found = health._milter_signs(peer.path, ANNA, "ORIGINATING")
    assert (found.verdict, found.text) == answer


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ({b"E": packet(b"y", b"554 5.7.1 not yours\0")}, ("yes", "554 5.7.1 not yours")),
        ({b"E": packet(b"r")}, ("yes", "")),
        ({}, ("no", "accept of a strange From")),
        ({b"E": packet(b"y", b"451 4.7.1 later\0")}, ("later", "451 4.7.1 later")),
        ({b"E": packet(b"t")}, ("later", "tempfail of a strange From")),
    ],
)
def test_a_strange_from_has_to_be_refused(tmp_path: Path, answers: t.Any, answer: tuple[str, str]) -> None:
    with milter(tmp_path, answers) as peer:
        found = health._milter_refuses(peer.path, ANNA, "boss@example.invalid", "ORIGINATING")
    assert (found.verdict, found.text) == answer
    said = dict(peer.heard)
    assert b"{auth_authen}\0" + ANNA.encode() in said[b"D"]
    assert said[b"L"].startswith((b"From", b"Subject"))


RESULTS = packet(b"i", struct.pack(">I", 0) + b"authentication-results\0mail; spf=none\0") + packet(b"a")


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ({b"E": RESULTS}, ("yes", "judged")),
        ({b"E": ADDED + packet(b"a")}, ("no", "no Authentication-Results")),
        ({b"E": packet(b"r")}, ("no", "reject")),
        ({b"E": packet(b"y", b"451 4.7.1 later\0")}, ("later", "451 4.7.1 later")),
    ],
)
def test_the_health_check_wants_strangers_mail_judged(tmp_path: Path, answers: t.Any, answer: tuple[str, str]) -> None:
    with milter(tmp_path, answers) as peer:
        found = health._milter_judges(peer.path, ANNA, ANNA, "192.0.2.1", "from probe", "mail")
    assert (found.verdict, found.text) == answer
    assert (b"C", b"localhost\x004\0\x19192.0.2.1\0") in peer.heard
    assert (b"L", b"Received\0from probe\0") in peer.heard

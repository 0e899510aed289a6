# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a resolver says, asked over a real socket, and what a health check makes of it."""

from __future__ import annotations

import os
import socket
import struct
import threading
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import health
from ansible_collections.postamt.mail.plugins.module_utils._probes import dns as probe
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError

Says = Callable[[bytes], "bytes | None"]


def answer(flags: int, records: int = 1, number: int | None = None) -> Callable[[bytes], bytes]:
    """Return what answers each question with these flags; records are counted, and none is there."""

    def say(query: bytes) -> bytes:
        (asked,) = struct.unpack(">H", query[:2])
        head = (asked if number is None else number, 0x8180 | flags, 1, records, 0, 0)
        return struct.pack(">HHHHHH", *head) + query[12:]

    return say


@pytest.fixture
def resolver() -> Iterator[Callable[[Says], Endpoint]]:
    sockets: list[socket.socket] = []

    def serve(says: Says) -> Endpoint:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        sockets.append(server)

        def run() -> None:
            while True:
                try:
                    query, client = server.recvfrom(4096)
                except OSError:
                    return
                if query == b"end":
                    return
                if (said := says(query)) is not None:
                    server.sendto(said, client)

        threading.Thread(target=run, daemon=True).start()
        return Endpoint("127.0.0.1", server.getsockname()[1], timeout=0.5)

    yield serve
    for one in sockets:
        one.sendto(b"end", one.getsockname())
        one.close()


AD, SERVFAIL, NXDOMAIN = 0x20, 2, 3


@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        (answer(AD), probe.DnsAnswer(0, 1, True)),
        (answer(0), probe.DnsAnswer(0, 1, False)),
        (answer(SERVFAIL, 0), probe.DnsAnswer(2, 0, False)),
        (answer(AD | NXDOMAIN, 0), probe.DnsAnswer(3, 0, True)),
    ],
)
def test_an_answer_is_read(resolver: Callable[[Says], Endpoint], says: Says, wanted: probe.DnsAnswer) -> None:
    assert probe.dns_ask(resolver(says), "mail.example.org", probe.A) == wanted


@pytest.mark.parametrize(
    "says",
    [
        lambda _query: None,
        lambda _query: b"",
        lambda query: query,  # no response
        lambda query: answer(AD)(query)[:11],
        lambda query: answer(AD)(query)[:12] + b"\x05other" + query[18:],
        lambda query: answer(AD, number=(struct.unpack(">H", query[:2])[0] + 1) % 65536)(query),
    ],
    ids=["silence", "nothing", "the question", "a part", "of another name", "another number"],
)
def test_what_is_no_answer_is_an_error(resolver: Callable[[Says], Endpoint], says: Says) -> None:
    with pytest.raises(ProbeError):
        probe.dns_ask(resolver(says), "mail.example.org", probe.A)


def test_the_question_wants_validation(resolver: Callable[[Says], Endpoint]) -> None:
    asked: list[bytes] = []

    def say(query: bytes) -> bytes:
        asked.append(query)
        return answer(AD)(query)

    probe.dns_ask(resolver(say), ".", probe.SOA)
    (query,) = asked
    assert query[2:4] == b"\x01\x20"  # RD, AD
    assert query[12:] == b"\0\0\x06\0\x01" + b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"  # . SOA IN; OPT with DO


# --- health checks


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have the resolver give these answers, one a question; returns whom was asked."""

    def prepare(*answers: t.Any) -> list[str]:
        left, whom = list(answers), []

        def ask(endpoint: Endpoint, _name: str, _kind: int) -> probe.DnsAnswer:
            whom.append(endpoint.host)
            said = left.pop(0)
            if isinstance(said, ProbeError):
                raise said
            return t.cast(probe.DnsAnswer, said)

        monkeypatch.setattr(health, "dns_ask", ask)
        return whom

    return prepare


GOOD, PLAIN = probe.DnsAnswer(0, 1, True), probe.DnsAnswer(0, 1, False)
FAILED, UNKNOWN, EMPTY = (probe.DnsAnswer(code, 0, False) for code in (2, 3, 0))
NOBODY = ProbeError(Endpoint("127.0.0.153", 53), "DNS question .", "timed out")


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The arguments by which this process is asked whom it asks."""
    (tmp_path / "master.pid").write_text(f"    {os.getpid()}\n")
    (tmp_path / "resolv.conf").write_text("# comment\nsearch x\nnameserver 127.0.0.153\nnameserver 192.0.2.1\n")
    return {"process": str(tmp_path / "master.pid"), "path": str(tmp_path / "resolv.conf")}


@pytest.mark.parametrize(
    ("said", "of_the_resolver", "of_postfix"),
    [
        (GOOD, health.YES, health.YES),
        (PLAIN, health.BROKEN, health.BROKEN),
        (EMPTY, health.BROKEN, health.BROKEN),
        (FAILED, health.SILENT, health.LATER),
        (NOBODY, health.SILENT, health.LATER),
    ],
)
def test_an_answer_that_nobody_has_validated_is_told_with_ways_out(
    asked: Callable[..., list[str]], process: dict[str, str], said: t.Any, of_the_resolver: str, of_postfix: str
) -> None:
    """Postfix is not at fault where its resolver reaches nobody just now."""
    for arguments, verdict in (({"address": "127.0.0.153"}, of_the_resolver), (process, of_postfix)):
        whom = asked(said)
        found = health.KINDS["dns_validated"](ways_out="open port 53", **arguments)
        assert found.verdict == verdict
        assert whom == ["127.0.0.153"]
        assert (": open port 53" in found.text) == (verdict != health.YES)


@pytest.mark.parametrize("missing", ["process", "path"])
def test_a_process_that_is_not_there_asks_nobody(process: dict[str, str], missing: str) -> None:
    Path(process[missing]).unlink()
    found = health.KINDS["dns_validated"](ways_out="", **process)
    assert found.verdict == health.LATER and "no resolver in" in found.text


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((GOOD, EMPTY), health.YES),
        ((EMPTY, PLAIN), health.YES),
        ((UNKNOWN, UNKNOWN), health.BROKEN),
        ((NOBODY, GOOD), health.LATER),
        ((UNKNOWN, NOBODY), health.LATER),
        ((EMPTY, EMPTY), health.BROKEN),
        ((FAILED, FAILED), health.LATER),
    ],
)
def test_a_name_that_the_resolver_does_not_know_is_told(
    asked: Callable[..., list[str]], process: dict[str, str], answers: t.Any, verdict: str
) -> None:
    asked(*answers)
    found = health.KINDS["dns_knows"](name="mail.inner.example", ways_out="name its zone", **process)
    assert found.verdict == verdict
    assert ("name its zone" in found.text) == (verdict == health.BROKEN)

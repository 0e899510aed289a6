# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which answers count as worse, and how questions are asked and named."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import health
from ansible_collections.postamt.mail.plugins.module_utils._engine.health import (
    BROKEN,
    LATER,
    NO,
    SILENT,
    YES,
    Answer,
    worse,
)
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Reply
from ansible_collections.postamt.mail.tests.lib.openssl import issue

WORSE = {
    YES: (NO, LATER, BROKEN, SILENT),
    NO: (LATER, BROKEN, SILENT),
    LATER: (NO, BROKEN, SILENT),
    BROKEN: (),
    SILENT: (),
}


@pytest.mark.parametrize("before", WORSE)
@pytest.mark.parametrize("after", WORSE)
def test_worse(before: str, after: str) -> None:
    assert worse(Answer(before, ""), Answer(after, "")) == (after in WORSE[before])


def test_a_dependency_that_was_down_before_is_no_fault_of_the_change() -> None:
    assert not worse(Answer(YES, "", down=("127.0.0.1:389",)), Answer(LATER, "", down=("127.0.0.1:389",)))
    assert worse(Answer(YES, "", down=("127.0.0.1:389",)), Answer(SILENT, ""))


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (Reply(250, "2.1.5 Ok"), YES),
        (Reply(550, "5.1.1 User unknown"), NO),
        (Reply(451, "4.3.0 Temporary lookup failure"), LATER),
        (Reply(451, "4.3.5 Server configuration error"), BROKEN),
        (Reply(451, "4.3.5 Server configuration problem"), LATER),
    ],
)
def test_reply(reply: Reply, verdict: str) -> None:
    assert health._reply(reply).verdict == verdict


def test_who_takes_datagrams_is_found_without_sending_one(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    (silent,) = health.run([{"kind": "datagrams", "arguments": {"path": path}}])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        (there,) = health.run([{"kind": "datagrams", "arguments": {"path": path}}])
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(1)
    (gone,) = health.run([{"kind": "datagrams", "arguments": {"path": path}}])
    assert (silent.verdict, there.verdict, gone.verdict) == (SILENT, YES, SILENT)
    assert "Connection refused" in gone.text


def test_a_socket_is_asked_and_its_needs_are_looked_at(tmp_path: Path) -> None:
    path = str(tmp_path / "mux")
    question = {"kind": "socket", "arguments": {"path": path, "needs": [str(tmp_path / "nobody")]}}
    assert health.run([question])[0].verdict == SILENT
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        answer = health.run([question])[0]
    assert answer == Answer(YES, "somebody listens", down=(str(tmp_path / "nobody"),))


@pytest.mark.parametrize(
    ("said", "verdict", "text"),
    [
        (b"9:NOTFOUND ,", YES, "NOTFOUND"),
        (b"12:OK dane-only,", YES, "OK dane-only"),
        (b"10:TEMP later,", LATER, "TEMP later"),
        (b"9:PERM no a,", NO, "PERM no a"),
        (b"220 mail ESMTP\r\n", SILENT, "no answer"),
        (b"999999999:", SILENT, "no answer"),
        (b"", SILENT, "no answer"),
    ],
)
def test_a_table_is_asked_over_a_socket(tmp_path: Path, said: bytes, verdict: str, text: str) -> None:
    path = str(tmp_path / "map")
    question = {"kind": "socketmap", "arguments": {"path": path, "name": "postfix", "key": "[127.0.0.1]"}}
    assert health.run([question])[0].verdict == SILENT
    asked = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def reply() -> None:
            with server.accept()[0] as client:
                asked.append(client.recv(100))
                client.sendall(said)

        thread = threading.Thread(target=reply)
        thread.start()
        answer = health.run([question])[0]
        thread.join()
    assert asked == [b"19:postfix [127.0.0.1],"]
    assert answer.verdict == verdict
    assert answer.text.startswith(text)


@pytest.mark.parametrize(
    ("said", "verdict", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na\r\nb", YES, "HTTP/1.1 200 OK"),
        (b"HTTP/1.1 200 OK\r\n\r\nan older one", NO, "another text"),
        (b"HTTP/1.1 404 Not Found\r\n\r\na\r\nb", NO, "HTTP/1.1 404 Not Found"),
        (b"220 mail ESMTP\r\n", SILENT, "no answer"),
        (b"", SILENT, "no answer"),
    ],
)
def test_a_server_is_asked_over_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, verdict: str, text: str
) -> None:
    monkeypatch.setattr(health, "own_address", lambda: "127.0.0.1")
    chain, key = issue(tmp_path, "mta-sts.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = {"port": server.getsockname()[1], "name": "mta-sts.example.org", "path": "/a", "text": "a\r\nb"}

        def reply() -> None:
            with context.wrap_socket(server.accept()[0], server_side=True) as client:
                asked.append(client.recv(1000))
                client.sendall(said)

        thread = threading.Thread(target=reply)
        thread.start()
        answer = health.run([{"kind": "https", "arguments": arguments}])[0]
        thread.join()
    assert asked == [b"GET /a HTTP/1.1\r\nHost: mta-sts.example.org\r\nConnection: close\r\n\r\n"]
    assert answer.verdict == verdict
    assert answer.text.startswith(text)
    assert "a\r\nb" not in health.described({"kind": "https", "arguments": arguments})
    assert health.run([{"kind": "https", "arguments": arguments}])[0].verdict == SILENT


def test_postfix_without_the_directory_is_not_configured_wrongly(tmp_path: Path) -> None:
    path = str(tmp_path / "smtp")
    question = {"kind": "lmtp_greeting", "arguments": {"path": path}}
    without = {"kind": "lmtp_greeting", "arguments": {"path": path, "needs": [str(tmp_path / "nobody")]}}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def greet() -> None:
            with server.accept()[0] as client:
                client.sendall(b"451 4.3.5 Server configuration error\r\n")

        verdicts = []
        for asked in (question, without):
            thread = threading.Thread(target=greet)
            thread.start()
            verdicts.append(health.run([asked])[0].verdict)
            thread.join()
    assert verdicts == [BROKEN, LATER]


def test_silence_is_waited_out(tmp_path: Path) -> None:
    path = str(tmp_path / "late")
    with socket.socket(socket.AF_UNIX) as server:

        def start() -> None:
            server.bind(path)
            server.listen()

        timer = threading.Timer(0.3, start)
        timer.start()
        answers = health.run([{"kind": "socket", "arguments": {"path": path}}], wait=5)
        timer.join()
    assert answers[0].verdict == YES


def test_a_process_that_is_about_to_leave_is_not_the_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    greetings = [b"421 4.3.2 shutting down\r\n", b"220 ready\r\n"]

    def greet() -> None:
        for greeting in greetings:
            link, _address = server.accept()
            with link:
                link.sendall(greeting)
                link.recv(64)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=greet)
        thread.start()
        answers = health.run([{"kind": "lmtp_greeting", "arguments": {"path": path}}], wait=5)
        thread.join()
    assert answers[0].verdict == YES


def test_described() -> None:
    arguments = {"port": 587, "recipient": "postmaster@example.org", "tls": "starttls", "needs": ["127.0.0.1:389"]}
    assert (
        health.described({"kind": "smtp_rcpt", "arguments": arguments})
        == "smtp rcpt postmaster@example.org port 587 tls starttls"
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What port 25 shows to other servers, asked of a server with a certificate of each kind."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls import exchanger
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki, stored_tlsa
from ansible_collections.postamt.mail.tests.lib.openssl import issue, run


class Smtp:
    """A server that greets, takes STARTTLS, and shows certificates.

    silent: it never greets. clients: so many it takes, and refuses later ones.
    """

    def __init__(self, pairs: list[tuple[Path, Path]], silent: bool = False, clients: int = 1000) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for chain, key in pairs:
            self.context.load_cert_chain(chain, key)
        self.silent = silent
        self.clients = clients

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self._accept, args=[server], daemon=True).start()
            yield server.getsockname()[1]
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=[server.accept()[0]], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.silent:
                client.recv(1)
                return
            self.clients -= 1
            if self.clients < 0:
                client.sendall(b"421 4.7.0 mail.example.org too many connections\r\n")
                return
            client.sendall(b"220 mail.example.org ESMTP\r\n")
            client.recv(500)
            client.sendall(b"250-mail.example.org\r\n250 STARTTLS\r\n")
            client.recv(500)
            client.sendall(b"220 go\r\n")
            with self.context.wrap_socket(client, server_side=True) as secure:
                secure.recv(500)


def digest(key: Path) -> str:
    """The SHA-256 of a public key, as an administrator finds it out."""
    public = key.with_suffix(".der")
    assert run(["openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER", "-out", str(public)])[0] == 0
    return hashlib.sha256(public.read_bytes()).hexdigest()


def test_a_certificate_of_each_kind_is_seen(tmp_path: Path) -> None:
    issuer, signer = issue(tmp_path, "ca")
    san = ("-addext", "subjectAltName=DNS:mail.example.org")
    first, first_key = issue(tmp_path, "first", 30, *san, "-CA", str(issuer), "-CAkey", str(signer))
    first.write_text(first.read_text() + issuer.read_text())
    second, second_key = issue(tmp_path, "second", 30, *san, "-pkeyopt", "ec_paramgen_curve:P-256", key="ec")
    with Smtp([(first, first_key), (second, second_key)]).running() as port:
        found = exchanger.chains(port, ["127.0.0.1", "127.0.0.1"]) or []
    assert sorted(map(len, map(pki.from_pem, found))) == [1, 2]
    shown = stored_tlsa.shown(found)
    assert {one.key_digest for one in shown} == {digest(first_key), digest(second_key)}
    assert not any(one.own for one in shown)


def test_one_certificate_is_seen_once(tmp_path: Path) -> None:
    pair = issue(tmp_path, "only")
    with Smtp([pair]).running() as port:
        assert len(exchanger.chains(port, ["127.0.0.1"]) or []) == 1


def test_who_may_have_another_certificate_is_not_known(tmp_path: Path) -> None:
    issuer = issue(tmp_path, "first")
    with Smtp(
        [issuer, issue(tmp_path, "second", 30, "-pkeyopt", "ec_paramgen_curve:P-256", key="ec")]
    ).running() as port:
        assert len(exchanger.chains(port, ["127.0.0.1"]) or []) == 2
    both = [issuer, (tmp_path / "second.pem", tmp_path / "second.key")]
    with Smtp(both, clients=1).running() as port:
        assert exchanger.chains(port, ["127.0.0.1"]) is None


def test_who_shows_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanger, "_SILENCE", 0.5)
    with Smtp([issue(tmp_path, "only")], silent=True).running() as port:
        assert exchanger.chains(port, ["127.0.0.1"]) == []
    assert exchanger.chains(port, ["127.0.0.1"]) == []  # nobody listens
    assert exchanger.chains(port, []) == []
    assert shutil.which("openssl")

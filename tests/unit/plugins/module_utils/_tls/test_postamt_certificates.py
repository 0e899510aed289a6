# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command on the host: what ports show, what a hook may bring, and who is told when; with the real openssl."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import subprocess
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls import postamt_certificates as command
from ansible_collections.postamt.mail.plugins.module_utils._tls.postamt_certificates import CertificateError, Store

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 190200C0:01D1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0019 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st
   0: B80D0120000000000000000025000000:01D1 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4
"""


def run(arguments: t.Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


MAIL = {"public": ["mail.example.org"]}  # what may be brought, and for which names


def issue(folder: Path, name: str, days: int = 30, *more: str, key: str = "rsa:2048") -> tuple[Path, Path]:
    """Return the files of a new certificate and its key; more: options of openssl-req(1)."""
    chain, private = folder / f"{name}.pem", folder / f"{name}.key"
    names = more or ("-addext", "subjectAltName=DNS:mail.example.org")
    arguments = ["openssl", "req", "-x509", "-newkey", key, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                 *names, "-out", str(chain), "-keyout", str(private)]  # fmt: skip
    assert run(arguments)[0] == 0
    return chain, private


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A host with one certificate, called public."""
    os.mkdir(tmp_path / "postamt")
    found = Store(str(tmp_path / "postamt" / "tls"), os.getgid(), run, os.getuid())
    chain, key = issue(tmp_path, "first")
    found.installed("CA\n", [{"name": "public", "chain": chain.read_text(), "key": key.read_text()}], [])
    return found


@pytest.fixture
def shown(store: Store) -> Iterator[dict[str, t.Any]]:
    """What shows the host's certificate at a port, as a plan says it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    files = [os.path.join(store.folder, "public", name) for name in ("chain.pem", "key.pem")]
    server = subprocess.Popen(
        ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-cert", files[0], "-key", files[1]]
    )
    try:
        until = time.monotonic() + 10
        while not command.listening(port) and time.monotonic() < until:
            time.sleep(0.02)
        yield {"port": port, "protocol": "", "tls": "implicit", "certificates": files[:1], "address": ""}
    finally:
        server.kill()
        server.wait()


def test_who_listens_is_in_the_kernels_tables(tmp_path: Path) -> None:
    tables = [str(tmp_path / "tcp"), str(tmp_path / "tcp6"), str(tmp_path / "absent")]
    Path(tables[0]).write_text(TABLE)
    Path(tables[1]).write_text(TABLE6)
    assert command.listening(25, tables) == ["127.0.0.1"]
    assert command.listening(465, tables) == ["192.0.2.25", "2001:db8::25"]
    assert command.listening(587, tables) == []


def test_a_port_is_asked_for_its_certificate(store: Store, shown: dict[str, t.Any], tmp_path: Path) -> None:
    assert command.wrong([shown]) == []
    assert command.behind("other", [shown], {}) == []
    chain, key = issue(tmp_path, "second")
    assert store.replaced("public", str(chain), str(key), MAIL)
    assert command.wrong([shown]) == [f"port {shown['port']} of 127.0.0.1"]
    assert command.wrong([{**shown, "address": "127.0.0.1"}]) == [f"port {shown['port']} of 127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    assert command.wrong([{**shown, "port": nobody}, {**shown, "port": nobody, "address": "127.0.0.1"}]) == []


def test_what_cannot_be_served_is_found(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "FOLDER", store.folder)
    chain = Path(store.folder, "public", "chain.pem")
    serves = [
        {"certificates": [str(chain.with_name("key.pem")), str(chain)]},
        {"certificates": ["/elsewhere/chain.pem"]},
    ]
    assert command.unusable(serves) == []
    chain.write_text(issue(tmp_path, "second")[0].read_text())
    assert command.unusable(serves) == [f"{chain} and key.pem beside it do not belong together"]
    chain.unlink()
    assert command.unusable(serves) == [f"{chain} holds no certificate"]


def test_what_is_shown_already_is_remembered(shown: dict[str, t.Any], tmp_path: Path) -> None:
    manifest = tmp_path / "state" / "other" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    watched = shown["certificates"][0]
    manifest.write_text(json.dumps({"files": ["/a"], "serves": [shown], "watch": {watched: "older"}}))
    assert command.serve(str(tmp_path / "state")) == ({}, [])
    kept = json.loads(manifest.read_text())
    assert kept == {"files": ["/a"], "serves": [shown], "watch": {watched: files.digest(watched)}}
    assert manifest.stat().st_mode & 0o777 == 0o600


SAN = ("-addext", "subjectAltName=DNS:mail.example.org")
OTHERS = ("-addext", "subjectAltName=DNS:other.example.net")


@pytest.mark.parametrize(
    ("days", "more", "kind", "message"),
    [
        (
            30,
            ("-addext", "subjectAltName=DNS:evil.example"),
            "rsa:2048",
            "must be for mail.example.org, and is for evil",
        ),
        (30, ("-sha256",), "rsa:2048", "must be for mail.example.org, and is for no name"),
        (30, SAN, "rsa:1024", "has an RSA key of less than 2048 bits"),
        (30, SAN, "ed25519", "has no RSA key of at least 2048 bits and no EC key"),
        (30, (*SAN, "-addext", "extendedKeyUsage=clientAuth"), "rsa:2048", "is not for servers"),
    ],
)
def test_what_a_hook_brings_is_checked(
    store: Store, tmp_path: Path, days: int, more: tuple[str, ...], kind: str, message: str
) -> None:
    before = store.seen()
    chain, key = issue(tmp_path, "second", days, *more, key=kind)
    with pytest.raises(CertificateError, match=f"certificate public {message}.*; the one that was served stays"):
        store.replaced("public", str(chain), str(key), MAIL)
    assert store.seen() == before


@pytest.mark.parametrize(("shift", "message"), [(40, "has expired on "), (-2, "is not valid before ")])
def test_a_hook_brings_nothing_out_of_date(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int, message: str
) -> None:
    chain, key = issue(tmp_path, "second")
    now = time.time() + shift * 86400
    monkeypatch.setattr(time, "time", lambda: now)
    with pytest.raises(CertificateError, match=message):
        store.replaced("public", str(chain), str(key), MAIL)


def test_a_chain_of_a_hook_is_in_order(store: Store, tmp_path: Path) -> None:
    chain, key = issue(tmp_path, "second")
    chain.write_text(chain.read_text() + issue(tmp_path, "other")[0].read_text())
    with pytest.raises(CertificateError, match="out of order: CN ?= ?second must come where CN ?= ?other is"):
        store.replaced("public", str(chain), str(key), MAIL)


def test_what_is_in_a_chain_twice_is_served_once(store: Store, tmp_path: Path) -> None:
    """A full chain with the file of intermediates behind it."""
    issuer, signer = issue(tmp_path, "ca")
    middle, middle_key = issue(tmp_path, "middle", 30, "-CA", str(issuer), "-CAkey", str(signer))
    names = ("-addext", "subjectAltName=DNS:mail.example.org")
    chain, key = issue(tmp_path, "leaf", 30, *names, "-CA", str(middle), "-CAkey", str(middle_key))
    wanted = chain.read_text() + middle.read_text()
    chain.write_text(wanted + middle.read_text())
    assert store.replaced("public", str(chain), str(key), MAIL)
    assert Path(store.folder, "public", "chain.pem").read_text() == wanted


def test_a_wildcard_is_for_the_name(store: Store, tmp_path: Path) -> None:
    chain, key = issue(tmp_path, "wild", 30, "-addext", "subjectAltName=DNS:*.Example.org", key="rsa:2048")
    assert store.replaced("public", str(chain), str(key), MAIL)


def test_a_hook_brings_what_fits(store: Store, tmp_path: Path) -> None:
    chain, key = issue(tmp_path, "second")
    chain.write_text(f"Friendly näme\n{chain.read_text()}")
    assert store.replaced("public", str(chain), str(key), MAIL)
    assert not store.replaced("public", str(chain), str(key), MAIL)
    seen = t.cast(dict[str, t.Any], store.seen()["served"])["public"]
    assert seen["matches"] and seen["guarded"]
    assert (tmp_path / "postamt" / "tls" / "ca.pem").read_text() == "CA\n"
    other = issue(tmp_path, "third")[1]
    for (name, chain_file, key_file), message in (
        (("public", chain, other), "the key is not the certificate's"),
        (("nosuch", chain, key), "nosuch is no certificate that a program brings to this host"),
        (("internal", chain, key), r"internal is no certificate .* \(known: public\)"),
        (("public", key, key), "holds no certificate"),
        (("public", chain, chain), "holds no private key"),
    ):
        with pytest.raises(CertificateError, match=message):
            store.replaced(name, str(chain_file), str(key_file), MAIL)
    assert t.cast(dict[str, t.Any], store.seen()["served"])["public"] == seen


def test_a_request_under_way_outlives_a_hook(store: Store, tmp_path: Path) -> None:
    store.requested([{"name": "other", "key_type": "ec"}])
    chain, key = issue(tmp_path, "second")
    store.replaced("public", str(chain), str(key), MAIL)
    assert (tmp_path / "postamt" / "tls" / ".requested" / "other.pem").exists()


@pytest.mark.parametrize(
    ("days", "warned", "due"),
    [(22, None, None), (21, None, 21), (20, 21, None), (8, 21, None), (6.5, 21, 7), (6.5, None, 7), (2, 7, None),
     (0.5, 7, 1), (-3, None, 1), (-3, 1, None)],
)  # fmt: skip
def test_thresholds(days: float, warned: int | None, due: int | None) -> None:
    assert command.threshold(days, warned) == due


def test_each_threshold_is_told_once_a_certificate(store: Store, tmp_path: Path) -> None:
    letters: list[str] = []
    record = str(tmp_path / "state" / "warned.json")
    now = time.time()

    def days_on(days: float) -> list[str]:
        letters.clear()
        command.warn(store, record, now + days * 86400, letters.append)
        return [line for letter in letters for line in letter.splitlines() if line.startswith("Subject: ")]

    assert days_on(0) == days_on(8) == []
    assert "Subject: Certificate public of" in days_on(10)[0] and " expires on " in letters[0]
    assert days_on(11) == days_on(22) == []
    assert len(days_on(24)) == 1 and days_on(24) == []
    assert len(days_on(29.5)) == 1 and days_on(29.6) == days_on(31) == []
    chain, key = issue(tmp_path, "second", days=5)
    store.replaced("public", str(chain), str(key), MAIL)
    assert len(days_on(0)) == 1
    assert "install public CHAIN KEY" in letters[0] and "CN=second" in letters[0]


def test_a_letter_that_cannot_be_sent_is_tried_again(store: Store, tmp_path: Path) -> None:
    record = str(tmp_path / "warned.json")
    soon = time.time() + 20 * 86400

    def refuse(letter: str) -> None:
        raise CertificateError("sendmail: no")

    with pytest.raises(CertificateError):
        command.warn(store, record, soon, refuse)
    assert command.warn(store, record, soon, lambda letter: None)


def test_the_lock_waits_and_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with (
        command.lock(1, path),
        pytest.raises(TimeoutError, match=f"held for 0 seconds by process {os.getpid()}, "),
        command.lock(0.1, path),
    ):
        pass
    with command.lock(0.1, path):
        pass


def test_what_is_exchanged_after_it_was_read_is_not_what_is_looked_at(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever brings a certificate may change its file while it is looked at; the folder of the check is left empty."""
    (bad, key), good = issue(tmp_path, "bad", 30, *OTHERS), issue(tmp_path, "good")[0].read_text()
    openssl = store.openssl

    def exchanging(*words: str) -> str:
        bad.write_text(good)
        return openssl(*words)

    monkeypatch.setattr(store, "openssl", exchanging)
    with pytest.raises(command.CertificateError, match="must be for mail.example.org, and is for other.example.net"):
        store.replaced("public", str(bad), str(key), MAIL)
    assert ".brought" not in os.listdir(store.folder)


def test_files_are_found_from_where_the_command_is_called(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(command, "Store", lambda *_words: store)
    monkeypatch.setattr(command, "GROUP", grp.getgrgid(os.getgid()).gr_name)
    monkeypatch.setattr(command, "lock", lambda *_words, **_more: contextlib.nullcontext())
    monkeypatch.setattr(store, "replaced", lambda _name, *paths: asked.extend(map(str, paths[:2])))
    monkeypatch.setattr(command, "serve", lambda: ({}, []))
    assert command.main(["install", "public", "chain.pem", "../key.pem"]) == 0
    assert asked == [f"{tmp_path}/chain.pem", f"{tmp_path.parent}/key.pem"]

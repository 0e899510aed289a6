# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The certificates of a host: what a hook may bring."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.tests.lib.openssl import OTHERS, SAN, issue, run

MAIL = {"public": ["mail.example.org"]}  # what may be brought, and for which names


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
    seen = cast(dict[str, Any], store.seen()["served"])["public"]
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
    assert cast(dict[str, Any], store.seen()["served"])["public"] == seen


def test_a_request_under_way_outlives_a_hook(store: Store, tmp_path: Path) -> None:
    store.requested([{"name": "other", "key_type": "ec"}])
    chain, key = issue(tmp_path, "second")
    store.replaced("public", str(chain), str(key), MAIL)
    assert (tmp_path / "postamt" / "tls" / ".requested" / "other.pem").exists()


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
    with pytest.raises(CertificateError, match="must be for mail.example.org, and is for other.example.net"):
        store.replaced("public", str(bad), str(key), MAIL)
    assert ".brought" not in os.listdir(store.folder)


# Keys that the DNS names


def bind(store: Store, *following: str) -> None:
    Path(store.bound).write_text(json.dumps({"public": list(following)}))


@pytest.fixture
def bound(store: Store, tmp_path: Path) -> Store:
    """A host whose key other servers know."""
    store.bound = str(tmp_path / "next-keys.json")
    bind(store)
    return store


def test_a_hook_brings_no_key_that_others_do_not_know(bound: Store, tmp_path: Path) -> None:
    before = bound.seen()
    chain, key = issue(tmp_path, "second")
    with pytest.raises(CertificateError, match="public has a new key .*The DNS names the present one") as caught:
        bound.replaced("public", str(chain), str(key), MAIL)
    assert bound.seen() == before
    assert len(list(Path(bound.folder, ".generations").iterdir())) == 1
    digest = re.findall("[0-9a-f]{64}", str(caught.value))[0]
    bind(bound, digest)
    assert bound.replaced("public", str(chain), str(key), MAIL)
    assert bound.key_digest(f"{bound.folder}/public") == digest


def test_the_same_key_is_always_taken(bound: Store, tmp_path: Path) -> None:
    key = Path(bound.folder, "public", "key.pem")
    chain = tmp_path / "renewed.pem"
    options = ("-x509", "-days", "60", "-key", str(key), "-subj", "/CN=renewed", *SAN, "-out", str(chain))
    assert run(["openssl", "req", *options])[0] == 0
    assert bound.replaced("public", str(chain), str(key), MAIL)


def test_a_key_that_is_lost_is_replaced_by_any(bound: Store, tmp_path: Path) -> None:
    issue(tmp_path, "other")[1].rename(Path(bound.folder, "public", "key.pem"))
    chain, key = issue(tmp_path, "second")
    assert bound.replaced("public", str(chain), str(key), MAIL)


def test_a_damaged_list_of_keys_stops_a_change(bound: Store, tmp_path: Path) -> None:
    Path(bound.bound).write_text("{")
    chain, key = issue(tmp_path, "second")
    with pytest.raises(OSError, match="is damaged"):
        bound.replaced("public", str(chain), str(key), MAIL)


def test_a_key_waits_until_others_know_it(bound: Store) -> None:
    digest = bound.prepared("public", "ec")
    assert bound.prepared("public", "ec") == digest
    seen = bound.seen()["served"]["public"]
    assert (seen["next"], seen["next_type"]) == (digest, "ec")
    kept = Path(bound.folder, ".next", "public.pem")
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    wish = [{"name": "public", "key_type": "ec"}]
    assert kept.read_bytes() != requested_key(bound, wish)
    bind(bound, digest)
    assert kept.read_bytes() == requested_key(bound, wish)
    assert kept.read_bytes() != requested_key(bound, [{"name": "public", "key_type": "rsa"}])
    assert bound.prepared("public", "rsa") != digest
    with pytest.raises(CertificateError, match="there is no certificate other"):
        bound.prepared("other", "ec")


def test_a_key_that_waits_and_is_damaged_is_made_anew(bound: Store) -> None:
    first = bound.prepared("public", "ec")
    Path(bound.folder, ".next", "public.pem").write_text("no key")
    seen = bound.seen()["served"]["public"]
    assert (seen["next"], seen["next_type"]) == ("", "")
    assert bound.prepared("public", "ec") not in ("", first)


def requested_key(store: Store, wish: list[dict[str, str]]) -> bytes:
    store.requested(wish)
    return Path(store.folder, ".requested", "public.pem").read_bytes()

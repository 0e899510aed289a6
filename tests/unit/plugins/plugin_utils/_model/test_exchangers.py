# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLSA records: which ones fit what an exchanger shows, and when it may take another key."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Certificate, Known, Shown

LEAF, ABOVE = Certificate(b"leaf", b"key of the leaf"), Certificate(b"above", b"key of the CA")
SHOWN = Shown((LEAF, ABOVE))
NEW = Shown((Certificate(b"new", b"new key"),))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("record", "fits"),
    [
        (f"3 1 1 {sha256(LEAF.key)}", True),
        (f"3 0 1 {sha256(LEAF.whole)}", True),
        (f"3 1 2 {hashlib.sha512(LEAF.key).hexdigest()}", True),
        (f"3 1 0 {LEAF.key.hex()}", True),
        (f"2 1 1 {sha256(ABOVE.key)}", True),
        (f"2 0 1 {sha256(ABOVE.whole)}", True),
        (f"3 1 1 {sha256(ABOVE.key)}", False),  # the certificate of a CA is not the server's
        (f"3 0 1 {sha256(LEAF.key)}", False),
        (f"1 1 1 {sha256(LEAF.key)}", False),  # no server acts on these (RFC 7672, 3.1.3)
        (f"3 1 3 {sha256(LEAF.key)}", False),
        ("3 1 1", False),
        ("", False),
        ("\\# 4 01020304", False),
    ],
)
def test_a_record_fits_what_it_names(record: str, fits: bool) -> None:
    assert SHOWN.fits(record) == fits
    if fits:
        assert exchangers.is_usable(record)


def test_spelling_does_not_count() -> None:
    digest = sha256(LEAF.key)
    assert exchangers.canonical(f"3 1 1 {digest[:20].upper()} {digest[20:]}") == exchangers.data(digest)
    assert exchangers.digest_of(exchangers.data(digest)) == digest
    assert [exchangers.digest_of(one) for one in (f"2 1 1 {digest}", f"3 1 1 {digest}00", "3 1 1 x")] == ["", "", ""]


def test_a_key_may_be_taken_after_two_ttls() -> None:
    known = Known(told=frozenset("abc"), shown={"a": 1000, "b": 2000}, ttl=300)
    assert known.usable(1599) == []
    assert known.usable(1600) == ["a"]
    assert known.usable(2600) == ["a", "b"]
    assert known.usable_from("c") is None
    left = Known(told=frozenset("a"), shown=known.shown, ttl=300)  # a resolver still remembers b
    assert left.usable(2600) == ["a"] and left.usable_from("b") is None
    assert known.is_bound and Known(told=frozenset("a")).is_bound and not Known().is_bound


def test_all_keys_that_stay_are_named() -> None:
    digests = sorted(one.key_digest for one in (SHOWN, NEW))
    assert exchangers.wanted([SHOWN, NEW, SHOWN], [], Known(), replaced=False) == digests
    assert exchangers.wanted([SHOWN], ["ff"], Known(), replaced=False) == sorted([SHOWN.key_digest, "ff"])
    assert exchangers.wanted([], ["ff"], Known(), replaced=False) == []


def test_a_stand_in_is_named_only_if_others_know_it_already() -> None:
    own = Shown((LEAF,), own=True)
    assert exchangers.wanted([own], ["ff"], Known(), replaced=True) == []
    assert exchangers.wanted([own], [], Known(), replaced=False) == [own.key_digest]
    known = Known(told=frozenset([own.key_digest]))
    assert exchangers.wanted([own], ["ff"], known, replaced=True) == sorted([own.key_digest, "ff"])

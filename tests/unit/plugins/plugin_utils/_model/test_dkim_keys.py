# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys by which mail is signed: their records, their forms, and what is refused."""

from __future__ import annotations

import base64
import copy
import functools
import json
import subprocess
import typing as t

import dkim
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._model import dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys, Key, KeySet
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain, Refused
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

DOMAIN = "example.org"
MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: hello\r\n\r\nGood morning.\r\n"
Form = t.Literal["PKCS8", "TraditionalOpenSSL"]


@functools.cache
def new(date: str = "20261128") -> KeySet:
    return dkim_keys.new_set(date)


def of(algorithm: str, keys: KeySet | None = None) -> Key:
    return next(key for key in (keys or new()).keys if key.algorithm == algorithm)


def tags(text: str) -> dict[str, str]:
    return dict(part.strip().split("=", 1) for part in text.split(";"))


def pem(key: t.Any, form: Form = "PKCS8", phrase: bytes = b"") -> bytes:
    encryption: t.Any = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
    found: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat[form], encryption)
    return found


@functools.cache
def rsa_key(bits: int = 1024) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def test_a_message_that_is_signed_verifies_by_the_record() -> None:
    key = of("rsa")
    signature = dkim.sign(MESSAGE, key.selector.encode(), DOMAIN.encode(), key.for_rspamd().encode())
    records = dict(dkim_keys.records(new(), DOMAIN))

    def asked(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")].encode()

    assert dkim.verify(signature + MESSAGE, dnsfunc=asked)
    assert not dkim.verify(signature + MESSAGE + b"more\r\n", dnsfunc=asked)


def test_what_an_rsa_record_says_is_the_public_half() -> None:
    key = of("rsa")
    said = tags(key.record())
    assert list(said) == ["v", "k", "p"] and (said["v"], said["k"]) == ("DKIM1", "rsa")
    public = t.cast(rsa.RSAPublicKey, serialization.load_der_public_key(base64.b64decode(said["p"])))
    assert public.key_size == 2048
    private = t.cast(rsa.RSAPrivateKey, serialization.load_pem_private_key(key.private.encode(), None))
    hashed = hashes.SHA256()
    public.verify(private.sign(b"x", padding.PKCS1v15(), hashed), b"x", padding.PKCS1v15(), hashed)


def test_what_an_ed25519_record_says_is_the_public_half() -> None:
    key = of("ed25519")
    said = tags(key.record())
    raw = base64.b64decode(said["p"])
    assert (said["v"], said["k"], len(raw)) == ("DKIM1", "ed25519", 32)
    both = base64.b64decode(key.for_rspamd())
    assert both[32:] == raw and "\n" not in key.for_rspamd()
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(both[:32])
    ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signer.sign(b"x"), b"x")


def test_the_example_of_rfc_8463() -> None:
    """Its appendix A has an Ed25519 key and the record for it."""
    key = dkim_keys.key_from(b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n", "brisbane")
    assert key.record() == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_selectors_carry_the_date_and_are_never_used_twice() -> None:
    assert new().selectors() == ("rsa20261128", "ed20261128")
    assert dkim_keys.new_set("20261128", ["ED20261128"]).selectors() == ("rsa20261128a", "ed20261128a")
    taken = ["rsa20261128", "rsa20261128a", "mail"]
    assert dkim_keys.new_set("20261128", taken).selectors() == ("rsa20261128b", "ed20261128b")
    assert all(dkim_keys.SELECTOR.match(selector) for selector in new().selectors())


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("mail", True), ("2026-11", True), ("a.b", True), ("A1", True), ("", False), ("-a", False), ("a-", False),
        ("a..b", False), (".a", False), ("a.", False), ("a_b", False), ("ä", False), ("a b", False), ("a\n", False),
        ("x" * 63, True), ("x" * 64, False),
    ],
)  # fmt: skip
def test_selectors(selector: str, fits: bool) -> None:
    assert bool(dkim_keys.SELECTOR.match(selector)) is fits


def test_records_are_those_of_all_sets() -> None:
    keys = DomainKeys(new("20260101"), next=new(), former=new("20250101"))
    assert [name for name, _text in keys.records(DOMAIN)] == [
        f"{word}{date}._domainkey.example.org"
        for date in ("20260101", "20261128", "20250101")
        for word in ("rsa", "ed")
    ]


def test_a_rotation() -> None:
    old, fresh = new("20260101"), new()
    keys = DomainKeys(old).deployed(100)
    assert keys.signing.since == 100 and keys.deployed(200) == keys
    published = keys.published(fresh, 300)
    assert published.signing == keys.signing and published.next and published.next.since == 300
    signed = published.signed()
    assert signed.signing.keys == fresh.keys and signed.former and signed.former.keys == old.keys
    assert (signed.signing.since, signed.former.since, signed.next) == (None, None, None)
    done = signed.deployed(400)
    assert done.signing.since == 400
    assert done.withdrawn() == DomainKeys(done.signing)
    for wrong in (keys, signed.published(fresh, 1)):  # nothing to take, or a former set that would be lost
        with pytest.raises(ValueError, match="no next set"):
            wrong.signed()


def test_plain_data_and_back() -> None:
    keys = DomainKeys(new(), new("20261129"), KeySet("20250101", (new("20250101").keys[0],), 5))
    data = json.loads(json.dumps(dkim_keys.to_plain(keys)))
    assert dkim_keys.from_plain(data) == keys


def broken(path: str, value: object) -> dict[str, t.Any]:
    data: t.Any = copy.deepcopy(json.loads(json.dumps(dkim_keys.to_plain(DomainKeys(new(), former=new("20250101"))))))
    *way, last = path.split(".")
    place = data
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    found: dict[str, t.Any] = data
    return found


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("more", 1, "the domain's keys must be a mapping with the keys signing, next, former"),
        ("signing", None, "signing must not be null"),
        ("signing", [], "signing must be a mapping with the keys date, keys, since"),
        ("signing.date", 20261128, "date of signing must be eight digits in quotes"),
        ("former.since", "now", "since of former must be a number of seconds, or null"),
        ("former.since", 10**18, "since of former must be a number of seconds, or null"),
        ("former.since", 1.0, "since of former must be a number of seconds, or null"),
        ("former.since", True, "since of former must be a number of seconds, or null"),
        ("signing.keys", [], "keys of signing must be a list of one or two keys"),
        ("signing.keys.0", "x", "a key of signing must be a mapping"),
        ("signing.keys.0.algorithm", "dsa", "algorithm of a key of signing must be rsa or ed25519"),
        ("signing.keys.0.algorithm", "ed25519", "private of a key of signing must be its private key in PEM"),
        ("signing.keys.0.selector", "a_b", "selector of a key of signing must be labels"),
        ("signing.keys.0.selector", "RSA20250101", "each key must have a selector of its own"),
        ("signing.keys.0.private", 5, "private of a key of signing must be its private key in PEM"),
        ("signing.keys.0.private", "nonsense", "private of a key of signing must be its private key in PEM"),
    ],
)
def test_other_data_is_refused(path: str, value: object, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refused:
        dkim_keys.from_plain(broken(path, value))
    assert not any(line in str(refused.value) for key in new().keys for line in key.private.splitlines())


def test_two_keys_of_one_algorithm_are_refused() -> None:
    twin = dkim_keys.to_plain(DomainKeys(new("20250101")))["signing"]["keys"][0]
    with pytest.raises(Refused, match="keys of signing must differ in their algorithm"):
        dkim_keys.from_plain(broken("signing.keys.1", twin))


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_rsa_keys_of_other_programs_are_taken(form: Form) -> None:
    key = dkim_keys.key_from(pem(rsa_key(), form), "mail")
    assert (key.algorithm, key.selector) == ("rsa", "mail")
    assert key.for_rspamd().startswith("-----BEGIN PRIVATE KEY-----")
    der = (
        rsa_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert key.public() == der


def test_ed25519_keys_of_other_programs_are_taken() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    seed = key.private_bytes_raw()
    forms = [pem(key), base64.b64encode(seed), base64.b64encode(seed + key.public_key().public_bytes_raw()) + b"\n"]
    found = {dkim_keys.key_from(form, "mail") for form in forms}
    assert len(found) == 1 and found.pop().public() == key.public_key().public_bytes_raw()


def test_files_without_a_fitting_key_are_refused() -> None:
    public = (
        rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:512"]
    small = subprocess.run(command, check=True, capture_output=True).stdout  # cryptography makes none so small
    for content, sentence in [
        (b"", "holds no private key"),
        (b"\xff\x00", "holds no private key"),
        (b"nonsense", "holds no private key"),
        (public, "holds no private key"),
        (base64.b64encode(bytes(64)), "holds no private key"),  # seed and public key do not belong together
        (pem(rsa_key(), phrase=b"x"), "is protected by a pass phrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "holds a key of another kind"),
        (small, "holds an RSA key of 512 bits"),
    ]:
        with pytest.raises(Refused, match=sentence):
            dkim_keys.key_from(content, "mail")


def test_no_key_is_shown_by_accident() -> None:
    keys = DomainKeys(new())
    assert "PRIVATE" not in repr(keys) and "rsa20261128" in repr(keys)


def test_keys_outside_a_run_are_made_once_and_only_when_asked_for() -> None:
    keys = dkim_keys.MadeUp()
    assert dict(keys) == {}
    assert keys[Domain("example.org")] is keys[Domain("example.net")] is dkim_keys.made_up()
    assert not dkim_keys.made_up().kept

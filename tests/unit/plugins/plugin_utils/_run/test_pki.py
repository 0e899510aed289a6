# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's CA and what it signs, with real keys and a real TLS handshake."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.tests.lib.openssl import run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
DAY = datetime.timedelta(days=1)
DOMAINS = ["example.org", "localhost"]
NAMES = ["mail.example.org", "localhost", "127.0.0.1", "::1"]


def request(key: t.Any) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode()


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.make_authority("mail.example.org", DOMAINS)


# The site's CA


def test_the_ca_is_made_once_and_kept_private(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    assert pki.load_authority(state) is None
    first, made = pki.ensure_authority(state, "mail.example.org", DOMAINS)
    again, remade = pki.ensure_authority(state, "mail.example.org", DOMAINS)
    assert (made, remade) == (True, False)
    assert first.certificate == again.certificate
    assert os.stat(state.path("ca.key")).st_mode & 0o777 == 0o600


def test_the_cas_key_may_be_vaulted(tmp_path: Path) -> None:
    vault = VaultLib([("site", VaultSecret(b"secret"))])
    state = State(str(tmp_path / "state"), vault)
    first, _made = pki.ensure_authority(state, "mail.example.org", DOMAINS)
    path = Path(state.path("ca.key"))
    path.write_bytes(vault.encrypt(path.read_bytes(), vault_id="site"))
    known = pki.load_authority(state)
    assert known is not None
    assert known.certificate == first.certificate


def test_the_ca_signs_for_its_domains_only_and_may_be_given_more(authority: pki.Authority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert pki.permitted(authority) == DOMAINS
    assert pki.outside(authority, ["mx.mail.example.org", "example.org", "badexample.org", "mail.example.net"]) == [
        "badexample.org",
        "mail.example.net",
    ]
    with pytest.raises(ValueError, match="may not sign mail.example.net"):
        pki.sign(authority, request(key), ["mail.example.net"], 30)
    wider = pki.widened(authority, ["mail.example.net", "deep.example.org"])
    assert pki.permitted(wider) == ["example.org", "localhost", "mail.example.net"]
    chain = pki.sign(wider, request(key), ["mail.example.net"], 30)
    # what was signed before, and what people have in their mail programs, go together still
    before = pki.sign(authority, request(key), NAMES, 30)
    handshake(chain, key, wider, "mail.example.net", tmp_path)
    handshake(before, key, wider, "mail.example.org", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(chain, key, authority, "mail.example.net", tmp_path)


def test_hosts_that_have_the_former_certificate_are_known(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    first, _made = pki.ensure_authority(state, "mail.example.org", DOMAINS)
    wider, made = pki.ensure_authority(state, "mail.example.org", [*DOMAINS, "example.net"])
    assert not made and wider.certificate != first.certificate
    assert pki.blocks((state.read(pki.CA_FORMER) or b"").decode()) == pki.blocks(first.pem)
    assert pki.ensure_authority(state, "mail.example.org", DOMAINS)[0].certificate == wider.certificate


def test_half_a_ca_and_a_wrong_pair_are_named(tmp_path: Path) -> None:
    state, other = State(str(tmp_path / "state")), State(str(tmp_path / "other"))
    pki.ensure_authority(state, "mail.example.org", DOMAINS)
    pki.ensure_authority(other, "mail.example.org", DOMAINS)
    Path(state.path("ca.key")).write_bytes(other.read("ca.key") or b"")
    with pytest.raises(StateError, match="ca.key is not the key of ca.pem"):
        pki.load_authority(state)
    Path(state.path("ca.key")).write_text("nothing")
    with pytest.raises(StateError, match="ca.key is no private key in PEM"):
        pki.load_authority(state)
    os.unlink(state.path("ca.key"))
    with pytest.raises(StateError, match="ca.key is missing beside the other half"):
        pki.load_authority(state)


# Certificates of the site's CA


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_strict_verification_accepts_what_the_ca_issues(authority: pki.Authority, key: t.Any, tmp_path: Path) -> None:
    """The verification of Python 3.13 (X509_V_FLAG_X509_STRICT) in a real handshake, for each name."""
    chain = pki.sign(authority, request(key), NAMES, 730)
    for name in NAMES:
        handshake(chain, key, authority, name, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        handshake(chain, key, authority, "other.example.org", tmp_path)


def handshake(chain: str, key: t.Any, authority: pki.Authority, name: str, folder: Path) -> None:
    """Ask for a name a server that shows a chain, trusting a CA as strictly as Python can."""
    import socket

    (folder / "pair.pem").write_bytes(
        chain.encode() + key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "pair.pem")
    context = ssl.create_default_context(cadata=authority.pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server_context.wrap_socket(theirs, server_side=True) as connection:
                connection.recv(1)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname=name) as connection:
            connection.send(b".")
    finally:
        ours.close()
        thread.join(10)


def test_the_names_come_from_the_inventory_not_from_the_request(authority: pki.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank.example")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
        .decode()
    )
    leaf = pki.from_pem(pki.sign(authority, greedy, ["mail.example.org"], 10))[0]
    assert pki.names_of(leaf) == ["mail.example.org"]
    assert leaf.subject.rfc4514_string() == "CN=mail.example.org"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_long_name_stands_in_the_alternative_names_only(authority: pki.Authority) -> None:
    name = "a" * 60 + ".example.org"
    leaf = pki.from_pem(pki.sign(authority, request(ec.generate_private_key(ec.SECP256R1())), [name], 10))[0]
    assert pki.names_of(leaf) == [name]
    assert list(leaf.subject) == []


def by_a_host(extension: x509.ExtensionType, version: int = 2) -> str:
    """A certificate that a host has made itself, in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(pki.now())
        .not_valid_after(pki.now() + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(key, hashes.SHA256())
    )
    content = made.public_bytes(serialization.Encoding.DER)
    return ssl.DER_cert_to_PEM_cert(content.replace(b"\xa0\x03\x02\x01\x02", bytes((0xA0, 3, 2, 1, version)), 1))


def test_names_in_a_hosts_certificate_are_no_commands_for_a_terminal() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("a\x1b]0;x\x07\nmail.example.org: nothing to do")])
    assert pki.summary(by_a_host(names)).startswith("names: a?]0;x??mail.example.org: nothing to do\nissuer")


def test_a_hosts_certificate_that_cannot_be_read_is_none(authority: pki.Authority) -> None:
    cut = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x05zz")
    for text in (by_a_host(cut), by_a_host(x509.BasicConstraints(ca=False, path_length=None), version=5)):
        assert pki.summary(text) == ""
        assert pki.why_renew(text, authority, ["mail.example.org"], "ec", 30) == "there is none"
        assert pki.why_stand_in(text) == "there is none"


def test_a_certificate_never_outlives_its_ca(authority: pki.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = pki.from_pem(pki.sign(authority, request(key), ["mail.example.org"], 99999))[0]
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
    # and is not issued again and again when both are about to end
    assert pki.why_renew(pki.to_pem([leaf]), authority, ["mail.example.org"], "ec", 99999) == ""


def test_why_a_certificate_is_renewed(authority: pki.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = pki.sign(authority, request(key), NAMES, 40)

    def why(**changes: t.Any) -> str:
        given = {"authority": authority, "names": NAMES[::-1], "kind": "ec", "renew_days": 30, **changes}
        return pki.why_renew(given.pop("chain", chain), **given)

    assert why() == ""
    assert why(chain="") == "there is none"
    assert why(chain="rubbish") == "there is none"
    assert why(names=["mail.example.org"]) == f"the one there is for {', '.join(NAMES)}"
    assert why(kind="rsa") == "the key there is EC P-256"
    assert why(renew_days=40).startswith("the one there expires on 20")
    other = pki.make_authority("x.example.org", DOMAINS)
    assert why(authority=other).startswith("the one there was issued by CA of mail.")


@pytest.mark.parametrize(
    "key",
    [
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "ED25519"),
        (),
    ],
)
def test_a_key_has_the_digest_that_other_servers_reckon(key: tuple[str, ...], tmp_path: Path) -> None:
    private, chain, public = (str(tmp_path / name) for name in ("key.pem", "chain.pem", "public.der"))
    if key:
        assert run(["openssl", "genpkey", *key, "-out", private])[0] == 0
    else:  # a point in the compressed form
        assert (
            run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{private}.first"])[0] == 0
        )
        form = ["-conv_form", "compressed"]
        assert run(["openssl", "ec", "-in", f"{private}.first", *form, "-out", private])[0] == 0
    assert run(["openssl", "req", "-x509", "-new", "-key", private, "-subj", f"/CN={'x' * 64}", "-out", chain])[0] == 0
    code, text, _errors = run(["openssl", "x509", "-in", chain, "-noout", "-pubkey"])
    Path(tmp_path, "public.pem").write_text(text)
    assert code == 0
    assert (
        run(["openssl", "pkey", "-pubin", "-in", f"{tmp_path}/public.pem", "-outform", "DER", "-out", public])[0] == 0
    )
    assert pki.key_digest(Path(chain).read_text()) == hashlib.sha256(Path(public).read_bytes()).hexdigest()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of the certificates that the user supplies, with real keys."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.supplied_certificates import (
    Supplied,
    check_supplied,
    trusted_roots,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
DAY = datetime.timedelta(days=1)


def key_pem(key: t.Any, protection: serialization.KeySerializationEncryption = PLAIN) -> bytes:
    return t.cast(bytes, key.private_bytes(PEM, PKCS8, protection))


class Private:
    """A root, an intermediate CA and a server's certificate, as a commercial CA issues them."""

    def __init__(self) -> None:
        self.root_key, self.middle_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = self.issue("root", self.root_key, "root", self.root_key, ca=True)
        self.middle = self.issue("middle", self.middle_key, "root", self.root_key, ca=True)
        self.leaf = self.server()

    def server(self, key: t.Any = None, **changes: t.Any) -> x509.Certificate:
        changes.setdefault("names", ["mail.example.org", "*.example.org"])
        return self.issue("mail.example.org", key or self.key, "middle", self.middle_key, **changes)

    @staticmethod
    def issue(
        name: str, key: t.Any, issuer: str, issuer_key: t.Any, *, ca: bool = False, names: t.Sequence[str] = (),
        begins: int = -1, ends: int = 90, usage: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(pki.now() + begins * DAY)
            .not_valid_after(pki.now() + ends * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(item) for item in names])
            builder = builder.add_extension(alternative, critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def private() -> Private:
    return Private()


def checked(
    private: Private, *certificates: x509.Certificate, key: bytes | None = None, chain: bytes = b"",
    names: t.Sequence[str] = ("mail.example.org",), roots: list[x509.Certificate] | None = None,
) -> tuple[Supplied | None, list[str]]:  # fmt: skip
    certificates = certificates or (private.leaf, private.middle)
    good, problems = check_supplied(
        "mail_certificates.public", names, pki.to_pem(certificates).encode(),
        key_pem(private.key) if key is None else key, chain, [private.root] if roots is None else roots,
    )  # fmt: skip
    assert (good is None) == bool(problems)
    return good, [str(problem) for problem in problems]


def test_good_files_are_taken(private: Private) -> None:
    good, _none = checked(private)
    assert good is not None
    assert pki.from_pem(good.chain) == [private.leaf, private.middle]
    assert good.expires == private.leaf.not_valid_after_utc


def test_the_chain_may_be_a_file_of_its_own_and_bring_its_root(private: Private) -> None:
    chain = pki.to_pem([private.middle, private.root]).encode()
    good, _none = checked(private, private.leaf, chain=chain, roots=[])
    assert good is not None
    assert pki.from_pem(good.chain) == [private.leaf, private.middle], "a root is of no use in a handshake"


def test_a_self_signed_certificate_is_its_own_chain(private: Private) -> None:
    own = private.issue("me", private.key, "me", private.key, names=["mail.example.org"])
    good, _none = checked(private, own, roots=[])
    assert good is not None
    assert pki.from_pem(good.chain) == [own]


def test_a_wildcard_covers_one_label(private: Private) -> None:
    assert checked(private, names=["imap.example.org"])[0]
    assert not checked(private, names=["a.b.example.org"])[0]
    assert not checked(private, names=["example.org"])[0]


def test_each_problem_has_its_sentence(private: Private) -> None:
    middle = private.middle
    p = "mail_certificates.public"

    def problems(*arguments: t.Any, **changes: t.Any) -> list[str]:
        return checked(private, *arguments, **changes)[1]

    stranger = key_pem(ec.generate_private_key(ec.SECP256R1()))
    assert problems(key=stranger) == [f"{p}.key: is the key of another certificate"]
    protected = key_pem(private.key, serialization.BestAvailableEncryption(b"word"))
    assert "is encrypted with a pass phrase" in problems(key=protected)[0]
    assert problems(key=b"") == [f"{p}.key: must be a private key in PEM"]
    small = rsa.generate_private_key(65537, 1024)
    assert problems(private.server(small), middle, key=key_pem(small)) == [
        f"{p}.key: must be an RSA key of at least 2048 bits or an EC key"
    ]
    odd = ed25519.Ed25519PrivateKey.generate()
    assert "must be an RSA key" in problems(private.server(odd), middle, key=key_pem(odd))[0]
    assert problems(names=["mail.example.org", "mx.other.org"]) == [
        f"{p}.certificate: must be for mx.other.org, and is for mail.example.org, *.example.org"
    ]
    assert "and is for no name" in problems(private.server(names=()), middle)[0]
    assert f"{p}.certificate: has expired on 20" in problems(private.server(begins=-9, ends=-1), middle)[0]
    assert "is not valid before 20" in problems(private.server(begins=3), middle)[0]
    client = private.server(usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert "is not for servers" in problems(client, middle)[0]
    assert problems(private.leaf) == [
        f"{p}.certificate: is incomplete: mail.example.org was issued by middle, which is neither in the files nor a "
        "CA that the controller trusts; add the intermediate certificates, or the root of a private CA"
    ]
    assert problems(private.leaf, private.root, middle) == [
        f"{p}.certificate: is out of order: after mail.example.org must come middle, not root"
    ]
    old = private.issue("middle", private.middle_key, "root", private.root_key, ca=True, begins=-9, ends=-1)
    assert "holds middle, expired on 20" in problems(private.leaf, old)[0]
    assert problems(chain=b"?") == [f"{p}.chain: must be certificates in PEM"]


def test_what_a_full_chain_and_the_file_beside_it_both_hold_is_served_once(private: Private) -> None:
    good, _none = checked(private, private.leaf, private.middle, chain=pki.to_pem([private.middle]).encode())
    assert good is not None
    assert pki.from_pem(good.chain) == [private.leaf, private.middle]


def test_all_problems_come_at_once(private: Private) -> None:
    good, problems = check_supplied("mail_certificates.x", ["mail.example.org"], b"?", b"?", b"?", [])
    assert good is None
    assert [problem.where.rpartition(".")[2] for problem in problems] == ["certificate", "chain", "key"]


def test_the_controllers_trusted_cas_are_read(
    private: Private, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "roots.pem"
    bundle.write_text(pki.to_pem([private.root]))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert trusted_roots() == [private.root]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert trusted_roots() == [private.root]

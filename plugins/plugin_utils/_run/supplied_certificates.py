# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates that the user supplies: what is wrong with the files, and how a host gets them."""

from __future__ import annotations

import dataclasses
import datetime
import os
import ssl
import typing as t
import warnings
from collections.abc import Iterable, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._run.pki import (
    Certificates,
    blocks,
    common_name,
    covers,
    from_pem,
    issued,
    names_of,
    now,
    to_pem,
)

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID
except ImportError:  # ansible-core brings it; only its import test has none
    pass


@dataclasses.dataclass(frozen=True)
class Supplied:
    """A user's files as a host gets them: the chain, leaf first, and the key, both in PEM."""

    chain: str
    key: str

    @property
    def expires(self) -> datetime.datetime:
        return from_pem(self.chain)[0].not_valid_after_utc


def check_supplied(
    where: str, names: Sequence[str], certificate: bytes, key: bytes, chain: bytes, roots: Certificates | None = None
) -> tuple[Supplied | None, list[Problem]]:
    """Return the files' content for a host, or every problem that they have.

    where: how the inventory names the certificate, such as mail_certificates.public. chain: intermediate certificates
    that are not in `certificate` itself, or nothing. roots: trusted CAs, by default those of the controller.
    """
    own, more = from_pem(certificate.decode(errors="replace")), from_pem(chain.decode(errors="replace"))
    problems = []
    if not own:
        problems.append(Problem(f"{where}.certificate", None, "must be a certificate in PEM"))
    if chain and not more:
        problems.append(Problem(f"{where}.chain", None, "must be certificates in PEM"))
    private, problem = _private_key(where, key)
    problems.extend(problem)
    whole = [*dict.fromkeys([*own, *more])]  # a full chain holds what the file beside it holds, too
    if own:
        problems.extend(_leaf_problems(where, own[0], names))
        place = f"{where}.chain" if chain else f"{where}.certificate"
        problems.extend(_chain_problems(place, whole, trusted_roots() if roots is None else roots))
        if private is not None and private.public_key() != own[0].public_key():
            problems.append(Problem(f"{where}.key", None, "is the key of another certificate"))
    if problems or private is None:
        return None, problems
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    served = [c for c in whole if c == own[0] or c.issuer != c.subject]  # a root is known or useless
    return Supplied(to_pem(served), text.decode("ascii")), []


def _private_key(where: str, key: bytes) -> tuple[t.Any, list[Problem]]:
    place = f"{where}.key"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError:
        allowed = "is encrypted with a pass phrase: decrypt it (openssl pkey), and protect the file by ansible-vault"
        return None, [Problem(place, None, allowed)]
    except ValueError:
        return None, [Problem(place, None, "must be a private key in PEM")]
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return private, []
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private, []
    return None, [Problem(place, None, "must be an RSA key of at least 2048 bits or an EC key")]


def _leaf_problems(where: str, leaf: x509.Certificate, names: Sequence[str]) -> Iterable[Problem]:
    place = f"{where}.certificate"
    missing = [name for name in names if not covers(leaf, name)]
    if missing:
        known = ", ".join(names_of(leaf)) or "no name"
        yield Problem(place, None, f"must be for {', '.join(missing)}, and is for {known}")
    if leaf.not_valid_after_utc < now():
        yield Problem(place, None, f"has expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if leaf.not_valid_before_utc > now():
        yield Problem(place, None, f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        yield Problem(place, None, "is not for servers (extended key usage serverAuth)")


def _chain_problems(place: str, chain: Certificates, roots: Certificates) -> Iterable[Problem]:
    for lower, upper in zip(chain, chain[1:], strict=False):
        if not issued(lower, upper):
            wants, has = common_name(lower.issuer), common_name(upper.subject)
            yield Problem(
                place, None, f"is out of order: after {common_name(lower.subject)} must come {wants}, not {has}"
            )
            return
        if upper.not_valid_after_utc < now():
            yield Problem(
                place, None, f"holds {common_name(upper.subject)}, expired on {upper.not_valid_after_utc:%Y-%m-%d}"
            )
    last = chain[-1]
    if last.issuer == last.subject or any(issued(last, root) for root in roots):
        return
    issuer, name = common_name(last.issuer), common_name(last.subject)
    yield Problem(
        place, None,
        f"is incomplete: {name} was issued by {issuer}, which is neither in the files nor a CA that the controller "
        "trusts; add the intermediate certificates, or the root of a private CA",
    )  # fmt: skip


def trusted_roots() -> Certificates:
    """Return the CAs that the controller's OpenSSL trusts (SSL_CERT_FILE and SSL_CERT_DIR are honoured)."""
    paths = ssl.get_default_verify_paths()
    files = [paths.cafile] if paths.cafile else []
    if not files and paths.capath:
        bundle = os.path.join(paths.capath, "ca-certificates.crt")  # Debian: all of them in one file
        names = sorted(os.listdir(paths.capath)) if not os.path.exists(bundle) else []
        files = [os.path.join(paths.capath, name) for name in names] or [bundle]
    roots: Certificates = []
    for path in filter(os.path.isfile, files):
        with open(path, encoding="utf-8", errors="replace") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a CA with an odd serial number is not for us to judge
            # one by one: one that cannot be read must not hide the others
            roots.extend(root for block in blocks(file.read()) for root in from_pem(block))
    return roots

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""X.509 as the site needs it (RFC 5280, RFC 9525): what a certificate says, the site's own CA, and what that signs.

Everything happens on the controller. Private keys of hosts never come here; a host sends a signing request.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import ipaddress
import re
import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # ansible-core brings it; only its import test has none
    pass

CA_CERTIFICATE = "ca.pem"
CA_KEY = "ca.key"
CA_FORMER = "ca-former.pem"  # certificates of the same key that an earlier run made: hosts may still have one
CA_YEARS = 20
SKEW = datetime.timedelta(hours=1)  # a host's clock may be behind the controller's
COMMON_NAME_LENGTH = 64  # RFC 5280, ub-common-name
KEY_WORDS = {"ec": "EC P-256", "rsa": "RSA 3072"}  # what a host makes

Certificates = list["x509.Certificate"]
_VERSION = 0xA0  # tag of the first element of a certificate, which may be missing (RFC 5280, 4.1)
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Authority:
    """The site's CA: its certificate, and its key where the controller may sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return to_pem([self.certificate])


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def to_pem(certificates: Iterable[x509.Certificate]) -> str:
    """Return certificates in PEM, in order."""
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode("ascii") for c in certificates)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def key_der(certificate: x509.Certificate) -> bytes:
    """Return a certificate's public key (SubjectPublicKeyInfo) as it stands there.

    The library would write some in another form, with another digest: RSA-PSS as RSA, compressed points as others.
    """
    whole = certificate.tbs_certificate_bytes
    at = _part(whole, 0)[0]
    if whole[at] == _VERSION:
        at = _part(whole, at)[1]
    for _before in ("serial number", "signature", "issuer", "validity", "subject"):
        at = _part(whole, at)[1]
    return whole[at : _part(whole, at)[1]]


def _part(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of an element in DER begins and ends; the library has read all of it before."""
    size, begin = data[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    return begin, begin + size


def blocks(text: str) -> list[str]:
    """Return the certificates of a PEM text as they stand there, each with its first and last line."""
    return _BLOCK.findall(text)


def from_pem(text: str) -> Certificates:
    """Return the certificates of a PEM text, or nothing where it holds one that cannot be read to its end."""
    try:
        found = list(x509.load_pem_x509_certificates(text.encode()))
        for one in found:  # these are read when they are asked for
            _parts = (one.subject, one.issuer, one.extensions, one.public_key())
    except (
        ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType
    ):  # fmt: skip
        return []
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def common_name(name: x509.Name) -> str:
    """Return a name for people: its common name, else all of it."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _printable(str(found[0].value) if found else name.rfc4514_string())


def _printable(text: str) -> str:
    """Return text for a terminal: a host's certificate may hold anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses of subjectAltName, the only ones that count (RFC 9525)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *(_printable(name.lower()) for name in names.get_values_for_type(x509.DNSName)),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Tell whether a certificate is one for name; a wildcard stands for the first label (RFC 9525, 6.3)."""
    known = names_of(certificate)
    return name in known or f"*.{name.partition('.')[2]}" in known


def issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Tell whether the upper certificate's key has signed the lower one."""
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def summary(text: str) -> str:
    """Return what a person needs to know of a chain in PEM, one line a certificate's property; for diffs."""
    certificates = from_pem(text)
    if not certificates:
        return ""
    leaf = certificates[0]
    return (
        f"names: {', '.join(names_of(leaf))}\nissuer: {common_name(leaf.issuer)}\n"
        f"key: {_key_words(leaf.public_key())}\nexpires: {leaf.not_valid_after_utc:%Y-%m-%d}\n"
    )


def _key_words(key: t.Any) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC P-256" if isinstance(key.curve, ec.SECP256R1) else f"EC {key.curve.name}"
    return f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__


def key_type(key: t.Any) -> str:
    """Return ec (P-256), rsa, or nothing for another key."""
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    return "ec" if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) else ""


def key_digest(text: str) -> str:
    """Return the SHA-256 of the public key of a chain in PEM, or nothing where it cannot be read."""
    found = from_pem(text)
    return hashlib.sha256(key_der(found[0])).hexdigest() if found else ""


def has_key_type(text: str, kind: str) -> bool:
    """Tell whether the key of a chain in PEM is of a type (ec, rsa); one that cannot be read is of each."""
    found = from_pem(text)
    return not found or key_type(found[0].public_key()) == kind


# The site's CA


def make_authority(server_name: str, domains: Iterable[str]) -> Authority:
    """Return a new CA: EC P-256, for certificates one step below it, and for names in these domains only.

    People trust the CA in their mail programs: with the name constraints (RFC 5280, 4.2.1.10) whoever steals its key
    cannot pass for servers that are not the site's.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Part of the key's identifier in the name: two CAs of one site are never taken for each other.
    title = f"CA of {server_name}"[: COMMON_NAME_LENGTH - 9] + " " + key_id.digest.hex()[:8]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    return _authority(key, name, now() + datetime.timedelta(days=365 * CA_YEARS), domains)


def widened(authority: Authority, domains: Iterable[str]) -> Authority:
    """Return the CA with another certificate of the same key and name, for names in these domains too.

    What it has signed stays right, and so does the certificate that people have in their mail programs.
    """
    old = authority.certificate
    return _authority(authority.key, old.subject, old.not_valid_after_utc, [*permitted(authority), *domains])


def permitted(authority: Authority) -> list[str]:
    """Return the domains that a CA may sign names in; empty where it may sign for all."""
    try:
        constraints = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    return [name.value for name in constraints.permitted_subtrees or () if isinstance(name, x509.DNSName)]


def outside(authority: Authority, names: Iterable[str]) -> list[str]:
    """Return those of some DNS names that a CA may not sign."""
    domains = permitted(authority)
    return [name for name in names if domains and not any(_within(name, domain) for domain in domains)]


def _within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _authority(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, end: datetime.datetime, domains: Iterable[str]
) -> Authority:
    known = sorted(set(domains))
    wide = [one for one in known if not any(one != other and _within(one, other) for other in known)]
    loopback = [x509.IPAddress(ipaddress.ip_network(address)) for address in ("127.0.0.1/32", "::1/128")]
    subtrees = [*(x509.DNSName(domain) for domain in wide), *loopback]
    public = key.public_key()
    key_id = x509.SubjectKeyIdentifier.from_public_key(public)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=subtrees, excluded_subtrees=None), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(state: State) -> Authority | None:
    """Return the CA of the controller's state, None where it has none; raises StateError for half or a wrong one."""
    text, key_text = state.read(CA_CERTIFICATE), state.read(CA_KEY)
    if text is None and key_text is None:
        return None
    for found, name in ((text, CA_CERTIFICATE), (key_text, CA_KEY)):
        if found is None:
            raise StateError(f"{state.path(name)} is missing beside the other half of the site's CA: bring it back")
    certificates = from_pem((text or b"").decode(errors="replace"))
    try:
        key = serialization.load_pem_private_key(key_text or b"", password=None)
    except (ValueError, TypeError):
        raise StateError(f"{state.path(CA_KEY)} is no private key in PEM without a pass phrase") from None
    if not certificates or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError(f"{state.path(CA_CERTIFICATE)} and {CA_KEY} must be a certificate and an EC key in PEM")
    if certificates[0].public_key() != key.public_key():
        raise StateError(
            f"{state.path(CA_KEY)} is not the key of {CA_CERTIFICATE} beside it: bring the right pair back"
        )
    if certificates[0].not_valid_after_utc < now():
        raise StateError(
            f"{state.path(CA_CERTIFICATE)} has expired: move it and {CA_KEY} away, and the run makes a new CA"
        )
    return Authority(certificates[0], key)


def ensure_authority(state: State, server_name: str, domains: Sequence[str]) -> tuple[Authority, bool]:
    """Return the site's CA and whether this call has made it; parallel forks get the same one.

    domains: those that it must be allowed to sign names in; one that is there gets another certificate for more.
    """
    with state.locked():
        known = load_authority(state)
        if known and not outside(known, domains):
            return known, False
        if known:
            wider = widened(known, domains)
            state.write(CA_FORMER, (state.read(CA_FORMER) or b"") + known.pem.encode(), secret=False)
            state.write(CA_CERTIFICATE, wider.pem.encode(), secret=False)
            return wider, False
        made = make_authority(server_name, domains)
        key = made.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        state.write(CA_KEY, key)
        state.write(CA_CERTIFICATE, made.pem.encode(), secret=False)
        return made, True


def _key_usage(**on: bool) -> x509.KeyUsage:
    words = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{word: on.get(word, False) for word in words})


# Certificates of the site's CA


def sign(authority: Authority, request: str, names: Sequence[str], days: int, calls: bool = False) -> str:
    """Return a certificate in PEM for the key of a signing request in PEM.

    Only the key and the proof of its possession are taken from the request; the names come from the inventory. calls:
    whether the host also shows it to those that it calls itself.
    Raises ValueError where the request is none, its signature is wrong, or the CA may not sign a name.
    """
    if wrong := outside(authority, (name for name in names if not _is_address(name))):
        raise ValueError(f"the site's CA may not sign {', '.join(wrong)}")
    try:
        asked = x509.load_pem_x509_csr(request.encode())
        valid, public = asked.is_signature_valid, asked.public_key()
    except (UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ValueError(str(error)) from None
    if not valid:
        raise ValueError("the signing request is not signed by its own key")
    short = names[0] if len(names[0]) <= COMMON_NAME_LENGTH else ""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)] if short else [])
    issuer_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usage = _key_usage(digital_signature=True, key_encipherment=isinstance(public, rsa.RSAPublicKey))
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if calls else [])]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now() - SKEW, authority.certificate.not_valid_before_utc))
        .not_valid_after(until(authority, days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=not short)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return to_pem([certificate])


def until(authority: Authority | None, days: int) -> datetime.datetime:
    """Return when a certificate ends that is issued now for so many days: not after its CA."""
    end = now() + datetime.timedelta(days=days)
    return min(end, authority.certificate.not_valid_after_utc) if authority else end


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def why_renew(
    chain: str, authority: Authority | None, names: Sequence[str], kind: str, renew_days: int, calls: bool = False
) -> str:
    """Return why the CA has to issue a new certificate in place of a chain in PEM, or nothing."""
    certificates = from_pem(chain)
    if not certificates:
        return "there is none"
    leaf = certificates[0]
    if authority is None:
        return "the site's CA is new"
    if not issued(leaf, authority.certificate):
        return f"the one there was issued by {common_name(leaf.issuer)}"
    if sorted(names_of(leaf)) != sorted(names):
        return f"the one there is for {', '.join(names_of(leaf))}"
    if key_type(leaf.public_key()) != kind:
        return f"the key there is {_key_words(leaf.public_key())}"
    if calls and not _is_for_callers(leaf):
        return "the one there is for servers only"
    soon = leaf.not_valid_after_utc <= now() + datetime.timedelta(days=renew_days)
    # a certificate that ends with its CA cannot be renewed to last longer
    if soon and leaf.not_valid_after_utc < authority.certificate.not_valid_after_utc:
        return f"the one there expires on {leaf.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _is_for_callers(leaf: x509.Certificate) -> bool:
    """Tell whether a client may show a certificate: one that names no purpose is for all (RFC 5280, 4.2.1.12)."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def is_stand_in(chain: str) -> bool:
    """Tell whether a chain in PEM is of a site's CA, this one or one that was lost, going by the name it has."""
    certificates = from_pem(chain)
    return bool(certificates and re.fullmatch(r"CA of .+ [0-9a-f]{8}", common_name(certificates[0].issuer)))


def why_stand_in(chain: str) -> str:
    """Return why a chain that a program on the host brought cannot be served any longer, or nothing."""
    certificates = from_pem(chain)
    if not certificates:
        return "there is none"
    end = certificates[0].not_valid_after_utc
    return f"the one there has expired on {end:%Y-%m-%d}" if end <= now() else ""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked about TLS: of a port that speaks it at once, or after a protocol's STARTTLS."""

from __future__ import annotations

import hashlib
import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import (
    HANDSHAKE,
    Conversation,
    Endpoint,
    ProbeError,
    Tls,
)
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import Imap
from ansible_collections.postamt.mail.plugins.module_utils._probes.managesieve import Sieve
from ansible_collections.postamt.mail.plugins.module_utils._probes.pop3 import Pop3
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Lmtp, Smtp

from .ldap import LdapStart

Protocol = Literal["smtp", "lmtp", "imap", "pop3", "sieve", "ldap"]
Version = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

_CLIENTS: Mapping[str, type[Conversation]] = {
    "smtp": Smtp,
    "lmtp": Lmtp,
    "imap": Imap,
    "pop3": Pop3,
    "sieve": Sieve,
    "ldap": LdapStart,
}
_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python does not name


@dataclass(frozen=True)
class Certificate:
    """What is served: the certificate, and how it was served.

    sha256    of the whole certificate (DER), in hexadecimal
    names     DNS names and addresses in subjectAltName
    protocol  version that was agreed on, such as TLSv1.3
    cipher    OpenSSL's name of the cipher suite that was agreed on
    """

    sha256: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    protocol: str
    cipher: str


@dataclass(frozen=True)
class Handshake:
    """How a handshake with one version only ended.

    reason  OpenSSL's word for the server's alert, or for its hanging up
    cipher  what was agreed on where the version was not refused
    """

    version: str
    refused: bool
    reason: str
    cipher: str


class _Silent(Conversation):
    """A port that speaks TLS at once, and whose protocol does not matter."""


def tls_certificate(e: Endpoint, starttls: Protocol | None = None) -> Certificate:
    """Which certificate is served, with which version and cipher?

    Raises ProbeError where it does not satisfy the endpoint. An endpoint that is not verified is
    visited twice: Python tells what stands in a certificate only after checking it, so the second
    visit takes the certificate of the first for its authority.
    """
    if e.verify:
        return _certificate(_open(e, starttls, None))
    with _open(e, starttls, None) as first:
        der = _secured(first).getpeercert(binary_form=True) or b""
    context = e.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    context.load_verify_locations(cadata=der)
    return _certificate(_open(e, starttls, context))


def tls_refuses(e: Endpoint, version: Version, starttls: Protocol | None = None) -> Handshake:
    """Does it refuse to speak this version of TLS?

    Only the version is asked about, so the certificate is not looked at, and nothing is said inside.
    A server refuses with an alert, or it just hangs up (Dovecot 2.3 does), which counts where it does
    not hang up on a client that speaks every version. Raises ProbeError where there is no answer, and
    where OpenSSL here cannot speak that version itself, which would look like a refusal.
    """
    try:
        return Handshake(version, False, "", _agreed(e, version, starttls))
    except ProbeError as error:
        cause = error.__cause__
        reason = getattr(cause, "reason", None) or type(cause).__name__
        if "_ALERT_" in reason or reason == "UNSUPPORTED_PROTOCOL":
            return Handshake(version, True, reason, "")
        if error.asked != HANDSHAKE or not isinstance(cause, (ssl.SSLEOFError, ConnectionError)):
            raise
    _agreed(e, None, starttls)
    return Handshake(version, True, reason, "")


def _agreed(e: Endpoint, version: Version | None, starttls: Protocol | None) -> str:
    """The cipher that a client agrees on that speaks this version only, or all, and takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    if version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is asked about
            context.maximum_version = context.minimum_version = _VERSIONS[version]
    with _open(replace(e, ca_file=None, verify=False), starttls, context) as conversation:
        cipher = _secured(conversation).cipher()
        return cipher[0] if cipher else ""


def _open(e: Endpoint, starttls: Protocol | None, context: ssl.SSLContext | None) -> Conversation:
    client = _CLIENTS[starttls] if starttls else _Silent
    tls: Tls = "starttls" if starttls else "implicit"
    return client(e, tls, context)


def _secured(conversation: Conversation) -> ssl.SSLSocket:
    if not isinstance(conversation.socket, ssl.SSLSocket):
        raise conversation.broken("no TLS")
    return conversation.socket


def _certificate(conversation: Conversation) -> Certificate:
    with conversation:
        connection = _secured(conversation)
        der = connection.getpeercert(binary_form=True) or b""
        facts: Any = connection.getpeercert() or {}
        cipher = connection.cipher()
        return Certificate(
            sha256=hashlib.sha256(der).hexdigest(),
            subject=_name(facts.get("subject", ())),
            issuer=_name(facts.get("issuer", ())),
            names=tuple(value for kind, value in facts.get("subjectAltName", ()) if kind in ("DNS", "IP Address")),
            not_before=_time(facts["notBefore"]),
            not_after=_time(facts["notAfter"]),
            protocol=connection.version() or "",
            cipher=cipher[0] if cipher else "",
        )


def _name(parts: Any) -> str:
    return ", ".join(f"{kind}={value}" for part in parts for kind, value in part)


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)

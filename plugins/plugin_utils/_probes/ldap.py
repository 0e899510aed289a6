# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over LDAP (RFC 4511).

Needs ldap3, which is pure Python and so installs everywhere without a compiler; it is imported when
the first question is asked, so that the other probes need nothing but Python.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Conversation, Endpoint, ProbeError, Tls

Bind = tuple[str, str]
_SCOPES = {"base": "BASE", "onelevel": "LEVEL", "subtree": "SUBTREE"}


@dataclass(frozen=True)
class LdapEntry:
    """An entry: its DN, and the values of each attribute as the server sent them, decoded from UTF-8."""

    dn: str
    attributes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LdapAnswer:
    """The result code (RFC 4511, 4.1.9), its name, such as insufficientAccessRights, and the server's words."""

    code: int
    name: str
    text: str
    entries: tuple[LdapEntry, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, [str(self.code), self.name, self.text]))

    @property
    def ok(self) -> bool:
        """Whether it was granted."""
        return self.code == 0


class LdapRefused(ProbeError):
    """What had to be granted before the question could be put was refused: `answer` says how."""

    def __init__(self, endpoint: Endpoint, asked: str, answer: LdapAnswer) -> None:
        super().__init__(endpoint, asked, answer)
        self.answer = answer


class LdapStart(Conversation):
    """Just enough of LDAP to put TLS on a connection (RFC 4511, 4.14), to look at the certificate."""

    def starttls(self) -> None:
        """The extended operation 1.3.6.1.4.1.1466.20037."""
        name = b"\x80\x161.3.6.1.4.1.1466.20037"
        self.send(b"\x30\x1d\x02\x01\x01\x77\x18" + name, "StartTLS")
        size = self.exactly(2)[1]
        if size & 0x80:
            size = int.from_bytes(self.exactly(size & 0x7F), "big")
        found, rest = self.exactly(size).partition(b"\x0a\x01")[1:]
        if not found or rest[:1] != b"\0":
            raise self.broken(f"refused with result code {rest[0]}" if rest else "not an LDAP answer")
        self.secure()


def _ldap3(e: Endpoint) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # ldap3 uses names that pyasn1 has renamed
            return importlib.import_module("ldap3")
    except ImportError as error:
        raise ProbeError(e, "LDAP", "the Python package ldap3 is not installed") from error


@contextmanager
def session(e: Endpoint, tls: Tls, asked: str, bind: Bind | None) -> Iterator[Any]:
    """A connection of ldap3's, inside TLS as told, not yet bound."""
    ldap3 = _ldap3(e)
    broken = (ldap3.core.exceptions.LDAPException, OSError)
    settings = ldap3.Tls()

    def wrap_socket(connection: Any, do_handshake: bool = False) -> None:
        """In place of ldap3's own way, which would also take a certificate for the address that it connects to."""
        connection.socket = e.context().wrap_socket(connection.socket, server_hostname=e.server_name)

    settings.wrap_socket = wrap_socket
    host = f"ldapi://{quote(e.host, safe='')}" if e.local else e.host
    try:
        server = ldap3.Server(
            host,
            port=e.port or None,
            use_ssl=tls == "implicit",
            tls=settings,
            get_info=ldap3.NONE,
            connect_timeout=e.timeout,
        )
        user, password = bind or (None, None)
        connection = ldap3.Connection(
            server,
            user=user,
            password=password,
            auto_referrals=False,
            receive_timeout=math.ceil(e.timeout),
            source_address=e.source_address,
        )
        connection.open(read_server_info=False)
        try:
            if tls == "starttls" and not connection.start_tls(read_server_info=False):
                raise LdapRefused(e, "StartTLS", result(connection))
            yield connection
        finally:
            with suppress(*broken):  # the first error is the one to tell
                connection.unbind()
    except broken as error:
        raise ProbeError(e, asked, error) from error


def result(connection: Any, *entries: LdapEntry) -> LdapAnswer:
    """How the last operation of a connection ended."""
    found = connection.result
    return LdapAnswer(found["result"], found["description"], found["message"], entries)


def _entry(dn: str, attributes: Mapping[str, Sequence[bytes]]) -> LdapEntry:
    decoded = {name: tuple(value.decode("utf-8", "replace") for value in values) for name, values in attributes.items()}
    return LdapEntry(dn, decoded)


def bound(e: Endpoint, connection: Any) -> None:
    """Bind; raises LdapRefused where it is refused."""
    if not connection.bind():
        raise LdapRefused(e, f"bind as {connection.user}", result(connection))


def ldap_bind(e: Endpoint, dn: str, password: str, *, tls: Tls = "starttls") -> LdapAnswer:
    """May this entry in (RFC 4513)? 0, or 49 invalidCredentials, or 13 confidentialityRequired before TLS.

    With tls="none" the password travels in the clear.
    """
    with session(e, tls, f"bind as {dn}", (dn, password)) as connection:
        connection.bind()
        return result(connection)


def ldap_search(
    e: Endpoint,
    base: str,
    query: str = "(objectClass=*)",
    *,
    attributes: Sequence[str] = ("*",),
    scope: Literal["base", "onelevel", "subtree"] = "subtree",
    bind: Bind | None = None,
    tls: Tls = "starttls",
) -> LdapAnswer:
    """What can be found there by a stranger, or by who binds (DN and password)?

    A refusal of the search is an answer (32 noSuchObject, 4 sizeLimitExceeded with the entries so far);
    that of the bind raises LdapRefused.
    """
    with session(e, tls, f"search below {base}", bind) as connection:
        if bind:
            bound(e, connection)
        connection.search(base, query, _SCOPES[scope], attributes=list(attributes))
        entries = [entry for entry in connection.response or () if entry["type"] == "searchResEntry"]
        return result(connection, *(_entry(entry["dn"], entry["raw_attributes"]) for entry in entries))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be asked over LDAP (RFC 4511).

Needs ldap3, which is pure Python and so installs everywhere without a compiler; it is imported when
the first question is asked, so that the other probes need nothing but Python.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from .base import Conversation, Endpoint, ProbeError, Tls

Bind = tuple[str, str]


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

    GOODBYE = b""

    def starttls(self) -> None:
        """The extended operation 1.3.6.1.4.1.1466.20037."""
        name = b"\x80\x161.3.6.1.4.1.1466.20037"
        self.send(b"\x30\x1d\x02\x01\x01\x77\x18" + name, "StartTLS")
        _, size = self.exactly(2)
        if size & 0x80:
            size = int.from_bytes(self.exactly(size & 0x7F), "big")
        _, found, rest = self.exactly(size).partition(b"\x0a\x01")
        if not found or rest[:1] != b"\0":
            raise self.broken(f"refused with result code {rest[0]}" if rest else "not an LDAP answer")
        self.secure()


@contextmanager
def _connection(e: Endpoint, asked: str, tls: Tls) -> Iterator[Any]:
    """A connection of ldap3's, not yet bound, inside TLS as told."""
    try:
        ldap3 = importlib.import_module("ldap3")
    except ImportError as error:
        raise ProbeError(e, asked, "the Python package ldap3 is not installed") from error
    ssl = importlib.import_module("ssl")
    try:
        server = ldap3.Server(
            f"ldapi://{quote(e.host, safe='')}" if e.local else e.host,
            port=e.port or None,
            use_ssl=tls == "implicit",
            tls=ldap3.Tls(
                validate=ssl.CERT_REQUIRED if e.verify else ssl.CERT_NONE,
                ca_certs_file=e.ca_file,
                valid_names=[e.server_name],
                sni=e.server_name,
            ),
            get_info=ldap3.NONE,
            connect_timeout=e.timeout,
        )
        connection = ldap3.Connection(
            server,
            raise_exceptions=False,
            receive_timeout=e.timeout,
            source_address=e.source_address,
        )
        try:
            connection.open(read_server_info=False)
            if tls == "starttls" and not connection.start_tls(read_server_info=False):
                raise LdapRefused(e, "StartTLS", _answer(connection))
            yield connection
        finally:
            connection.unbind()
    except ldap3.core.exceptions.LDAPException as error:
        raise ProbeError(e, asked, error) from error

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every probe stands on: where to ask, a conversation in lines, and one error when it breaks.

A probe is one function per question that can be asked of a mail server. It returns the facts as a
small frozen dataclass, a refusal included, and raises `ProbeError` when there is no answer at all.
Passwords are never part of an answer or an error.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

Tls = Literal["none", "starttls", "implicit"]

LONGEST_LINE = 1 << 20
HANDSHAKE = "TLS handshake"
_LITERAL = re.compile(rb"\{(\d+)\+?\}$")


@dataclass(frozen=True)
class Endpoint:
    """Where to ask.

    host            an address, a name, or the path of a Unix socket
    port            TCP port; not used for a Unix socket
    name            the name that the certificate must carry (host, if None)
    ca_file         PEM file of the trusted authorities (the system's, if None)
    timeout         seconds that a single answer may take
    source_address  the local address to ask from
    verify          False takes any certificate; refused where a ca_file is given
    """

    host: str
    port: int = 0
    name: str | None = None
    ca_file: str | None = None
    timeout: float = 10.0
    source_address: str | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if self.ca_file and not self.verify:
            raise ValueError("an endpoint with a ca_file is always verified")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = self.host if self.local else f"{host}:{self.port}"
        return where if self.name in (None, self.host) else f"{self.name} at {where}"

    @property
    def local(self) -> bool:
        """Whether this is a Unix socket."""
        return self.host.startswith("/")

    @property
    def server_name(self) -> str:
        """The name to verify the certificate against, and to send as SNI."""
        return self.name or self.host

    def connect(self) -> socket.socket:
        """A connected socket; raises OSError."""
        if not self.local:
            source = (self.source_address, 0) if self.source_address else None
            return socket.create_connection((self.host, self.port), self.timeout, source)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(self.timeout)
        try:
            connection.connect(self.host)
        except OSError:
            connection.close()
            raise
        return connection

    def context(self) -> ssl.SSLContext:
        """TLS settings of a careful client; raises OSError where ca_file cannot be read."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise OSError(f"{self.ca_file}: {error.strerror or error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class ProbeError(Exception):
    """There was no answer: `endpoint`, what was `asked` (never a secret), and `why`."""

    def __init__(self, endpoint: Endpoint, asked: str, why: object) -> None:
        super().__init__(f"{endpoint}: {asked}: {why}")
        self.endpoint = endpoint
        self.asked = asked
        self.why = str(why)


class Conversation:
    """One connection, spoken in lines; the base of each protocol's client.

    Used as a context manager: it greets, puts TLS on as told, and says goodbye at the end.
    """

    GOODBYE: ClassVar[bytes] = b""

    def __init__(self, endpoint: Endpoint, tls: Tls = "none", context: ssl.SSLContext | None = None) -> None:
        self.endpoint = endpoint
        self.asked = "connect"
        self._context = context
        try:
            self.socket = endpoint.connect()
        except OSError as error:
            raise self.broken(error) from error
        self._reader = self.socket.makefile("rb")
        try:
            if tls == "implicit":
                self.secure()
            self.asked = "greeting"
            self.greet()
            if tls == "starttls":
                self.starttls()
        except BaseException:
            self.close()
            raise

    def greet(self) -> None:
        """Read what the server says first."""

    def starttls(self) -> None:
        """Ask for TLS and put it on."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None and self.GOODBYE:
                self.send(self.GOODBYE + b"\r\n", "goodbye")
                self.line()
        except ProbeError:
            pass  # the answers are in, and a server need not wait for a goodbye
        finally:
            self.close()

    def close(self) -> None:
        """Hang up without a word."""
        self._reader.close()
        self.socket.close()

    def broken(self, why: object) -> ProbeError:
        """The error that says what was being asked when the conversation broke."""
        return ProbeError(self.endpoint, self.asked, str(why) or type(why).__name__)

    def secure(self) -> None:
        """The TLS handshake, on the connection as it is."""
        self.asked = HANDSHAKE
        try:
            context = self._context or self.endpoint.context()
            self.socket = context.wrap_socket(self.socket, server_hostname=self.endpoint.server_name)
        except (OSError, ValueError) as error:
            raise self.broken(error) from error
        self._reader = self.socket.makefile("rb")

    def send(self, data: bytes, asked: str) -> None:
        """Send bytes as they are; `asked` names them in errors and holds no secret."""
        self.asked = asked
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise self.broken(error) from error

    def line(self) -> bytes:
        """The next line, without its end."""
        try:
            line = self._reader.readline(LONGEST_LINE)
        except OSError as error:
            raise self.broken(error) from error
        if not line.endswith(b"\n"):
            raise self.broken("line too long" if len(line) == LONGEST_LINE else "connection closed")
        return line.rstrip(b"\r\n")

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        try:
            data = self._reader.read(size)
        except OSError as error:
            raise self.broken(error) from error
        if len(data) < size:
            raise self.broken("connection closed")
        return data

    def logical_line(self) -> tuple[bytes, list[bytes]]:
        """A line of IMAP or ManageSieve with the literals in it, whose `{size}` stays in the text."""
        text, literals = self.line(), list[bytes]()
        while size := _LITERAL.search(text):
            literals.append(self.exactly(int(size[1])))
            text += b" " + self.line()
        return text, literals


def keywords(lines: Iterable[str]) -> dict[str, str]:
    """Capabilities, one a line, each with what stands behind it."""
    return {line.split(" ")[0].upper(): line.partition(" ")[2] for line in lines}


def attempts(wait: float, first: float = 0.05, longest: float = 1.0) -> Iterator[None]:
    """Try at once, then with growing pauses, until `wait` seconds are over; the last try is at the end."""
    deadline, pause = time.monotonic() + wait, first
    while True:
        yield
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)


def quoted(text: str) -> str:
    """A quoted string of IMAP and ManageSieve."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    """What a quoted string of IMAP or ManageSieve, or an atom, stands for."""
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text

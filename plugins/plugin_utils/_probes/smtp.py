# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users and other servers can ask over SMTP (RFC 5321): a login, and a message to take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, Tls
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import (
    HELO,
    Hello,
    Login,
    Reply,
    Smtp,
    Transaction,
    session,
)


def stuffed(content: bytes) -> bytes:
    """A message as it travels in DATA: every line ends in CRLF, a leading dot is doubled."""
    lines = re.split(rb"\r\n|\r|\n", content)
    if not lines[-1]:
        lines.pop()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


def smtp_auth(
    e: Endpoint,
    user: str,
    password: str,
    *,
    tls: Tls = "starttls",
    mechanism: Literal["PLAIN", "LOGIN"] = "PLAIN",
    helo: str = HELO,
) -> Reply:
    """May this user in (RFC 4954)? 235, or 535 for a wrong password, 530 before TLS, 503 where AUTH is not offered.

    It is asked even where AUTH is not offered, so that the refusal can be seen. With tls="none" the
    password travels in the clear. A server may let a wrong password wait: give the endpoint time.
    """
    with session(e, tls, helo) as smtp:
        return smtp.login(user, password, mechanism)


def smtp_send(
    e: Endpoint,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    *,
    tls: Tls = "none",
    login: Login | None = None,
    size: int | None = None,
    helo: str = HELO,
) -> Transaction:
    """Does it take this message? The answers for each recipient, and the queue id.

    Recipients that are refused do not keep the others from getting the message. BODY=8BITMIME
    (RFC 6152) and SMTPUTF8 (RFC 6531) are declared where the message needs them and the server
    offers them; the size only where it is given. Raises SmtpRefused where the login is refused.
    """
    with session(e, tls, helo, login) as smtp:
        parameters = _parameters(smtp.offers, sender, recipients, content, size)
        return _content(smtp, smtp.envelope(sender, recipients, *parameters), content)


def _content(smtp: Smtp, envelope: Transaction, content: bytes) -> Transaction:
    """The answers to the message itself."""
    if not envelope.accepted:
        return envelope
    reply = smtp.command("DATA")
    if reply.code == 354:
        smtp.send(stuffed(content) + b".\r\n", "end of data")
        reply = smtp.reply()
    return Transaction(envelope.mail, envelope.rcpt, dict.fromkeys(envelope.accepted, reply))


def _parameters(hello: Hello, sender: str, recipients: Sequence[str], content: bytes, size: int | None) -> list[str]:
    """What MAIL FROM has to declare."""
    header = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
    plain = header.isascii() and "".join([sender, *recipients]).isascii()
    parameters = [] if size is None else [f"SIZE={size}"]
    if "8BITMIME" in hello.capabilities and not content.isascii():
        parameters.append("BODY=8BITMIME")
    if "SMTPUTF8" in hello.capabilities and not plain:
        parameters.append("SMTPUTF8")
    return parameters

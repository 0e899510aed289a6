"""Messages to try a content filter with; nothing in them harms anybody."""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import io
import os
import zipfile
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Transaction

ANNA, BEN, CARL, DORA = (f"{name}@example.test" for name in ("anna", "ben", "carl", "dora"))
STRANGER = "stranger@outside.example"
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def letter(
    token: str, text: str = "Hello\n", sender: str = STRANGER, to: str = ANNA, files: Mapping[str, bytes] | None = None
) -> bytes:
    """A message; files: attachments by name."""
    found = email.message.EmailMessage(policy=email.policy.SMTP)
    found["From"], found["To"], found["Subject"] = sender, to, token
    found["Date"] = email.utils.formatdate()
    found["Message-ID"] = f"<{token}@outside.example>"
    found.set_content(text)
    for name, content in (files or {}).items():
        found.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return found.as_bytes()


def attached(name: str, content: bytes) -> bytes:
    """A message with one attachment, whatever letters are in its name."""
    found = email.message_from_bytes(letter("attached"), policy=email.policy.SMTP)
    found.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return found.as_bytes()


def forwarded(token: str, inner: bytes, sender: str = STRANGER) -> bytes:
    found = email.message.EmailMessage(policy=email.policy.SMTP)
    found["From"], found["To"], found["Subject"] = sender, ANNA, token
    found.set_content("see below")
    found.add_attachment(email.message_from_bytes(inner, policy=email.policy.SMTP))
    return found.as_bytes()


def encrypted_zip() -> bytes:
    """A zip file whose one entry says that it is encrypted, and whose content is noise."""
    plain = bytearray(zipped("secret.txt", os.urandom(4096)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        plain[plain.index(mark) + offset] |= 1
    return bytes(plain)


def code(sent: Transaction) -> int:
    """The answer that one recipient got."""
    return next(iter(sent.answers.values())).code

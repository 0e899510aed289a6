"""Other sites: what the DNS says of them, and how they sign."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY = rsa.generate_private_key(65537, 2048)


def key_record() -> str:
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def zones(records: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Return the zones that hold these TXT records, which a resolver forgets at once."""
    found: dict[str, str] = {}
    for name, texts in records.items():
        zone = ".".join(name.split(".")[-2:])
        for text in [texts] if isinstance(texts, str) else texts:
            parts = " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))
            found[zone] = found.get(zone, "") + f"{name}. 1 IN TXT {parts}\n"
    return found


def signed(content: bytes, domain: str, selector: str = "s1", tags: str = "", part: int | None = None) -> bytes:
    """A message with a signature (RFC 6376, canonicalization simple). tags: further ones; part: bytes of the body."""
    head, _blank, body = content.partition(b"\r\n\r\n")
    if part is not None:
        tags += f" l={part};"
    digest = base64.b64encode(hashlib.sha256(body if part is None else body[:part]).digest()).decode()
    names = ("From", "To", "Subject")
    lines = [line + b"\r\n" for name in names for line in head.split(b"\r\n") if line.startswith(f"{name}:".encode())]
    field = (
        f"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d={domain}; s={selector};{tags}\r\n"
        f"\th=From:To:Subject; bh={digest};\r\n\tb="
    )
    signature = KEY.sign(b"".join(lines) + field.encode(), padding.PKCS1v15(), hashes.SHA256())
    return field.encode() + base64.b64encode(signature) + b"\r\n" + content

"""Other sites: what the DNS says of them, and how they sign."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.postamt.mail.tests.lib.hosts import Host
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY = rsa.generate_private_key(65537, 2048)
UNIT = "strangers-dns"
RESOLVER = "127.0.0.153"  # where Rspamd asks
_CONFIGURATION = f"""\
server:
  interface: {RESOLVER}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: ""
  module-config: iterator
  local-zone: "." static
"""


def key_record() -> str:
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


@contextlib.contextmanager
def dns(host: Host, records: Mapping[str, str | Sequence[str]]) -> Iterator[None]:
    """Have the host's resolver know these TXT records, and nothing else of the world."""
    lines = []
    for name, found in records.items():
        for text in [found] if isinstance(found, str) else found:
            parts = " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))
            lines.append(f"  local-data: '{name}. 1 IN TXT {parts}'\n")
    host.run(f"systemctl stop {UNIT}")
    host.check_output(f"printf '%%s' %s > /run/{UNIT}.conf", _CONFIGURATION + "".join(lines))
    host.check_output(f"systemd-run --quiet --collect --unit {UNIT} unbound -d -c /run/{UNIT}.conf")
    try:
        yield
    finally:
        host.run(f"systemctl stop {UNIT}")


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

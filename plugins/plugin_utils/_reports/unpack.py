# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a message, or a file, to the XML or JSON of the reports in it: nothing unpacks beyond limits."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import io
import re
import typing as t
import zipfile
import zlib
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._reports import facts
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import Broken

MESSAGE = 10 << 20  # bytes of a message or file
UNPACKED = 20 << 20  # bytes of all that is packed in one message
_JSON = 4 << 20  # bytes: it is read as a whole, and takes many times as much memory
_LINES = 500_000  # of a message
_PARTS = 20  # of a message
_FIELD = 16384  # characters of a field of a header: the time that its parameters take grows with its square
_MEMBERS = 20  # of a zip archive
_PLAIN = ("text/plain", "text/html", "text/rfc822-headers")
_NAMED = re.compile(r"\.(gz|gzip|zip|xml|json)\Z", re.IGNORECASE)
_FILE = re.compile(r"!([^!\s]{1,254})![0-9]+![0-9]+")
_TYPED = re.compile(r"zip|gzip|xml|json|tlsrpt", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Document:
    kind: t.Literal["xml", "json"]
    content: bytes
    about: str = ""  # the domain for which the message or the file's name says that it reports


def documents(content: bytes, name: str = "") -> list[Document]:
    """Return the documents in a file: a packed or plain report, or a message with reports.

    name: the file's, as the attachment was called.

    Raises Broken if one of them cannot be unpacked. A message without any attachment like a report has none.
    """
    if len(content) > MESSAGE:
        raise Broken(f"is larger than {MESSAGE >> 20} MB")
    budget = _Budget()
    if _kind(content):
        return [dataclasses.replace(one, about=_about(name)) for one in _unpacked(content, budget)]
    return [
        dataclasses.replace(document, about=about)
        for about, part in _attachments(content)
        for document in _unpacked(part, budget)
    ]


def _about(name: str, field: object = "") -> str:
    """Return the domain of a report by the field TLS-Report-Domain, or by the name of the file (RFC 8460, 5.1)."""
    named = _FILE.search(name)
    for said in (str(field or ""), named[1] if named else ""):
        try:
            return facts.domain(said.strip(), "TLS-Report-Domain")
        except Broken:
            continue
    return ""


class _Budget:
    """How much may still be unpacked."""

    def __init__(self) -> None:
        self.left = UNPACKED

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Broken(f"unpacks to more than {UNPACKED >> 20} MB")


def _kind(content: bytes) -> str:
    """Tell what something is by how it begins; names and types are often wrong."""
    if content.startswith(b"\x1f\x8b"):
        return "gzip"
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    start = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<?xml", b"<feedback", b"<!DOCTYPE", b"\xff\xfe<\x00", b"\xfe\xff\x00<")):
        return "xml"
    if re.match(rb"<([\w.-]+:)?feedback\b|<!--", start):
        return "xml"
    return "json" if start.startswith(b"{") else ""


class _Careful(email.policy.Compat32):
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        if sum(map(len, sourcelines)) > _FIELD:
            raise Broken(f"has a field of more than {_FIELD} characters in a header")
        return super().header_source_parse(sourcelines)


def _attachments(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the parts of a message that may be reports, and the domain on which they report."""
    # The parser compares each line with each boundary around it, and calls itself for each message in a message.
    if content.count(b"\n") > _LINES or len(re.findall(rb"boundary\s*=", content, re.IGNORECASE)) > _PARTS:
        raise Broken("has more lines or parts than a report")
    try:
        message = email.message_from_bytes(content, policy=_Careful())
        parts = [part for part in message.walk() if not part.is_multipart()]
    except (RecursionError, ValueError, LookupError, AssertionError, TypeError, AttributeError):
        raise Broken("is no message that can be read") from None
    if len(parts) > _PARTS:
        raise Broken(f"has more than {_PARTS} parts")
    for part in parts:
        try:
            name, kind = str(part.get_filename() or ""), part.get_content_type()
            if (kind in _PLAIN and not _NAMED.search(name)) or part.get_content_maintype() == "image":
                continue
            inside = part.get_payload(decode=True)
        except (ValueError, LookupError, AssertionError, TypeError, AttributeError):
            raise Broken("has an attachment that cannot be decoded") from None
        if not isinstance(inside, bytes):
            continue
        if _kind(inside):
            yield _about(name, message["TLS-Report-Domain"]), inside
        elif _NAMED.search(name) or _TYPED.search(kind):
            raise Broken("has an attachment that is neither gzip, zip, XML nor JSON")


def _unpacked(content: bytes, budget: _Budget) -> Iterator[Document]:
    kind = _kind(content)
    if kind == "gzip":
        yield _document(_gunzipped(content, budget))
    elif kind == "zip":
        for member in _members(content, budget):
            yield _document(member)
    else:
        budget.take(len(content))
        yield _document(content)


def _document(content: bytes) -> Document:
    kind = _kind(content)
    if kind == "json" and len(content) > _JSON:
        raise Broken(f"has more than {_JSON >> 20} MB of JSON")
    if kind == "xml":
        return Document("xml", content)
    if kind == "json":
        return Document("json", content)
    raise Broken("has an archive in an archive" if kind else "has an archive without XML or JSON")


def _gunzipped(content: bytes, budget: _Budget) -> bytes:
    found = []
    while content.startswith(b"\x1f\x8b"):  # gzip files may follow one another (RFC 1952, 2.2)
        unpacker = zlib.decompressobj(wbits=31)
        try:
            part = unpacker.decompress(content, budget.left + 1)
        except zlib.error:
            raise Broken("has a gzip file that is damaged") from None
        budget.take(max(len(part), 1))  # empty ones, too, come to an end
        if not unpacker.eof:
            raise Broken("has a gzip file that is cut off")
        found.append(part)
        content = unpacker.unused_data
    return b"".join(found)


def _members(content: bytes, budget: _Budget) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if not members:
                raise Broken("has a zip file with nothing in it")
            if len(members) > _MEMBERS:
                raise Broken(f"has a zip file with more than {_MEMBERS} files")
            for member in members:
                if member.filename.startswith("__MACOSX/"):
                    continue
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise Broken("has a zip file that is packed in an unusual way")
                if member.flag_bits & 1:
                    raise Broken("has a zip file with a password")
                with archive.open(member) as file:
                    inside = file.read(budget.left + 1)
                budget.take(len(inside))
                yield inside
    except (
        *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError),
        *(OverflowError, LookupError, TypeError, AttributeError),
    ):
        raise Broken("has a zip file that is damaged") from None

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DMARC aggregate reports (RFC 7489, appendix C): XML, read piece by piece, without document types and entities."""

from __future__ import annotations

import codecs
import collections
import re
import typing as t
import xml.parsers.expat
from xml.parsers.expat import errors

from ansible_collections.postamt.mail.plugins.plugin_utils._reports import facts
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import Broken, DmarcReport, Source

_DEPTH = 12  # elements within elements
_ELEMENTS = 1_000_000  # of a report: about two seconds
_LONGEST = 4096  # characters in an element that is read
_SOURCES = 50_000  # of a report
_CLAIMS = 3  # domains that are kept of a source
_SEVERAL = re.compile(r"[\s,]")  # no domain has these: they would make one look like several, or like a sentence
_ENCODING = {
    errors.codes[errors.XML_ERROR_INVALID_TOKEN],
    errors.codes[errors.XML_ERROR_INCORRECT_ENCODING],
}
_DISPOSITIONS = ("none", "quarantine", "reject")
# What is read, by the names of the elements around it
_ONCE = {
    "report_metadata/org_name", "report_metadata/email", "report_metadata/report_id",
    "report_metadata/date_range/begin", "report_metadata/date_range/end", "policy_published/domain",
}  # fmt: skip
_EACH = {
    "record/row/source_ip", "record/row/count", "record/row/policy_evaluated/disposition",
    "record/row/policy_evaluated/dkim", "record/row/policy_evaluated/spf",
}  # fmt: skip
_CLAIMED = {"record/auth_results/dkim/domain", "record/auth_results/spf/domain"}


def read(content: bytes) -> DmarcReport:
    """Return what a report says, or raise Broken."""
    content = content.removeprefix(codecs.BOM_UTF8).lstrip()
    try:
        return _parsed(content)
    except xml.parsers.expat.ExpatError as error:
        if error.code not in _ENCODING:
            raise _unreadable(error) from None
    try:  # some name a wrong encoding, or let other bytes slip in
        return _parsed(content.decode(errors="replace").encode(), "utf-8")
    except xml.parsers.expat.ExpatError as error:
        raise _unreadable(error) from None


def _unreadable(error: xml.parsers.expat.ExpatError) -> Broken:
    return Broken(f"has XML that cannot be read (line {error.lineno})")


def _parsed(content: bytes, encoding: str | None = None) -> DmarcReport:
    reader = _Reader()
    parser = xml.parsers.expat.ParserCreate(encoding)  # some leave out what a namespace is
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse  # there is none without a document type
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    try:
        parser.Parse(content, True)
    except (LookupError, ValueError, MemoryError):  # an encoding that is none
        raise Broken("has XML in an encoding that cannot be read") from None
    return reader.report()


def _refuse(*_given: t.Any) -> None:
    raise Broken("has XML with a document type (DOCTYPE), which no report needs")


class _Reader:
    def __init__(self) -> None:
        self._path: list[str] = []
        self._elements = 0
        self._place = ""  # where the text goes that is read now
        self._text: list[str] = []
        self._length = 0
        self._once: dict[str, str] = {}
        self._record: dict[str, str] = {}
        self._claims: list[str] = []
        self._sources: collections.Counter[Source] = collections.Counter()

    def start(self, name: str, _attributes: t.Any) -> None:
        name = name.rpartition(":")[2]  # without its namespace, which differs between reporters
        if not self._path and name != "feedback":
            raise Broken("has XML that is no DMARC report")
        if len(self._path) >= _DEPTH:
            raise Broken("has XML with too many elements within elements")
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise Broken(f"has XML with more than {_ELEMENTS} elements")
        self._path.append(name[: facts.NAME])
        place = "/".join(self._path[1:])
        self._place = place if place in _ONCE or place in _EACH or place in _CLAIMED else ""
        self._text, self._length = [], 0
        if place == "record":
            self._record, self._claims = {}, []

    def data(self, text: str) -> None:
        if self._place:
            self._length += len(text)
            if self._length > _LONGEST:
                raise Broken(f"has a text of more than {_LONGEST} characters")
            self._text.append(text)

    def end(self, _name: str) -> None:
        text = "".join(self._text).strip()
        if self._place in _ONCE:
            self._once.setdefault(self._place, text)
        elif self._place in _EACH:
            self._record.setdefault(self._place.rpartition("/")[2], text)
        elif self._place and text and not _SEVERAL.search(text):
            self._claims.append(facts.shown(text).lower().rstrip("."))
        self._place = ""
        if self._path[1:] == ["record"]:
            self._finish()
        self._path.pop()

    def _finish(self) -> None:
        said = self._record
        disposition = said.get("disposition", "").lower()
        source = Source(
            facts.address(said.get("source_ip")),
            said.get("dkim", "").lower() == "pass",
            said.get("spf", "").lower() == "pass",
            disposition if disposition in _DISPOSITIONS else "other",
            tuple(sorted(set(self._claims))[:_CLAIMS]),
        )
        self._sources[source] += facts.count(said.get("count"), "count of messages")
        if len(self._sources) > _SOURCES:
            raise Broken(f"has more than {_SOURCES} sources")

    def report(self) -> DmarcReport:
        once = {place.rpartition("/")[2]: text for place, text in self._once.items()}
        begin, end = (facts.count(once.get(word), f"{word} of its time") for word in ("begin", "end"))
        return DmarcReport(
            reporter=facts.text(once.get("org_name") or once.get("email"), "name of who reports (org_name)"),
            number=facts.text(once.get("report_id"), "report_id", facts.NUMBER),
            begin=begin,
            month=facts.month(begin, end),
            domain=facts.domain(once.get("domain"), "domain"),
            sources=dict(self._sources),
        )

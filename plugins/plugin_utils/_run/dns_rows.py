# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of a record that the site needs, and of what else the DNS has."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer, shown

Status = t.Literal["right", "different", "missing", "unknown"]
_LONGEST = 200  # of somebody else's text in a sentence


@dataclasses.dataclass(frozen=True)
class Row:
    """A record of the site, and what the DNS has in its place.

    found: what is there instead. note: what that means, or why nobody could say. harmless: it differs, and mail goes on
    as well. A note may quote what was read for comparing: it is escaped here.
    """

    owner: str
    kind: str
    data: str
    status: Status
    found: tuple[str, ...] = ()
    note: str = ""
    harmless: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", shown(self.note))

    @property
    def counts(self) -> bool:
        """Tell whether something is left to do about it."""
        return self.status != "right" and not self.harmless


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence on what is there; serious: mail suffers from it."""

    text: str
    serious: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shown(self.text))


def row(record: Record, status: Status, found: t.Iterable[str] = (), note: str = "", harmless: bool = False) -> Row:
    return Row(record.owner, record.kind, record.data, status, tuple(found), note, harmless)


def unknown(record: Record, answer: Answer) -> Row:
    return row(record, "unknown", note=answer.why)


def quoted(text: str) -> str:
    """Return somebody else's text for a sentence."""
    return f'"{text}"' if len(text) <= _LONGEST else f'"{text[:_LONGEST]}..."'

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host with the mailboxes asks doveadm, and what becomes of its answers."""

from __future__ import annotations

import base64
import json
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._programs import reports

GUID = "58f31620c4780a6ba9030000522ea783"
REQUEST = {"users": ["a@example.org"], "addresses": ["d@example.org", "t@example.org"], "since": "2026-10-31",
           "before": "2026-12-09", "most": 2}  # fmt: skip


class Doveadm:
    """A runner of commands that answers one thing, and remembers what it was asked."""

    def __init__(self, answer: tuple[int, str, str]) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    def run_command(self, args: list[str], /, **_options: t.Any) -> tuple[int, str, str]:
        self.asked.append(args)
        return self.answer


@pytest.fixture
def doveadm(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Doveadm]:
    def answering(code: int, rows: object = "", complaint: str = "") -> Doveadm:
        found = Doveadm((code, rows if isinstance(rows, str) else json.dumps(rows), complaint))
        monkeypatch.setattr(units, "_runner", found)
        return found

    return answering


def row(uid: int, time: int) -> dict[str, str]:
    return {"mailbox-guid": GUID, "uid": f"{uid}", "size.physical": "600", "date.received.unixtime": f"{time}"}


def test_the_newest_ones_are_listed(doveadm: t.Callable[..., Doveadm]) -> None:
    asked = doveadm(0, [row(1, 10), row(2, -5), row(3, 30)])
    answer = reports.listed(REQUEST)
    assert [(one["uid"], one["time"]) for one in answer["messages"]] == [(3, "30"), (1, "10")]
    assert (answer["more"], answer["notes"]) == (1, [])
    words = asked.asked[0]
    assert words[words.index("-u") + 1] == "a@example.org"
    assert words.count("(") == words.count(")") == 3
    assert " ".join(words[words.index("To") - 2 :]).startswith("( HEADER To d@example.org OR HEADER To t@example.org )")


@pytest.mark.parametrize(
    ("code", "out", "complaint", "note"),
    [
        (67, "[]", "doveadm(a@example.org): Error: User doesn't exist", "there is no mailbox of a@example.org"),
        (75, "", "Fatal:\n full", "not all of the mailbox of a@example.org could be read: Fatal: full"),
        (124, '[{"uid"', "", "not all of the mailbox of a@example.org could be read: doveadm ended with 124"),
    ],
)
def test_what_goes_wrong_is_said(
    doveadm: t.Callable[..., Doveadm], code: int, out: str, complaint: str, note: str
) -> None:
    doveadm(code, out, complaint)
    assert reports.listed(REQUEST) == {"messages": [], "more": 0, "notes": [note]}


def test_no_other_mailbox_is_looked_into(doveadm: t.Callable[..., Doveadm]) -> None:
    asked = doveadm(0, "[]")
    assert reports.listed({**REQUEST, "users": ["*@example.org"]})["notes"] == ["*@example.org is no mailbox"]
    with pytest.raises(units.Failed, match="is no mailbox"):
        reports.texts({"user": "a@example.org", "mailbox": "x OR ALL", "uids": [1]})
    assert asked.asked == []


def test_texts_come_packed(doveadm: t.Callable[..., Doveadm]) -> None:
    doveadm(0, '[{"uid":"7","text":"a\tb\\u001b\\ud800\u00e9"}]')
    (text,) = reports.texts({"user": "a@example.org", "mailbox": GUID, "uids": [7, 8]})["texts"]
    assert (text["uid"], base64.b64decode(text["text"])) == (7, "a\tb\x1b?\u00e9".encode())

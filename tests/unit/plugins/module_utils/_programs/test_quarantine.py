# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The list of the quarantine, whatever strangers have written into their headers and amavis into its folder."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import health, units
from ansible_collections.postamt.mail.plugins.module_utils._programs import quarantine


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\u00fc\u00dfe"),
        (b"=?utf-8?b?A?=", "=?utf-8?b?A?="),  # no base64
        (b"=?a\0b?q?x?=", "=?a b?q?x?="),
        (b"=?nonsense?q?x?=", "=?nonsense?q?x?="),
        (b"=?hex?b?AAAA?=", "=?hex?b?AAAA?="),
        ("=?\u00e9?q?x?=".encode(), "=?\ufffd\ufffd?q?x?="),
        (b"\xff\xfe x", "\ufffd\ufffd x"),
        (b"=?utf-8?q?=1B=5B31mred?=", "[31mred"),
        (b"=?a?q?" * 100_000, "=?a?q?" * (quarantine.FIELD // 6) + "=?a?"),
    ],
)
def test_any_header_can_be_shown(tmp_path: Path, header: bytes, shown: str) -> None:
    (tmp_path / "spam-1").write_bytes(b"Subject: " + header + b"\n\nbody\n")
    (mail,), strange = quarantine.listed(str(tmp_path))
    assert mail["subject"] == shown and strange == []


def test_what_amavis_puts_there_keeps_nothing_from_being_listed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for name in ("clean-1", "clean-2", "clean\n\x1b[31m", b"clean-\xff"):
        with open(os.path.join(os.fsencode(tmp_path), os.fsencode(name)), "wb") as file:
            file.write(b"Subject: x\n\n")
    os.utime(tmp_path / "clean-1", (-(10**9), -(10**9)))
    os.utime(tmp_path / "clean-2", (10**10, 10**10))
    os.mkfifo(tmp_path / "fifo")
    mails, strange = quarantine.listed(str(tmp_path))
    assert [(mail["id"], mail["time"]) for mail in mails] == [("clean-1", "0"), ("clean-2", "9999999999")]
    assert len(strange) == 3 and all(sentence.isprintable() for sentence in strange)


@pytest.mark.parametrize(("relayhost", "port"), [("", 25), ("[smtp.example.net]:587", 25), ("[127.0.0.1]:949", 949)])
def test_recipients_are_asked_for_where_the_mail_would_go(
    monkeypatch: pytest.MonkeyPatch, relayhost: str, port: int
) -> None:
    def ask(asked: list[dict[str, t.Any]]) -> list[health.Answer]:
        assert {question["arguments"]["port"] for question in asked} == {port}
        gone = "550 5.1.1 <gone@example.org>: User unknown"
        return [
            health.Answer("no", gone) if question["arguments"]["recipient"] == "gone@example.org" else later
            for question in asked
        ]

    later = health.Answer("later", "451 4.3.0 Try again later")
    monkeypatch.setattr(units, "output", lambda *_command, **_how: units.Output(0, f"{relayhost}\n", ""))
    monkeypatch.setattr(health, "run", ask)
    assert quarantine.refused("<alice@example.org>") == []
    assert quarantine.refused("<alice@example.org>,<gone@example.org>") == [
        "550 5.1.1 <gone@example.org>: User unknown"
    ]


@pytest.mark.parametrize(("there", "said"), [(True, ["no mail is in the quarantine"]), (False, [])])
def test_an_empty_quarantine_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, said: list[str]
) -> None:
    class Ended(Exception):
        pass

    class Module:
        check_mode = False
        params: t.ClassVar[dict[str, t.Any]] = {"request": {"folder": str(tmp_path / "virusmails")}}

        def exit_json(self, **answer: t.Any) -> None:
            raise Ended(answer)

    if there:
        (tmp_path / "virusmails").mkdir()
    with pytest.raises(Ended) as ended:
        quarantine.apply(t.cast(t.Any, Module()))
    assert ended.value.args[0]["notes"] == said

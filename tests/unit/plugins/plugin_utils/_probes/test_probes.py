# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pure parts of the questions from outside: messages, and how they are handed in and found."""

from __future__ import annotations

import email
import email.policy

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import Hello, Reply
from ansible_collections.postamt.mail.plugins.plugin_utils._probes import imap, message, smtp


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"a\n.b\r\n..c\rd", b"a\r\n..b\r\n...c\r\nd\r\n"),
        (b"a\r\n\r\n", b"a\r\n\r\n"),
        (b".", b"..\r\n"),
        (b"", b""),
    ],
)
def test_a_message_travels_with_doubled_dots(content: bytes, sent: bytes) -> None:
    assert smtp.stuffed(content) == sent


@pytest.mark.parametrize(
    ("sender", "content", "offered", "size", "parameters"),
    [
        ("a@a.test", b"S: x\r\n\r\nx", ["8BITMIME", "SMTPUTF8"], None, []),
        ("a@a.test", b"S: x\r\n\r\n\xc3\xbc", ["8BITMIME", "SMTPUTF8"], 9, ["SIZE=9", "BODY=8BITMIME"]),
        ("a@a.test", b"S: x\r\n\r\n\xc3\xbc", [], None, []),
        ("ä@a.test", b"S: x\r\n\r\nx", ["8BITMIME", "SMTPUTF8"], None, ["SMTPUTF8"]),
        ("a@a.test", b"S: \xc3\xbc\r\n\r\nx", ["8BITMIME", "SMTPUTF8"], None, ["BODY=8BITMIME", "SMTPUTF8"]),
    ],
)
def test_mail_from_declares_what_is_needed_and_offered(
    sender: str, content: bytes, offered: list[str], size: int | None, parameters: list[str]
) -> None:
    hello = Hello(Reply(250, ""), dict.fromkeys(offered, ""))
    assert smtp._parameters(hello, sender, ["b@a.test"], content, size) == parameters


def test_a_message_is_unique_and_ends_its_lines() -> None:
    first, second = (message.message("a@a.test", "b@a.test", "hello", "body") for _time in range(2))
    assert first != second
    assert b"\n" not in first.replace(b"\r\n", b"")
    read = email.message_from_bytes(first, policy=email.policy.default)
    assert read["Message-ID"].endswith("@a.test>")
    assert read["Date"]
    assert message.new_token() != message.new_token()


def test_a_message_takes_further_headers_and_replaces_its_own() -> None:
    made = message.message("", "b@a.test", "hello", X_Spam_Flag="YES", Message_ID="<1@x>")
    read = email.message_from_bytes(made, policy=email.policy.default)
    assert (read["X-Spam-Flag"], read.get_all("Message-ID"), read["From"]) == ("YES", ["<1@x>"], "MAILER-DAEMON")


@pytest.mark.parametrize(("encoding", "header", "body"), [("7bit", 0, 0), ("8bit", 0, 1), ("utf8", 1, 1)])
def test_how_umlauts_travel(encoding: message.Encoding, header: int, body: int) -> None:
    made = message.message("a@a.test", "b@a.test", "Größe", "Grüße\n", encoding)
    head, rest = made.split(b"\r\n\r\n", 1)
    assert (b"\xc3" in head, b"\xc3" in rest) == (bool(header), bool(body))
    read = email.message_from_bytes(made, policy=email.policy.default)
    assert (read["Subject"], read.get_content().strip()) == ("Größe", "Grüße")


@pytest.mark.parametrize(
    ("name", "written"),
    [("INBOX", "INBOX"), ("Entwürfe & mehr", "Entw&APw-rfe &- mehr"), ("台北/日本語", "&U,BTFw-/&ZeVnLIqe-")],
)
def test_folder_names_are_modified_utf7(name: str, written: str) -> None:
    assert imap.folder_encoded(name) == written
    assert imap.folder_decoded(written) == name


@pytest.mark.parametrize(
    ("text", "literals", "folder"),
    [
        (
            rb'* LIST (\HasNoChildren \Sent) "/" Sent',
            [],
            imap.Folder("Sent", "/", frozenset({"\\HasNoChildren", "\\Sent"})),
        ),
        (rb'* LIST () "." "a \"b\""', [], imap.Folder('a "b"', ".", frozenset())),
        (rb"* LIST () NIL {3} ", [b'x"y'], imap.Folder('x"y', "", frozenset())),
        (b"* OK still here", [], None),
    ],
)
def test_imap_folders(text: bytes, literals: list[bytes], folder: imap.Folder | None) -> None:
    assert imap._folder(text, literals) == folder

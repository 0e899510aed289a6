# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pure parts of the probes: what they say and how they read answers. The conversations meet real servers."""

from __future__ import annotations

from itertools import islice

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes import base, imap, managesieve, pop3, smtp
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError

HERE = Endpoint("192.0.2.1", 25)


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (HERE, "192.0.2.1:25"),
        (Endpoint("2001:db8::1", 25), "[2001:db8::1]:25"),
        (Endpoint("192.0.2.1", 25, "mail.example.org"), "mail.example.org at 192.0.2.1:25"),
        (Endpoint("mail.example.org", 25, "mail.example.org"), "mail.example.org:25"),
        (Endpoint("/run/lmtp"), "/run/lmtp"),
    ],
)
def test_an_endpoint_says_where_it_is(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text


def test_a_certificate_is_verified_against_the_name_or_else_the_host() -> None:
    assert Endpoint("192.0.2.1", 25, "mail.example.org").server_name == "mail.example.org"
    assert HERE.server_name == "192.0.2.1"
    assert HERE.context().check_hostname


def test_only_an_endpoint_without_ca_file_may_go_unverified() -> None:
    assert not Endpoint("192.0.2.1", 25, verify=False).context().check_hostname
    with pytest.raises(ValueError, match="always verified"):
        Endpoint("192.0.2.1", 25, ca_file="/etc/ca.pem", verify=False)


def test_a_ca_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(OSError, match="/nowhere/ca.pem: No such file"):
        Endpoint("192.0.2.1", 25, ca_file="/nowhere/ca.pem").context()


def test_an_error_names_the_endpoint_and_what_was_asked() -> None:
    refused = smtp.SmtpRefused(HERE, "AUTH PLAIN", smtp.Reply(535, "5.7.8 no"))
    assert isinstance(refused, ProbeError)
    assert str(refused) == "192.0.2.1:25: AUTH PLAIN: 535 5.7.8 no"


def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(ProbeError, match=r"^/nowhere/lmtp: connect: .*No such file"):
        smtp.smtp_greeting(Endpoint("/nowhere/lmtp"))


def test_attempts_come_at_once_and_at_the_end() -> None:
    assert len(list(base.attempts(0))) == 1
    assert len(list(base.attempts(0.5, first=0.02))) >= 3
    assert len(list(islice(base.attempts(60), 1))) == 1


@pytest.mark.parametrize(("plain", "written"), [("a", '"a"'), ('my "s" \\', '"my \\"s\\" \\\\"'), ("", '""')])
def test_quoted_strings(plain: str, written: str) -> None:
    assert base.quoted(plain) == written
    assert base.unquoted(written) == plain


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("5.1.1 <x>: User unknown", "5.1.1"),
        ("2.0.0", "2.0.0"),
        ("mail.example.org ESMTP", ""),
        ("4.3.10 later\n4.3.10 really", "4.3.10"),
        ("192.0.2.1 is listed", ""),
        ("5.7.1: no", ""),
    ],
)
def test_enhanced_status_codes(text: str, enhanced: str) -> None:
    assert smtp.Reply(550, text).enhanced == enhanced


def test_a_hello_lists_capabilities() -> None:
    hello = smtp.Hello(smtp.Reply(250, ""), {"AUTH": "PLAIN LOGIN", "SIZE": "1000", "STARTTLS": ""})
    assert hello.auth == {"PLAIN", "LOGIN"}
    assert hello.size == 1000
    assert smtp.Hello(smtp.Reply(250, ""), {"SIZE": ""}).size == 0
    assert smtp.Hello(smtp.Reply(502, ""), {}).size is None


def test_capabilities_have_arguments() -> None:
    lines = ["SIZE 1000", "auth PLAIN LOGIN", "STARTTLS"]
    assert base.keywords(lines) == {"SIZE": "1000", "AUTH": "PLAIN LOGIN", "STARTTLS": ""}


def test_a_transaction_knows_the_last_answer_for_each() -> None:
    ok, no, full = smtp.Reply(250, "2.1.5 Ok"), smtp.Reply(550, "5.1.1 who?"), smtp.Reply(552, "5.2.2 full")
    envelope = smtp.Transaction(ok, {"a@a.test": ok, "b@a.test": no})
    assert envelope.accepted == ("a@a.test",)
    assert envelope.refused == {"b@a.test": no}
    assert envelope.queue_id == ""
    assert smtp.Transaction(ok, envelope.rcpt, {"a@a.test": full}).refused == {"b@a.test": no, "a@a.test": full}
    queued = smtp.Transaction(ok, envelope.rcpt, {"a@a.test": smtp.Reply(250, "2.0.0 Ok: queued as 4cW1xYz9")})
    assert queued.queue_id == "4cW1xYz9"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"NO [OVERQUOTA] Quota exceeded (full)", imap.ImapAnswer("NO", "OVERQUOTA", "", "Quota exceeded (full)")),
        (b"OK [APPENDUID 7 12] done", imap.ImapAnswer("OK", "APPENDUID", "7 12", "done")),
        (b"OK done [really]", imap.ImapAnswer("OK", "", "", "done [really]")),
        (b"bad", imap.ImapAnswer("BAD", "", "", "")),
    ],
)
def test_imap_answers(line: bytes, answer: imap.ImapAnswer) -> None:
    assert imap._answer(line) == answer


def test_imap_capabilities() -> None:
    ready = imap.ImapAnswer("OK", "", "", "ready")
    plain = imap.ImapCapabilities(ready, frozenset({"IMAP4REV1", "LOGINDISABLED", "STARTTLS"}))
    inside = imap.ImapCapabilities(ready, frozenset({"IMAP4REV1", "AUTH=PLAIN"}))
    assert (plain.login_disabled, plain.auth) == (True, frozenset[str]())
    assert (inside.login_disabled, inside.auth) == (False, frozenset({"PLAIN"}))


@pytest.mark.parametrize(
    ("text", "literals", "words"),
    [
        ('"SASL" "PLAIN LOGIN"', [], ["SASL", "PLAIN LOGIN"]),
        ('"my \\"s\\"" ACTIVE', [], ['my "s"', "ACTIVE"]),
        ('"OK"', [], ["OK"]),
        ('{1} {2+} "c"', [b"a", b"bb"], ["a", "bb", "c"]),
        ("", [], []),
    ],
)
def test_managesieve_lines(text: str, literals: list[bytes], words: list[str]) -> None:
    assert managesieve.ended(text, literals) is None
    assert managesieve.words(text, literals) == words


@pytest.mark.parametrize(
    ("text", "literals", "answer"),
    [
        ("OK", [], managesieve.SieveAnswer("OK", "", "")),
        ('NO (QUOTA/MAXSIZE) "too big"', [], managesieve.SieveAnswer("NO", "QUOTA/MAXSIZE", "too big")),
        ('OK (TAG "a)b") "fine"', [], managesieve.SieveAnswer("OK", 'TAG "a)b"', "fine")),
        ('no "(really)"', [], managesieve.SieveAnswer("NO", "", "(really)")),
        ("NO {9} ", [b"line 1:\r\n"], managesieve.SieveAnswer("NO", "", "line 1:\r\n")),
    ],
)
def test_managesieve_answers(text: str, literals: list[bytes], answer: managesieve.SieveAnswer) -> None:
    assert managesieve.ended(text, literals) == answer


def test_answers_print_as_a_server_would_write_them() -> None:
    assert str(smtp.Reply(550, "5.1.1 no")) == "550 5.1.1 no"
    assert str(imap.ImapAnswer("NO", "AUTHENTICATIONFAILED", "", "no")) == "NO [AUTHENTICATIONFAILED] no"
    assert str(pop3.Pop3Answer(False, "AUTH", "no")) == "-ERR [AUTH] no"
    assert str(managesieve.SieveAnswer("NO", "ACTIVE", "no")) == "NO (ACTIVE) no"

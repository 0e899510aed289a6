# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module reads out of Postfix's files and of the words of its programs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.files import Seen
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target
from ansible_collections.postamt.mail.plugins.module_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.module_utils._programs.postfix import MAIN, MASTER, Postfix
from ansible_collections.postamt.mail.tests.lib.described import described

SHIPPED = "biff = no\nsmtpd_banner = $myhostname ESMTP $mail_name (Debian)\nsmtpd_tls_security_level=may\n"
GENERATED = f"""\
# See /usr/share/postfix/main.cf.dist
{SHIPPED}myhostname = mx.example.org
mydestination = $myhostname, mx.example.org, localhost.example.org, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::1]/128
"""


def test_parameters_join_continued_lines_and_pass_over_comments() -> None:
    text = "# a = 1\na = b,\n   c\n  # inside\n   d\nempty =\n"
    assert postfix.parameters(text) == {"a": "b, c d", "empty": ""}


def test_what_debian_generates_is_pristine() -> None:
    assert postfix.generated(GENERATED, SHIPPED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("relayhost =", "relayhost = [smart.example.org]"),
        ("localhost.example.org", "example.com"),
        ("biff = no", "biff = yes"),
        ("mynetworks", "message_size_limit = 1\nmynetworks"),
    ],
)
def test_what_somebody_changed_is_not(old: str, new: str) -> None:
    assert not postfix.generated(GENERATED.replace(old, new), SHIPPED)


SERVICES = """\
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd
    -o { smtpd_tls_security_level = encrypt }
submissions inet n       -       y       -       -       smtpd
[::1]:10025 inet n       -       n       -       -       smtpd
smtpd      pass  -       -       y       -       -       smtpd
smtp       unix  -       -       y       -       -       smtp
"""
OVERRIDES = """\
submission/inet/smtpd_tls_security_level = encrypt
submissions/inet/smtpd_tls_wrappermode = yes
submissions/inet/smtpd_client_restrictions = permit_sasl_authenticated, reject
"""


def test_tables_of_patterns_are_found_wherever_they_are_named() -> None:
    text = "a = pcre:$config_directory/x, lmdb:y\nb/inet/c = check_x regexp:/z,{cidr:/w}\nd=pcre:$config_directory/x\n"
    assert postfix.patterns(text) == ["cidr:/w", "pcre:$config_directory/x", "regexp:/z"]


def test_each_smtpd_is_checked_with_its_own_options_once() -> None:
    assert postfix.smtpd_options(SERVICES, OVERRIDES) == [
        [],
        ["smtpd_tls_security_level=encrypt"],
        ["smtpd_client_restrictions=permit_sasl_authenticated, reject"],
    ]


def test_listeners() -> None:
    assert postfix.listeners(SERVICES) == {("", 25), ("", 587), ("", 465), ("::1", 10025)}


def test_complaints() -> None:
    text = (
        "postconf: warning: /etc/postfix/main.cf: unused parameter: foo=1\n"
        'postconf: warning: support for parameter "x" will be removed; instead, use "y"\n'
        "postfix/smtpd[12]: fatal: bad numerical configuration: a = b\n"
    )
    assert postfix.complaints(text) == [
        "warning: /etc/postfix/main.cf: unused parameter: foo=1",
        "fatal: bad numerical configuration: a = b",
    ]


def planned(path: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"files": [{"path": path, "content": data}]}


def test_some_parameters_need_a_restart() -> None:
    program = Postfix(described("postfix"))
    old = {MAIN: "inet_protocols = all\nbiff = no\n", MASTER: "x"}
    new = {MAIN: "what the plan's data are written as"}
    program.plan = planned(MAIN, {"inet_protocols": " all", "biff": "yes"})
    assert not program.needs_restart(old, new)
    program.plan = planned(MAIN, {"inet_protocols": "ipv4", "biff": "no"})
    assert program.needs_restart(old, new)
    assert not program.needs_restart(old, {MASTER: "y"})
    program.plan = planned(MAIN, {"inet_protocols": "all", "biff": "yes"})
    told = program.changed_settings(old, {**new, MASTER: "y"})
    assert told == ["biff = yes (was no)", MASTER]


def test_a_stage_asks_no_running_proxymap() -> None:
    text = "virtual_mailbox_maps = proxy:ldap:$config_directory/tables/mailboxes, proxy:unix:passwd.byname\n"
    expected = "virtual_mailbox_maps = ldap:$config_directory/tables/mailboxes, unix:passwd.byname\n"
    assert Postfix(described("postfix")).staged(MAIN, text) == expected
    assert Postfix(described("postfix")).staged("/etc/postfix/tables/x", text) == text


def test_entries_compare_whatever_their_layout() -> None:
    by_hand = "# mine\nb = 2,\n   3\na  =  1\n"
    assert postfix.entries(by_hand) == "a = 1\nb = 2, 3\n"
    assert postfix.entries("smtp inet n - y - - smtpd\n  -o a=b\n") == "smtp inet n - y - - smtpd -o a=b\n"


def test_somebody_elses_services_are_compared_with_those_of_the_plan() -> None:
    there = b"# mine\nsmtp inet n - y - - smtpd\n  -o  { a = b }\npickup unix n - y 60 1 pickup\n"
    seen = Seen(there, 0o644, 0, 0)
    target = Target(MASTER, b"", 0o644, "root", "root", seen=seen, foreign=True)
    program = Postfix(described("postfix"))
    service = {"columns": ["n", "-", "y", "-", "1", "postscreen"], "options": {"a": "b"}}
    program.plan = planned(MASTER, {"smtp/inet": service})
    assert program.differences({}, [target], []).splitlines()[3:] == [
        "-pickup unix n - y 60 1 pickup",
        "-smtp inet n - y - - smtpd -o { a = b }",
        "+smtp inet n - y - 1 postscreen -o { a = b }",
    ]


def test_a_comment_within_a_value_is_no_change() -> None:
    program = Postfix(described("postfix"))
    program.plan = planned(MAIN, {"inet_interfaces": "127.0.0.1,\n  # office\n  10.0.0.1"})
    old = {MAIN: "inet_interfaces = 127.0.0.1,\n  # office\n  10.0.0.1\n"}
    assert not program.needs_restart(old, {MAIN: "x"})


CONNECTIONS = """\
u_str ESTAB 0    0    * 45206562    * 45206561 users:(("smtpd",pid=9632,fd=5),("master",pid=9613,fd=82))
u_str ESTAB 0    0    private/anvil 45206563    * 45206560 users:(("anvil",pid=9640,fd=9))
u_str ESTAB 0    0    private/smtpd-of-links    45206565    * 45206566 users:(("smtpd",pid=9633,fd=17))
tcp   ESTAB 0    0    127.0.0.1:smtp    127.0.0.1:33048    users:(("smtpd",pid=9621,fd=17))
tcp   ESTAB 0    0    [::1]:submission   [::1]:33050    users:(("smtpd",pid=9622,fd=17))
tcp   ESTAB 0    0    127.0.0.1:ldap    127.0.0.1:33051    users:(("slapd",pid=700,fd=17))
"""


def test_who_is_connected_to_holds_a_process_of_smtpd() -> None:
    assert postfix.held_by_clients(CONNECTIONS) == {"9621", "9622", "9633"}

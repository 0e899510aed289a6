"""What attacks did not get, on one host or over several: so that they do not get it tomorrow either."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import ImapUser
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth
from ansible_collections.postamt.mail.tests.lib.probes import sieve_put
from ansible_collections.postamt.mail.tests.lib.site import Ask, Site

ANNA, BEN = "anna@example.test", "ben@example.test"
STRANGER = "stranger@outside.example"
AT_ONCE = 6  # refusals that Postfix answers in one connection without a pause

RECIPIENTS = [
    "victim@world.example",
    '"victim@world.example"@example.test',
    "victim%world.example@example.test",
    "world.example!victim@example.test",
    "@example.test:victim@world.example",
    "@mail.example.test,@example.test:victim@world.example",
    "victim@world.example@example.test",
    "victim@world.example.",
    "victim@[192.0.2.1]",
    "victim@[IPv6:2001:db8::1]",
    "victim@example.test.world.example",
    "*@example.test",
    "an*@example.test",
    "anna)(mail=*@example.test",
    r"\61nna@example.test",
    '"|/usr/bin/id"@example.test',
    "/tmp/x@example.test",
    '":include:/etc/passwd"@example.test',
]
BENS = [
    "BEN@EXAMPLE.TEST",
    '"ben"@example.test',
    '"b\\en"@example.test',
    "@example.test:ben@example.test",
    "@example.test:ben@EXAMPLE.test",
    "ben+shop@example.test",
    "team@example.test",
    "ben%example.test@example.test",
    "example.test!ben@example.test",
    "nobody@example.test",
]
LOGINS = ["*", "an*@example.test", "anna@*", "?nna@example.test", "anna)(uid=*", "*)(mail=anna@example.test", "%u", "%"]
FOLDERS = ["../x", "../../../../tmp/x", "/tmp/x", "a/../../x", "~root/x", "~/x", "&-/../x", ""]
EXTENSIONS = [
    "vnd.dovecot.pipe",
    "vnd.dovecot.execute",
    "vnd.dovecot.filter",
    "vnd.dovecot.environment",
    "vnd.dovecot.report",
    "vnd.dovecot.debug",
    "editheader",
]


def test_a_stranger_finds_no_way_to_others_nor_to_files_and_programs(ask: Ask) -> None:
    for first in range(0, len(RECIPIENTS), AT_ONCE):
        answers = smtp_rcpt(ask(25), STRANGER, RECIPIENTS[first : first + AT_ONCE]).rcpt
        assert {name: str(answer) for name, answer in answers.items() if answer.ok} == {}


def test_a_user_does_not_become_another_by_another_way_of_writing(site: Site, ask: Ask) -> None:
    login = (ANNA, site.passwords[ANNA])
    taken = [one for one in BENS if smtp_rcpt(ask(587), one, [BEN], tls="starttls", login=login).accepted]
    assert taken == []


@pytest.mark.parametrize("name", LOGINS)
def test_a_pattern_is_no_login(site: Site, ask: Ask, name: str) -> None:
    answer = smtp_auth(ask(587), name, site.passwords[ANNA])
    assert not answer.ok, answer


def test_a_folders_name_leads_nowhere_else(site: Site, ask: Ask) -> None:
    with ImapUser(ask(993), "implicit") as imap:
        assert imap.login(ANNA, site.passwords[ANNA]).ok
        assert [name for name in FOLDERS if imap.command(f'CREATE "{name}"')[0].ok] == []


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_script_runs_no_program_and_reads_no_other_users_data(site: Site, ask: Ask, name: str) -> None:
    answer = sieve_put(ask(4190), ANNA, site.passwords[ANNA], "attack", f'require ["{name}"]; keep;', activate=False)
    assert not answer.ok
    assert name in answer.text

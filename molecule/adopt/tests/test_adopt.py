"""What the old server did goes on, and can be had back: adopt, remove, install again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.mailboxes import USERS, contents, imap, lacking
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Scenario, Site
from ansible_collections.postamt.mail.tests.lib.trees import tree

STRANGER = "stranger@outside.example"


@pytest.fixture(scope="module")
def before(scenario: Scenario) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(scenario.folder, "before.json").read_text(encoding="utf-8"))
    return found


def arrives(host: Host, token: str, *places: str) -> bool:
    """Tell whether a message comes to all of the places within some seconds."""
    until = time.monotonic() + 15
    while any(host.run(f"grep -rq {token} {place}").rc for place in places):
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


@pytest.mark.parametrize("user", USERS)
def test_users_find_their_mail_and_need_not_fetch_it_again(site: Site, before: dict[str, Any], user: str) -> None:
    assert lacking(before["mailboxes"][user], contents(site.ipv4, user)) == []


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("jan", ["/home/jan/Maildir/new"]),
        ("root", ["/home/anna/Maildir/new"]),
        ("postmaster", ["/home/anna/Maildir/new"]),
        ("info", ["/home/ben/Maildir/new", "/home/carl/Maildir/new"]),
        ("sales", ["/home/dora/Maildir/new", "/home/emil/Maildir/new"]),
        ("tickets", ["/var/tmp/tickets"]),
        ("gita", ["/home/gita/Maildir/new", "/home/jan/Maildir/new"]),
    ],
)
def test_mail_goes_where_it_went(host: Host, give: Callable[[str], str], name: str, places: list[str]) -> None:
    assert arrives(host, give(name), *places)


def test_unknown_addresses_are_refused(ask: Ask) -> None:
    assert smtp_rcpt(ask(25), STRANGER, ["nobody-here@example.test"]).rcpt["nobody-here@example.test"].code == 550


def test_mail_of_the_host_reaches_the_one_who_reads_it(host: Host) -> None:
    token = new_token()
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail root")
    assert arrives(host, token, "/home/anna/Maildir/new")


def test_an_alias_of_the_administrators_works_after_newaliases(host: Host, give: Callable[[str], str]) -> None:
    host.check_output("cp -p /etc/aliases /root/aliases && echo 'new: hans' >> /etc/aliases && newaliases")
    try:
        assert arrives(host, give("new"), "/home/hans/Maildir/new")
    finally:
        host.check_output("cp -p /root/aliases /etc/aliases && newaliases")


def test_what_was_queued_is_delivered(host: Host, before: dict[str, Any]) -> None:
    host.check_output("mkdir -p /srv/team && postqueue -f")
    assert arrives(host, before["deferred"], "/var/tmp/team")


def test_a_user_sends_with_the_same_password(host: Host, ask: Ask) -> None:
    token, hans, ida = new_token(), "hans@example.test", "ida@example.test"
    sent = smtp_send(ask(587), hans, [ida], message(hans, ida, token), tls="starttls", login=("hans", "Only-4-hans"))
    assert sent.accepted
    assert arrives(host, token, "/home/ida/Maildir/new")


def test_originals_are_kept_for_root(host: Host) -> None:
    kept = host.check_output("find /var/lib/postamt/*/originals -type f").split()
    assert {"/var/lib/postamt/postfix/originals/etc/postfix/main.cf"} < set(kept)
    assert host.check_output("stat -c '%a %U' /var/lib/postamt/postfix") == "700 root"


def test_remove_and_install_again(host: Host, site: Site, before: dict[str, Any], play: RunAgain) -> None:
    whole = tree(host)
    predicted = play(playbook="postamt.mail.remove", check=True)
    assert not predicted.failed
    assert tree(host) ^ whole == set()

    done = play(playbook="postamt.mail.remove")
    assert not done.failed
    assert [words.split(" ", 2)[2] for words in predicted.actions] == [words.split(" ", 1)[1] for words in done.actions]
    for line in ("the queue: /var/spool/postfix", "keys and certificates: /etc/postamt/tls"):
        assert line in done.stdout
    told = " ".join(done.stdout.split())
    assert re.search(r"run systemctl enable --now (\S+ )*dovecot\.service postfix\.service ", told)
    again = play(playbook="postamt.mail.remove")
    assert not again.failed and again.changed == [] and again.actions == []

    names = host.check_output("cd /root/before && find . -type f").split()
    for name in (name[1:] for name in names):
        assert host.run(f"cmp {name} /root/before{name}").rc == 0
        assert host.check_output(f"stat -c '%a %U %G' {name}") == host.check_output(
            f"stat -c '%a %U %G' /root/before{name}"
        )
    for unit in ("postfix", "dovecot"):
        assert not host.service(unit).is_running and not host.service(unit).is_enabled
    left = host.check_output("find /etc -name '*postamt*' -o -name tables -path '/etc/postfix/*'")
    assert left.split() == ["/etc/postamt"]  # keys and certificates
    assert not host.file("/var/lib/postamt").exists

    host.check_output("systemctl enable --now postfix dovecot")
    for user in ("anna", "jan"):
        assert lacking(before["mailboxes"][user], contents(site.ipv4, user)) == []

    assert not play().failed
    for user in USERS:
        assert lacking(before["mailboxes"][user], contents(site.ipv4, user)) == []
    with imap(site.ipv4, "anna") as link:
        assert link.noop()[0] == "OK"
    assert play().changed == []

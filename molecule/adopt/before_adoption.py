"""The server made by hand carries mail; without mail_adopt the run stops and changes nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.mailboxes import USERS, contents, imap
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Scenario, Site
from ansible_collections.postamt.mail.tests.lib.trees import tree, tree_at_rest

CONFIGURATION = {  # what somebody changed, by the release that has it
    "/etc/postfix/main.cf",
    "/etc/postfix/master.cf",
    "/etc/dovecot/conf.d/10-mail.conf",
    "/etc/dovecot/conf.d/99-postfix.conf",
}


def test_it_has_carried_mail(host: Host, site: Site, scenario: Scenario, give: Callable[[str], str]) -> None:
    for user in USERS:
        give(user)
        give(user)
    deferred = give("team")
    until = time.monotonic() + 20
    come = "ls -d /home/*/Maildir/new | wc -l; postqueue -j | grep -c '\"deferred'"
    while host.run(come).stdout.split() != ["10", "1"]:
        assert time.monotonic() < until, host.check_output("postqueue -p; ls -l /home/*/Maildir/new")
        time.sleep(0.5)
    for user in USERS:
        with imap(site.ipv4, user) as link:
            for folder in ("Projects", "Projects.Bridge", f"Of {user}"):
                link.create(f'"{folder}"')
                link.subscribe(f'"{folder}"')
            link.select("INBOX")
            link.uid("store", "1", "+FLAGS", "(\\Seen \\Flagged)")
            link.uid("copy", "1", "Projects.Bridge")
            link.uid("store", "2", "+FLAGS", "(\\Answered urgent)")
    known = {user: contents(site.ipv4, user) for user in USERS}
    assert all(len(found["folders"]["Projects.Bridge"]["mails"]) == 1 for found in known.values()), known
    record = {"mailboxes": known, "deferred": deferred}
    (scenario.folder / "before.json").write_text(json.dumps(record), encoding="utf-8")
    host.check_output("systemctl stop postfix dovecot && systemctl start postfix dovecot")
    found = " ".join(sorted(CONFIGURATION))
    host.check_output(
        f"mkdir /root/before && tar -cPf - {found} /etc/aliases | tar -C /root/before --transform='s,^/,,' -xpf -"
    )


@pytest.mark.parametrize("check", [True, False])
def test_a_run_stops_with_the_differences(host: Host, play: RunAgain, give: Callable[[str], str], check: bool) -> None:
    before = tree_at_rest(host)
    done = play({"mail_adopt": False}, check=check)
    assert done.failed
    assert tree(host) ^ before == set()
    failed = [task for task in done.tasks if task.status == "failed"]
    assert [task.task for task in failed] == ["Stop before a mail configuration of somebody else"]
    said = failed[0].result["msg"]
    assert {word for word in said.partition(". ")[0].replace(",", "").split() if word.startswith("/")} == CONFIGURATION
    assert "mail_adopt: true" in said and "\n" not in said
    for line in ("-home_mailbox = Maildir/", "-submission inet n", "+++ /etc/dovecot/dovecot.conf"):
        assert len(re.findall(rf"(?m)^{re.escape(line)}", done.stdout)) == 1, done.stdout
    assert "Not-for-the-log" not in done.stdout and "smtp_sasl_password_maps = (hidden)" in done.stdout
    token = give("ida")
    until = time.monotonic() + 10
    while host.run(f"grep -rq {token} /home/ida/Maildir/new").rc:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_check_mode_with_adoption_leaves_no_trace(host: Host, play: RunAgain) -> None:
    before = tree_at_rest(host)
    done = play(check=True)
    assert not done.failed
    assert tree(host) ^ before == set()
    assert "would write /etc/postfix/main.cf" in done.actions
    assert "Not-for-the-log" not in done.stdout


def test_mailboxes_elsewhere_stop_a_run(play: RunAgain) -> None:
    done = play({"mail_maildir": "~/mail"}, check=True)
    assert done.failed
    assert "mailboxes lie in maildir:~/Maildir, and this site's in maildir:~/mail" in done.stdout

"""Parts of the content filter are away: nothing is lost, passed unseen or bounced."""

from __future__ import annotations

import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.probes.message import new_token
from letters import ANNA, CARL, EICAR, STRANGER, letter


class Burst:
    """Numbered messages from four senders, who try again when told "later"; every fifth one carries a virus."""

    def __init__(self, site: Any, count: int) -> None:
        self.address, self.name = site.ipv4, new_token()
        self.left = list(range(count))
        self.answers: dict[int, int] = {}  # 0 where the connection broke: nobody knows
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work) for _sender in range(4)]

    def work(self) -> None:
        while True:
            with self.lock:
                if not self.left:
                    return
                number = self.left.pop(0)
            until = time.monotonic() + 120
            answer = self.one(number)
            while 400 <= answer < 500 and time.monotonic() < until:
                time.sleep(0.5)
                answer = self.one(number)
            self.answers[number] = answer
            time.sleep(0.02)

    def one(self, number: int) -> int:
        files = {"a_txt": EICAR} if number % 5 == 0 else {}
        try:
            with smtplib.SMTP(self.address, 25, timeout=150) as smtp:
                smtp.ehlo("burst.outside.example")
                smtp.sendmail(STRANGER, [CARL], letter(f"{self.name}-{number}.", to=CARL, **files))
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return int(next(iter(error.recipients.values()))[0])
        except (OSError, smtplib.SMTPException):
            return 0
        return 250

    def __enter__(self) -> Burst:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        for thread in self.threads:
            thread.join()

    def done(self) -> int:
        return len(self.answers)


def delivered(host: Any, name: str) -> Counter[int]:
    """Count a burst's messages in carl's mailbox, by number."""
    found = host.run(f"grep -rhoE 'Subject: {name}-[0-9]+' /var/vmail").stdout.splitlines()
    return Counter(int(line.rpartition("-")[2]) for line in found)


@pytest.fixture
def settled(host: Any) -> Iterator[None]:
    """Start everything again, and wait until the queue is empty."""
    yield
    host.run("systemctl kill -s CONT clamav-daemon; systemctl start clamav-daemon.socket clamav-daemon amavis")
    host.run("postqueue -f")


@pytest.mark.parametrize(
    ("away", "back", "seconds"),
    [
        ("systemctl stop clamav-daemon.socket clamav-daemon", "systemctl start clamav-daemon.socket clamav-daemon", 8),
        ("systemctl stop amavis", "systemctl start amavis", 8),
        ("systemctl kill -s KILL amavis", "true", 8),
        ("systemctl kill -s KILL clamav-daemon", "true", 8),
        ("systemctl kill -s STOP clamav-daemon", "systemctl kill -s CONT clamav-daemon", 60),
    ],
    ids=["clamd stopped", "amavis stopped", "amavis killed", "clamd killed", "clamd paused"],
)
def test_nothing_is_lost_or_passed_unseen(
    site: Any, host: Any, away: str, back: str, seconds: int, settled: None
) -> None:
    with Burst(site, 200) as burst:
        while burst.done() < 60:
            time.sleep(0.05)
        host.check_output(away)
        time.sleep(seconds)
        host.check_output(back)
    taken = {number for number, answer in burst.answers.items() if answer == 250}
    unsure = {number for number, answer in burst.answers.items() if answer == 0}
    clean = {number for number in taken if number % 5}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not clean <= set(delivered(host, burst.name)):
        time.sleep(1)
    found = delivered(host, burst.name)
    assert clean - set(found) == set(), "lost"
    assert {number for number in found if number % 5 == 0} == set(), "passed unscanned"
    assert not {number for number in taken if number % 5 == 0}, "a virus was taken"
    assert set(found) <= clean | unsure, "delivered though it was refused"
    assert sum(found.values()) - len(found) <= 4, "more twice than were on their way"
    assert len(clean) >= 150, burst.answers


def test_the_hosts_own_mail_waits_for_the_filter(host: Any, has: Any, settled: None) -> None:
    token = new_token()
    host.check_output("systemctl stop amavis")
    host.check_output(f"printf 'Subject: {token}\\n\\nfrom cron\\n' | sendmail root")
    assert not has(ANNA, token, wait=2)
    host.check_output("systemctl start amavis")
    for _try in range(20):
        host.run("postqueue -f")
        if has(ANNA, token, wait=2):
            return
    pytest.fail("it has not come")


def test_the_journal_is_quiet(host: Any) -> None:
    found = host.run("journalctl -q -o cat -p warning -u dovecot -u postfix* -u clamav*").stdout.splitlines()
    caused = (
        "SIGHUP", "signal 15", "killed", "proxy", "clamav-daemon", "Connection refused", "Connection reset",
        "lost connection", "Connection timed out", "timeout", "stop-sigterm", "ldapdb_canonuser", "ProtectHostname",
        "mail for", "conversation", "get file status",
    )  # fmt: skip
    assert [line for line in found if not any(word in line for word in caused)] == []

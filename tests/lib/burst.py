"""Senders who hand in numbered messages, some from outside and some as a user, while parts of the host are away."""

from __future__ import annotations

import smtplib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import EICAR, STRANGER, letter

SENDERS = 4  # at once: so many messages may be on their way when something breaks
UNKNOWN = 0  # the connection broke: nobody knows whether the message was taken


@dataclass
class Burst:
    """Messages 0 to count-1 for one mailbox; a sender who is told "later" tries again, as mail servers do.

    addresses: servers for mail from outside; a sender who gets nowhere at one tries the next, as with MX records.
    users: servers for mail from users, the same ones where not said otherwise.
    login: a user and its password; then one sender is that user's mail program at port 587, which sends every sixteenth
    message, and tries again when a login fails. virus_every: so many messages apart one has EICAR's test file; 0 for
    none.
    """

    addresses: tuple[str, ...]
    count: int
    to: str
    login: tuple[str, str] | None = None
    ca_file: str = ""
    server_name: str = ""
    virus_every: int = 0
    users: tuple[str, ...] = ()
    pause: float = 0.02  # seconds between two messages of a sender from outside
    timeout: float = 150
    patience: float = 120  # seconds for which a sender tries again
    name: str = field(default_factory=new_token)

    def __post_init__(self) -> None:
        everything = set(range(self.count))
        self.from_user = set(range(5, self.count, 16)) if self.login else set()
        self.left = {True: sorted(self.from_user), False: sorted(everything - self.from_user)}
        self.answers: dict[int, int] = {}
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._work, args=(bool(self.login) and sender == 0,)) for sender in range(SENDERS)
        ]

    def _work(self, as_user: bool) -> None:
        while True:
            with self.lock:
                if not self.left[as_user]:
                    return
                number = self.left[as_user].pop(0)
            until = time.monotonic() + self.patience
            turn = number
            answer = self._send(number, as_user, turn)
            while (400 <= answer < 500 or answer == 535) and time.monotonic() < until:
                time.sleep(2 if as_user else 0.5)  # logins have a limit
                turn += 1
                answer = self._send(number, as_user, turn)
            self.answers[number] = answer
            time.sleep(max(1.2, self.pause) if as_user else self.pause)  # a client may log in once a second

    def _send(self, number: int, as_user: bool, turn: int) -> int:
        virus = self.virus_every and number % self.virus_every == 0
        sender = self.login[0] if as_user and self.login else STRANGER
        content = letter(f"{self.name}-{number}.", sender=sender, to=self.to, files={"a.txt": EICAR} if virus else {})
        sent = False
        try:
            servers = self.users if as_user and self.users else self.addresses
            address = servers[turn % len(servers)]
            with smtplib.SMTP(address, 587 if as_user else 25, timeout=self.timeout) as smtp:
                smtp.ehlo("burst.outside.example")
                if as_user and self.login:
                    # smtplib has no other way to say whose certificate it must be
                    smtp._host = self.server_name  # type: ignore[attr-defined]
                    smtp.starttls(context=ssl.create_default_context(cafile=self.ca_file))
                    smtp.user, smtp.password = self.login
                    smtp.ehlo("burst.outside.example")
                    smtp.auth("PLAIN", smtp.auth_plain)
                for code, _text in (smtp.mail(sender), smtp.rcpt(self.to)):
                    if code != 250:
                        return code
                sent = True
                return smtp.data(content)[0]
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        except (OSError, smtplib.SMTPException):
            return UNKNOWN if sent else 421  # nothing was handed over: the server was away, so it is tried again

    def __enter__(self) -> Burst:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind:  # nobody is there any more who would end the outage
            self.end()
        for thread in self.threads:
            thread.join()

    def end(self) -> None:
        """Let the senders begin no further message."""
        with self.lock:
            self.left = {True: [], False: []}

    def done(self) -> int:
        return len(self.answers)

    def wait_for(self, number: int) -> None:
        """Wait until so many messages have had their answer."""
        while self.done() < number:
            time.sleep(0.05)

    def with_answer(self, answer: int) -> set[int]:
        return {number for number, got in self.answers.items() if got == answer}

    def delivered(self, host: Host) -> Counter[int]:
        """Count the messages in the host's mailboxes, by number."""
        found = host.run(f"grep -rhoE 'Subject: {self.name}-[0-9]+' /var/vmail").stdout.splitlines()
        return Counter(int(line.rpartition("-")[2]) for line in found)

    def arrived(
        self, host: Host, wanted: Callable[[int], bool] = lambda number: True, wait: float = 60
    ) -> Counter[int]:
        """Return delivered() once every message that was taken and is wanted is there, or when time is up."""
        taken = {number for number in self.with_answer(250) if wanted(number)}
        until = time.monotonic() + wait
        while not taken <= set(found := self.delivered(host)) and time.monotonic() < until:
            host.run("postqueue -f")
            time.sleep(1)
        return found

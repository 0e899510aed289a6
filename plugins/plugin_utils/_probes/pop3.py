# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users can ask over POP3 (RFC 1939)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, Tls, attempts
from ansible_collections.postamt.mail.plugins.module_utils._probes.pop3 import Pop3, Pop3Answer, Pop3Refused


class Pop3User(Pop3):
    """A POP3 client that logs in."""

    def login(self, user: str, password: str) -> Pop3Answer:
        """The answer to USER, where it is refused, or to PASS."""
        answer = self.command(f"USER {user}")
        return self.command(f"PASS {password}", "PASS") if answer.ok else answer


@contextmanager
def _session(e: Endpoint, user: str, password: str, tls: Tls) -> Iterator[Pop3User]:
    with Pop3User(e, tls) as pop3:
        answer = pop3.login(user, password)
        if not answer.ok:
            raise Pop3Refused(e, f"login of {user}", answer)
        yield pop3


def pop3_login(e: Endpoint, user: str, password: str, *, tls: Tls = "implicit") -> Pop3Answer:
    """May this user in? With tls="none" a good server refuses before the password is sent.

    Dovecot lets wrong passwords wait for up to 17 s: give the endpoint time.
    """
    with Pop3User(e, tls) as pop3:
        return pop3.login(user, password)


def pop3_find(
    e: Endpoint, user: str, password: str, token: str, *, wait: float = 15.0, tls: Tls = "implicit"
) -> bytes | None:
    """Which message has the token in its subject? Its bytes, or None after `wait` seconds; the newest of several.

    Logs in again for each look, since a session sees the mailbox as it was at its login.
    """
    for _attempt in attempts(wait, first=0.2):
        with _session(e, user, password, tls) as pop3:
            for number in reversed([int(line.split()[0]) for line in pop3.lines("LIST")]):
                header = b"\n".join(pop3.lines(f"TOP {number} 0"))
                if re.search(rb"(?im)^Subject:.*(?:\n[ \t].*)*" + re.escape(token.encode()), header):
                    return b"".join(line + b"\r\n" for line in pop3.lines(f"RETR {number}"))
    return None

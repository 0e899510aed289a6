# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users can ask over ManageSieve (RFC 5804)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, Tls
from ansible_collections.postamt.mail.plugins.module_utils._probes.managesieve import Sieve, SieveAnswer, SieveRefused


class SieveUser(Sieve):
    """A ManageSieve client that logs in."""

    def login(self, user: str, password: str) -> SieveAnswer:
        """The answer to AUTHENTICATE PLAIN (RFC 4616)."""
        secret = b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.command(f'AUTHENTICATE "PLAIN" "{secret}"', "AUTHENTICATE PLAIN")[0]


@contextmanager
def session(e: Endpoint, user: str, password: str, tls: Tls) -> Iterator[SieveUser]:
    """A login; raises SieveRefused where it is refused."""
    with SieveUser(e, tls) as sieve:
        answer = sieve.login(user, password)
        if not answer.ok:
            raise SieveRefused(e, f"login of {user}", answer)
        yield sieve


def sieve_login(e: Endpoint, user: str, password: str, *, tls: Tls = "starttls") -> SieveAnswer:
    """May this user in? With tls="none" the password travels in the clear, unless the server is good.

    Dovecot lets wrong passwords wait for up to 17 s: give the endpoint time.
    """
    with SieveUser(e, tls) as sieve:
        return sieve.login(user, password)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all ways have in common in which programs look accounts up."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import AccountStore
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem

if t.TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Links
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
    from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
    from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
    from ansible_collections.postamt.mail.plugins.plugin_utils._programs.sasl import Sasl


class Lookups:
    """Where the site's accounts live, and how Postfix, Dovecot and saslauthd look them up there (site.lookups).

    As it is here, nobody is found; a way of one's own says the rest.
    """

    directory = False  # whether they live in the collection's own directory, which runs for that
    store: AccountStore | None = None  # who changes accounts between two runs; nothing where this is done elsewhere
    changed_by = "accounts are changed where they live"  # what postamt.mail.account says where there is no store
    on_host = False  # whether they are users of the host, who own their mail; else it is VMAIL's

    def login(self, address: str) -> str:
        """Return the name by which an account's programs know it."""
        return str(address)

    def check(self, site: Site) -> Iterator[Problem]:
        """Yield what is wrong with the site's accounts if they live there."""
        yield from ()

    def secrets(self, site: Site) -> list[str]:
        """Return by which names the site's secrets have what this way needs generated; a run makes them first.

        Those of the collection's own directory follow from who asks it (_programs/_ldap_entries.py).
        """
        return []

    def links(self, site: Site, host: Host) -> Links | None:
        """Return the links by which accounts are found on other hosts."""
        return None

    def needs(self, site: Site, host: Host, program: str) -> list[str]:
        """Return what has to listen before a program can look accounts up: a socket's path or HOST:PORT."""
        return []

    def postfix(self, site: Site, host: Host) -> Postfix | None:
        """Return how Postfix finds recipients, aliases, forwards and the owners of addresses, and checks logins."""
        return None

    def dovecot(self, site: Site, host: Host) -> Dovecot | None:
        """Return how Dovecot checks logins and finds mailboxes."""
        return None

    def sasl(self, site: Site, host: Host) -> Sasl | None:
        """Return how saslauthd checks logins; nothing where it does not."""
        return None

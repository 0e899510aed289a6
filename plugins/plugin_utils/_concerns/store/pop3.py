# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""POP3: for programs that fetch mail, on port 995 (TLS at once) only."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, no_service, service
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot


def dovecot(site: Site, host: Host) -> Dovecot | None:
    return Dovecot(
        trunk={"service pop3-login": {"inet_listener pop3": {"port": 0}}},
        protocols=["pop3"],
        packages=["dovecot-pop3d"],
        checks=[HealthCheck("pop3_greeting", {"port": 995, "tls": "implicit"})],
    )


def dns(site: Site, domain: str) -> list[Record]:
    """Say where it is, and to programs that would speak without TLS that there is no such service."""
    return [service("pop3s", domain, 995, site.server_name), no_service("pop3", domain)]

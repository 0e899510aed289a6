# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IMAP: mailboxes on port 993, and on 143 after STARTTLS."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, service
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot


def dovecot(site: Site, host: Host) -> Dovecot | None:
    return Dovecot(
        protocols=["imap"],
        packages=["dovecot-imapd"],
        checks=[
            HealthCheck("imap_greeting", {"port": 143, "tls": "starttls"}),
            HealthCheck("imap_greeting", {"port": 993, "tls": "implicit"}),
        ],
    )


def dns(site: Site, domain: str) -> list[Record]:
    return [service(name, domain, port, site.server_name) for name, port in (("imap", 143), ("imaps", 993))]

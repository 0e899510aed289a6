# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sieve: users' own filters and vacation answers, uploaded over ManageSieve on port 4190 (RFC 5228, RFC 5804)."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, service
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_sieve_notify: bool = var(
        "Whether users' scripts may write mail of their own to anybody (extension enotify, RFC 5435). Its envelope "
        "sender is the account; its From is whatever the script says.",
        False,
    )


def dovecot(site: Site, host: Host) -> Dovecot | None:
    notify = site.of(Variables).mail_sieve_notify
    # Without this it would be what the script says.
    sender = {"sieve_notify_mailto_envelope_from": "user_email"}
    if site.hands_over(host):  # hosts that send take mail of the site's senders only from one that does not
        sender["sieve_redirect_envelope_from"] = "user_email"
    return Dovecot(
        # A program started by LMTP could not write to the user's folder, so what Sieve sends goes out over SMTP.
        trunk={
            "submission_host": "127.0.0.1:25",
            "postmaster_address": str(site.postmaster or f"postmaster@{host.name}"),
        },
        v23={
            "plugin": {
                "sieve": "file:~/sieve;active=~/.dovecot.sieve",
                "sieve_extensions": f"{'+' if notify else '-'}enotify",
                **sender,
            }
        },
        v24={
            "sieve_script personal": {"driver": "file", "path": "~/sieve", "active_path": "~/.dovecot.sieve"},
            "sieve_extensions": {"enotify": notify},
            **sender,
        },
        plugins={"lmtp": ["sieve"]},
        protocols=["sieve"],
        packages=["dovecot-sieve", "dovecot-managesieved"],
        checks=[HealthCheck("sieve_greeting", {"port": 4190, "tls": "starttls"})],
    )


def dns(site: Site, domain: str) -> list[Record]:
    return [service("sieve", domain, 4190, site.server_name)]

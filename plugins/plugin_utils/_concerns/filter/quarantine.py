# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quarantine: mail that was stopped stays on disk for some days, and can be let go (postamt.mail.quarantine)."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, File
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import DAYS, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import QUARANTINE, Amavis, Perl

SOCKET = "/var/lib/amavis/amavisd.sock"  # by which amavisd-release(8) asks for a message


@dataclasses.dataclass(frozen=True)
class Variables:
    """How long mail is kept."""

    mail_quarantine_days: int = var("Days for which the quarantine keeps mail.", 30, within=DAYS)


def amavis(site: Site, host: Host) -> Amavis | None:
    days = site.of(Variables).mail_quarantine_days
    return Amavis(
        settings={
            "$QUARANTINEDIR": QUARANTINE,
            "$unix_socketname": SOCKET,
            "$interface_policy{'SOCK'}": Perl("undef"),  # Debian's, for each Unix socket
            f"$interface_policy{{'{SOCKET}'}}": "RELEASE",
            "$policy_bank{'RELEASE'}": {"protocol": "AM.PDP", "auth_required_release": False},
        },
        files=[File("/etc/tmpfiles.d/postamt-quarantine.conf", f"{HEAD}\nd {QUARANTINE} 0750 amavis amavis {days}d\n")],
    )

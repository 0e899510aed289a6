# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much a host's content filter may do at once, and what memory that takes; everybody who asks gets the same answer.

One rule: amavis has two processes for each processor, as far as memory allows, and at least two. Each process talks to
one clamd thread at a time, so clamd has one thread more than there are processes. Port 25 takes ten connections for
each process: with 100 s to wait for the filter (smtpd_proxy_timeout), the last in the queue is served in time.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

MB = 1 << 20
SYSTEM = 350 * MB  # Debian, Postfix, Dovecot, OpenLDAP and their caches
PROCESS = 110 * MB  # one amavis process with SpamAssassin's rules, its share of the parent included
SIGNATURES = 1250 * MB  # clamd with the official signatures
OWN_SIGNATURES = 50 * MB  # clamd with signatures of the site's own only


@dataclasses.dataclass(frozen=True)
class Sizing:
    """What a host's filter may use, memory in bytes."""

    processes: int
    clamd: int  # 0 where ClamAV does not run
    memory: int  # what the host has
    swap: int

    @property
    def threads(self) -> int:
        """Threads of clamd."""
        return self.processes + 1

    @property
    def connections(self) -> int:
        """Most connections to port 25."""
        return max(20, 10 * self.processes)

    @property
    def largest(self) -> int:
        """Most bytes of one message that are unpacked and scanned, archives included; each process may hold as much."""
        return max(50 * MB, min(200 * MB, self.memory // 20))

    @property
    def needed(self) -> int:
        return SYSTEM + self.processes * PROCESS + self.clamd

    @property
    def fits(self) -> bool:
        return self.memory == 0 or self.needed <= self.memory + self.swap

    @property
    def reloads_beside(self) -> bool:
        """Whether clamd may hold two copies of the signatures while it reloads them, and serve meanwhile."""
        return self.memory >= self.needed + self.clamd

    def sentence(self) -> str:
        """Say what the memory is for."""
        parts = [
            f"{SYSTEM // MB} MB for the system and mail",
            f"{self.processes} amavis processes of {PROCESS // MB} MB",
        ]
        if self.clamd:
            reload = "twice that while it reloads" if self.reloads_beside else "away for a moment while it reloads"
            parts.append(f"clamd {self.clamd // MB} MB ({reload})")
        return f"content filter: {self.needed // MB} of {self.memory // MB} MB: {', '.join(parts)}"


def sizing(site: Site, host: Host) -> Sizing:
    """Return what a host's filter may use."""
    said = site.of(filtering.Variables)
    clamd = (SIGNATURES if said.mail_clamav_official else OWN_SIGNATURES) if filtering.scans(site, host) else 0
    room = (host.look.memory - SYSTEM - clamd) // PROCESS
    processes = said.mail_filter_processes or max(2, min(2 * host.look.cores, room))
    return Sizing(processes, clamd, host.look.memory, host.look.swap)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much a host's content filter may do at once; everybody who asks gets the same answer.

One rule: amavis has two processes for each processor, as far as memory allows, and at least two. Each process talks to
one clamd thread at a time, so clamd has one thread more than there are processes. Port 25 takes ten connections for
each process: with 100 s to wait for the filter (smtpd_proxy_timeout), the last in the queue is served in time.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, rest
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

PROCESS = 110 * MB  # one amavis process with SpamAssassin's rules, its share of the parent included


@dataclasses.dataclass(frozen=True)
class Sizing:
    """What a host's filter may use; memory: bytes that the host has."""

    processes: int
    memory: int

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


def sizing(site: Site, host: Host) -> Sizing:
    """Return what a host's filter may use."""
    said = site.of(filtering.Variables).mail_filter_processes
    return Sizing(said or max(2, min(2 * host.look.cores, rest(site, host) // PROCESS)), host.look.memory)

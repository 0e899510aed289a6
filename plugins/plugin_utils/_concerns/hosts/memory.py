# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory: a host that has too little for what it is to do is refused, with what its administrator may do about it."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import lacking, sentence, ways_out
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site


def check(site: Site) -> Iterator[Problem]:
    for host in site.hosts.values():
        if lacking(site, host) and sentence(site, host):
            allowed = f"is too little for the {sentence(site, host)}; {', or '.join(ways_out(site, host))}"
            yield Problem(f"memory of host {host.name}", None, allowed)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links between the site's hosts: TLS on both ends, verified by name. A site of one host has none."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import incoming, linked, outgoing
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.haproxy import Haproxy

_LONGEST = 64  # RFC 5280, ub-common-name: by this name of its certificate a caller is known


def check(site: Site) -> Iterable[Problem]:
    """Yield hosts whose name does not fit where links look for it."""
    for host in site.hosts.values():
        if len(host.name) > _LONGEST and linked(site, host):
            allowed = f"must have at most {_LONGEST} characters: the site's other hosts know it by its certificate"
            yield Problem(f"mail_host_name of host {host.inventory_name}", host.name, allowed)


def haproxy(site: Site, host: Host) -> Haproxy | None:
    if not linked(site, host):
        return None
    return Haproxy(site.internal_certificate, outgoing(site, host), incoming(site, host))

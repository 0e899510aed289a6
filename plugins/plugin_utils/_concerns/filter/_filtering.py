# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether mail is filtered, on which hosts, and whether they look for viruses: several programs and links ask."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import IPAddress


@dataclasses.dataclass(frozen=True)
class Variables:
    """How mail is filtered."""

    mail_content_filter: t.Literal["off", "before_queue", "after_queue"] = var(
        "Whether amavis filters mail: before_queue refuses in the SMTP dialogue, so that nobody else hears of it; "
        "after_queue accepts first and never refuses.", "off",
    )  # fmt: skip
    mail_antivirus: bool = var("Whether the content filter has ClamAV look for viruses.", True)
    mail_clamav_server: IPAddress | None = var(
        "Address of another host whose clamd looks for viruses, on port 3310 and without TLS; this one then runs none.",
        None,
    )
    mail_clamav_official: bool = var(
        "Whether freshclam fetches the official signatures, which take clamd about 1.3 GB of memory.", True
    )
    mail_filter_processes: int | None = var(
        "How many messages amavis filters at once; by default as many as processors and memory allow.", None,
        within=range(1, 1001),
    )  # fmt: skip


def is_on(site: Site) -> bool:
    return site.of(Variables).mail_content_filter != "off"


def before_queue(site: Site) -> bool:
    """Tell whether mail is filtered before Postfix has taken it."""
    return site.of(Variables).mail_content_filter == "before_queue"


def filters(site: Site, host: Host) -> bool:
    """Tell whether a host filters mail."""
    return is_on(site) and host.has("mail_filter")


@functools.lru_cache(maxsize=1)  # each host of the site asks
def filter_hosts(site: Site) -> list[Host]:
    """Return the hosts that filter mail."""
    return [host for host in site.hosts.values() if filters(site, host)]


def scans(site: Site, host: Host) -> bool:
    """Tell whether a host runs ClamAV."""
    said = site.of(Variables)
    return filters(site, host) and said.mail_antivirus and not said.mail_clamav_server

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DNS: the records by which other servers and mail programs find the site, as zone fragments to publish."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Path, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Site


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_zone_dir: Path | None = var(
        "Folder on the controller in which the playbook postamt.mail.show writes a zone file for each domain.", None
    )
    mail_spf_includes: list[str] = var(
        "Names whose SPF records list further senders of the site's mail, above all those of mail_relayhost: its "
        "provider says which.", [], example="[_spf.provider.example]",
    )  # fmt: skip
    mail_dns_ttl: int = var("How long resolvers may keep the records of these files, in seconds.", 3600)


_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # no host name: such names often begin with an underscore


def check(site: Site) -> Iterator[Problem]:
    for name in site.of(Variables).mail_spf_includes:
        if len(name) > 253 or not re.fullmatch(rf"({_LABEL}\.)+{_LABEL}", name):
            yield Problem("mail_spf_includes", name, "must be a name in the DNS, such as _spf.provider.example")

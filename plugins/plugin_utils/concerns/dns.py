# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DNS: the records by which other servers and mail programs find the site, as zone fragments to publish."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Domain, Path, var


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_zone_dir: Path | None = var(
        "Folder on the controller in which the playbook postamt.mail.show writes a zone file for each domain.", None
    )
    mail_spf_includes: list[Domain] = var(
        "Domains whose SPF records name further senders of the site's mail, above all those of mail_relayhost: its "
        "provider says which.", [], example="[spf.provider.example]",
    )  # fmt: skip
    mail_dns_ttl: int = var("How long resolvers may keep the records of these files, in seconds.", 3600)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail of the host itself: what cron and daemons send to root and to role names reaches a person."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import HOST_ALIASES, Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils.site import ROLE_ADDRESSES, Host, Site


def postfix(site: Site, host: Host) -> Postfix | None:
    if not site.sends(host):
        return None  # concern null_client has that host's mail read elsewhere
    reader = site.postmaster
    names = {name: str(reader) for name in ("root", *ROLE_ADDRESSES, "mailer-daemon", "nobody")} if reader else {}
    own = [table("local_aliases", "lmdb")]
    # Where users are the host's, so are their aliases: what its administrator says there comes first.
    parameters: dict[str, object] = {"alias_maps": own if site.uses_directory else [HOST_ALIASES, *own]}
    if not site.uses_directory:
        parameters["alias_database"] = HOST_ALIASES  # for newaliases(1)
    if site.uses_directory:
        # As Postfix has it by default; said aloud, so that the staged check can do without a running proxymap.
        parameters["local_recipient_maps"] = ["proxy:unix:passwd.byname", "$alias_maps"]
        here = ["localhost.$mydomain", "localhost"]
        parameters["mydestination"] = here if str(host.name) in map(str, site.domains) else ["$myhostname", *here]
    return Postfix(parameters=parameters, tables={"local_aliases": Table("lmdb", names)})  # type: ignore[arg-type]

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail of the host itself: what cron and daemons send to root, to role names and to users of the host reaches a person.

From outside, root and role names are recipients, other users of the host are none.
"""

from __future__ import annotations

import re

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import ROLE_ADDRESSES, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    HOST_ALIASES,
    Extension,
    Postfix,
    Table,
    Value,
    table,
)

_GROUP = 50  # users in one pattern: one of 5,000 takes local(8) 400 MB


def postfix(site: Site, host: Host) -> Postfix | None:
    reader = site.postmaster
    names = {name: str(reader) for name in ("root", *ROLE_ADDRESSES, "mailer-daemon", "nobody")} if reader else {}
    tables = {"local_aliases": Table("lmdb", names)}
    # Where accounts are the host's users, so are their aliases: what its administrator says there comes first.
    known = [*([HOST_ALIASES] if site.lookups.on_host else []), table("local_aliases", "lmdb")]
    parameters: dict[str, Value] = {"alias_maps": known}
    extensions = {}
    if not site.lookups.on_host:
        own = ["localhost.$mydomain", "localhost"]
        parameters["mydestination"] = own if str(host.name) in map(str, site.domains) else ["$myhostname", *own]
        parameters["local_recipient_maps"] = "$alias_maps"
        parameters["forward_path"] = ""
        parameters["allow_mail_to_commands"] = parameters["allow_mail_to_files"] = ""
    else:
        parameters["alias_database"] = HOST_ALIASES  # for newaliases(1)
    if reader:
        # What programs send to any other user of the host: no mailbox in /var/mail that nobody reads, and no program of
        # a .forward file. It is known to local(8) alone, so that none of them is a recipient for a stranger.
        here = [one.address for one in site.accounts if one.enabled] if site.lookups.on_host else []
        tables["local_others"] = Table("regexp", _others([*map(site.lookups.login, here)], str(reader)))
        extensions["local/unix"] = Extension(options={"alias_maps": [*known, table("local_others", "regexp")]})
    return Postfix(parameters=parameters, tables=tables, extensions=extensions)


def _others(users: list[str], reader: str) -> str:
    """Return a table that turns every name into the reader's address, apart from users with a mailbox.

    local(8) looks for NAME+WORD first, then for NAME, and for owner-NAME beside what it has found (aliases(5)).
    """
    names = [re.escape(user).replace("/", "\\/") for user in dict.fromkeys(users)]
    groups = ["|".join(names[start : start + _GROUP]) for start in range(0, len(names), _GROUP)]
    lines = [rf"if !/^({group})(\+.*)?$/" for group in groups]
    lines.append(f"!/^owner-/\t{reader.replace('$', '$$')}")  # a dollar begins what regexp_table(5) fills in
    return "".join(f"{line}\n" for line in [*lines, *("endif" for _group in groups)])

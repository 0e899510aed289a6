# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may claim which sender: a stranger none of the site's addresses, and nobody a domain that does not exist."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Table, table


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_strangers_may_use_local_senders: bool = var(
        "Whether port 25 takes envelope senders in the site's own domains. Some forwarding services need it.",
        False,
    )
    mail_sender_domain_must_exist: bool = var(
        "Whether port 25 refuses envelope senders whose domain has neither MX nor address in the DNS.", True
    )


def applies(site: Site, host: Host) -> bool:
    return host.has("mail_mx")


def postfix(site: Site, host: Host) -> Postfix:
    variables = site.of(Variables)
    slots = {"syntax": ["reject_non_fqdn_sender"], "permit": ["permit_mynetworks"]}
    tables = {}
    if not variables.mail_strangers_may_use_local_senders:
        tables["local_senders"] = Table(
            "lmdb", dict.fromkeys(site.domains, "554 5.7.1 Users of this domain send through port 587 or 465")
        )
        slots["stranger"] = [f"check_sender_access {table('local_senders', 'lmdb')}"]
    if variables.mail_sender_domain_must_exist:
        slots["domain"] = ["reject_unknown_sender_domain"]
    return Postfix(tables=tables, lists={"smtpd_sender_restrictions": slots})

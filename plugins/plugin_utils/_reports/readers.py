# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gets the site's reports: mailboxes of the site, or somebody elsewhere."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import without_plus
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import dmarc, tls_reports
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import domain_of


@dataclasses.dataclass(frozen=True)
class Readers:
    """addresses: those in the records, by variable. mailboxes: logins here. elsewhere: what leads out of the site."""

    addresses: dict[str, str]
    mailboxes: list[str]
    elsewhere: list[str]


def readers(site: Site) -> Readers:
    """Return where reports go, by what the site's variables say of aliases and forwards.

    An address that they do not know may be an account that was made on the host: it counts as a mailbox.
    """
    said = {
        "mail_dmarc_reports": site.of(dmarc.Variables).mail_dmarc_reports,
        "mail_tls_reports": site.of(tls_reports.Variables).mail_tls_reports,
    }
    addresses = {name: str(address) for name, address in said.items() if address}
    accounts = {str(name): one for one in site.accounts for name in (one.address, *one.aliases)}
    aliases = {str(name): [*map(str, targets)] for name, targets in site.all_aliases.items()}
    mailboxes: list[str] = []
    elsewhere: list[str] = []
    left, seen = [*addresses.values()], set()
    while left:
        address = left.pop(0)
        if address in seen:
            continue
        seen.add(address)
        known = address if address in accounts or address in aliases else without_plus(address)
        if domain_of(address) not in site.domains:
            elsewhere.append(address)
        elif known in aliases:
            left += aliases[known]
        elif account := accounts.get(known):
            left += [str(target) for target in account.forward if str(target) != account.address]
            if account.keep_copy or not account.forward or account.address in account.forward:
                mailboxes.append(site.lookups.login(account.address))
        else:
            mailboxes.append(site.lookups.login(known))
    return Readers(addresses, [*dict.fromkeys(mailboxes)], elsewhere)

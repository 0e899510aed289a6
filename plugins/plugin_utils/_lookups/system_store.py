# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users of the host between two runs: the inventory says who of them has mail; here they are added and locked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import AccountStore, Asked, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

UIDS = (1000, 60000)  # people's numbers on Debian (login.defs(5)); daemons are below, nobody is above
_REMOVED = (
    "is for accounts in the directory; a user of the host has a home and files of its own: take the account out of "
    "mail_accounts, run postamt.mail.site, and remove the user there with deluser(8)"
)
_INVENTORY = "is set in the inventory only for users of the host: change it in mail_accounts and run postamt.mail.site"
_REFUSED = {
    **dict.fromkeys(("aliases", "forward", "keep_copy"), _INVENTORY),
    "quota": "is for accounts in the directory; for users of the host, mail_quota is the limit of each",
}


def user_of(address: str) -> str:
    """Return the host's user behind an address: its local part."""
    return address.partition("@")[0]


class SystemStore(AccountStore):
    """Accounts are the users of the site's one host that mail_accounts lists."""

    code = "system"
    function = "mail_store"

    def check(self, site: Site, asked: Asked) -> Iterator[Problem]:
        if asked.state in ("absent", "purged"):
            yield Problem("state", asked.state, _REMOVED)
        if not asked.account:
            return
        account = next((one for one in site.accounts if one.address == asked.account), None)
        owner = next((one.address for one in site.accounts if asked.account in one.aliases), None)
        if owner:
            yield Problem("account", asked.account, f"is an alias: name its account, {owner}")
        elif account is None:
            hint = nearest(asked.account, [one.address for one in site.accounts])
            allowed = "is not in mail_accounts, and only users of the host listed there have mail: add it and run "
            yield Problem("account", asked.account, f"{allowed}postamt.mail.site first{hint}")
        elif asked.state == "present" and not account.enabled:
            yield Problem("account", asked.account, "is disabled in the inventory: take enabled: false out there")
        for name in asked.said:
            if name in _REFUSED:
                yield Problem(name, None, _REFUSED[name])
        if asked.name and re.search(r"[:,=\x00-\x1f\x7f]", asked.name):
            yield Problem("name", asked.name, "must not have : , = or control characters (passwd(5))")

    def request(self, site: Site, asked: Asked, password: str) -> Result:
        return {
            "accounts": [
                {
                    "address": one.address,
                    "user": user_of(one.address),
                    "enabled": one.enabled,
                    "aliases": one.aliases,
                    "forward": one.forward,
                }
                for one in site.accounts
            ],
            "uids": list(UIDS),
        }

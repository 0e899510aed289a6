# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts in the directory between two runs: those of the inventory are changed there, others here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.store import AccountStore, Asked, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import circles
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest, parse
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Login
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account, domain_of
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import entries, fingerprint

_EXCLUSIVE = "is not in the inventory, which alone decides here (mail_accounts_exclusive): add it to mail_accounts"


class DirectoryStore(AccountStore):
    """Accounts are entries of the provider's directory."""

    code = "directory"
    function = "mail_directory"

    def choose(self, hosts: Sequence[str], provider: str) -> str:
        return provider or hosts[0]

    def place(self, site: Site) -> Host | None:
        return site.provider

    def check(self, site: Site, asked: Asked) -> Iterator[Problem]:
        mine = any(account.address == asked.account for account in site.accounts)
        if asked.state == "present":
            yield from _present(site, asked, mine)
        elif asked.state == "absent" and mine:
            yield Problem(
                "account", asked.account, "is in the inventory: take it out there and run postamt.mail.site first"
            )
        elif asked.state == "enabled" and not mine and site.core.mail_accounts_exclusive:
            yield Problem("account", asked.account, _EXCLUSIVE)

    def request(self, site: Site, asked: Asked, password: str) -> Result:
        kept = asked.state == "password" and self.keeps(site, str(asked.account))
        key = site.secrets.get("fingerprint-key")
        return {
            "entries": entries(site, {}),
            "fingerprint": fingerprint(key, "clear", str(asked.account), password) if kept else "",
            "grace_days": site.core.mail_accounts_grace_days,
            "followed": site.has_replicas,
        }

    def keeps(self, site: Site, address: str) -> bool:
        account = next((one for one in site.accounts if one.address == address), None)
        return not (account.password or account.password_hash) if account else address in site.secrets.known

    def forgotten(self, site: Site, deleted: Iterable[str]) -> set[str]:
        """No word of the directory's host makes another password forgotten than that of an account that has left."""
        return {name for name in deleted if "@" in name} - {account.address for account in site.accounts}


def _present(site: Site, asked: Asked, mine: bool) -> Iterator[Problem]:
    if mine:
        yield Problem("account", asked.account, "is in the inventory: change it there and run postamt.mail.site")
        return
    if site.core.mail_accounts_exclusive:
        yield Problem("account", asked.account, _EXCLUSIVE)
    problems: list[Problem] = []
    login = parse(Login, asked.account, "account", problems)
    yield from problems
    if login and asked.forward:
        new = Account(login, forward=asked.forward, aliases=asked.aliases or [], keep_copy=bool(asked.keep_copy))
        for problem in circles([*site.accounts, new], site.all_aliases):
            yield dataclasses.replace(problem, where="forward")
    known = {address for one in site.accounts for address in (one.address, *one.aliases)} | set(site.all_aliases)
    for where, address in [("account", str(asked.account)), *(("aliases", alias) for alias in asked.aliases or [])]:
        if domain_of(address) not in site.domains:
            hint = nearest(domain_of(address), site.domains)
            yield Problem(where, address, f"must be in one of mail_domains ({', '.join(site.domains)}){hint}")
        elif address in known:
            yield Problem(where, address, "is taken already by an account or alias of the inventory")
    if asked.quota is not None and asked.quota % 1024:
        yield Problem("quota", asked.quota, "must be a multiple of 1024 bytes, such as 500K")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who does what, for playbooks: a task's delegate_to is asked before the site is derived."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.accounts import accounts
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import FUNCTIONS, functions_of
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, parse_fields


def hosts_with(groups: Mapping[str, Sequence[str]], function: str) -> list[str]:
    """Return the inventory names of the hosts that have a function, in the order of its group."""
    if function not in FUNCTIONS:
        raise AnsibleFilterError(f"hosts_with: {function} is no group of the site (known: {', '.join(FUNCTIONS)})")
    members = groups.get("mail") or ()
    having = {name for name, functions in functions_of(_belonging(groups, members)).items() if function in functions}
    listed = [name for name in groups.get(function) or () if name in having]
    return listed or [name for name in members if name in having]


def accounts_host(groups: Mapping[str, Sequence[str]], backend: str | None = None, provider: str | None = None) -> str:
    """Return the inventory name of the host on which accounts are changed between two runs.

    backend: mail_accounts_backend; provider: mail_directory_provider. Both may be left out, as in the inventory.
    """
    problems: list[Problem] = []
    given = {"mail_accounts_backend": backend} if backend else {}
    said = parse_fields(accounts.Variables, given, "", problems, prefix="")
    if problems:
        raise AnsibleFilterError("\n".join(map(str, problems)))
    store = accounts.lookups(said).store
    function = store.function if store else "mail_store"
    hosts = hosts_with(groups, function)
    if not hosts:
        raise AnsibleFilterError(f"accounts_host: no host of the site has the function {function}")
    return store.choose(hosts, provider or "") if store else hosts[0]


def _belonging(groups: Mapping[str, Sequence[str]], members: Sequence[str]) -> dict[str, list[str]]:
    listed = {group: set(groups.get(group) or ()) for group in FUNCTIONS}
    return {name: [group for group, names in listed.items() if name in names] for name in members}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"hosts_with": hosts_with, "accounts_host": accounts_host}

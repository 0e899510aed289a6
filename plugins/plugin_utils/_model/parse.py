# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From variables to a Site, or every problem at once.

Everything here is pure. What the site's hosts are like (release, memory, addresses) comes in as data, so that the same
model serves a run, a simulation and a test.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import account_problems
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import (
    ARCHITECTURES,
    FUNCTIONS,
    RELEASES,
    Host,
    HostInput,
    functions_of,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.renamed import successor
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import (
    Problem,
    SiteError,
    field_types,
    nearest,
    parse_fields,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.topology import (
    directory_left,
    mailboxes_left,
    owner_kept_out,
    topology_problems,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused, hostname
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import HostVariables, SiteVariables


def parse_site(
    variables: Mapping[str, t.Any],
    hosts: Mapping[str, HostInput],
    concerns: Iterable[t.Any] = (),
    secrets: Secrets | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    moving: bool = False,
) -> Site:
    """Return the site that the variables describe, or raise SiteError with every problem that they have.

    variables: all mail_* variables of the site, accounts of mail_accounts_source already among mail_accounts.
    hosts: the hosts of group mail by inventory name, with their groups, mail_host_* variables and what was seen there.
    concerns: modules with an optional dataclass Variables and an optional function check(site); one of them has a
    function lookups(Variables) that says where accounts live.
    groups: those that the inventory has, an empty one too, with their hosts in its order.
    moving: whether the directory is being moved, so that it need not be where the site wants it.
    """
    concerns = list(concerns)
    problems: list[Problem] = []
    owners: dict[type, Mapping[str, t.Any]] = {SiteVariables: {}}
    owners.update({concern.Variables: {} for concern in concerns if hasattr(concern, "Variables")})
    known = {name: owner for owner in owners for name in field_types(owner)}
    per_host = set(field_types(HostVariables))
    for name, value in variables.items():
        if name in known:
            owners[known[name]] = {**owners[known[name]], name: value}
        elif name not in per_host and not name.startswith("mail_x_"):
            hint = nearest(name, [*known, *per_host])
            unknown = f"is not known{hint}; names of your own start with mail_x_"
            problems.append(Problem(name, None, successor(name) or unknown))
    parsed = {owner: parse_fields(owner, values, "", problems, prefix="") for owner, values in owners.items()}
    parsed_hosts = _hosts(hosts, problems)
    core = parsed.get(SiteVariables)
    if core is None or not parsed_hosts:
        raise SiteError(problems)
    lookups = [
        concern.lookups(said)
        for concern in concerns
        if hasattr(concern, "lookups") and (said := parsed[concern.Variables])
    ]
    site = Site(
        core, parsed_hosts, parsed, secrets or Secrets(), groups or {}, next(iter(lookups), Lookups()), concerns
    )
    problems.extend(topology_problems(site))
    problems.extend(account_problems(site))
    problems.extend(site.lookups.check(site))
    problems.extend(mailboxes_left(site))
    problems.extend(owner_kept_out(site))
    if not moving:
        problems.extend(directory_left(site))
    if all(part is not None for part in parsed.values()):
        for concern in concerns:
            problems.extend(getattr(concern, "check", lambda _site: ())(site))
    if problems:
        raise SiteError(problems)
    return site


def _hosts(inputs: Mapping[str, HostInput], problems: list[Problem]) -> dict[str, Host]:
    functions = functions_of({name: item.groups for name, item in inputs.items()})
    hosts: dict[str, Host] = {}
    for name, item in inputs.items():
        for group in item.groups:
            if group.startswith("mail_") and group not in FUNCTIONS:
                allowed = f"is no group of the site{nearest(group, FUNCTIONS)} (known: {', '.join(FUNCTIONS)})"
                problems.append(Problem(f"group {group} of host {name}", None, allowed))
        if item.look.release not in RELEASES:
            known = ", ".join(RELEASES)
            problems.append(Problem(f"Debian release of host {name}", item.look.release, f"must be one of {known}"))
            continue
        if item.look.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            problems.append(Problem(f"architecture of host {name}", item.look.architecture, f"must be one of {known}"))
        said = parse_fields(HostVariables, item.variables, f"host {name}: ", problems, prefix="")
        if said is None:
            continue
        try:
            full = said.mail_host_name or hostname(name)
        except Refused:
            allowed = "must be set, since the inventory name is no fully qualified host name"
            problems.append(Problem(f"mail_host_name of host {name}", None, allowed))
            continue
        twin = next((other for other in hosts.values() if other.name == full), None)
        if twin:
            problems.append(Problem(f"mail_host_name of host {name}", full, f"is {twin.inventory_name}'s name already"))
        addresses = tuple(said.mail_host_addresses or item.look.addresses)
        hosts[name] = Host(name, full, addresses, functions[name], item.look, tuple(said.mail_client_senders))
    if not inputs:
        problems.append(Problem("group mail", None, "must hold at least one host"))
    return hosts

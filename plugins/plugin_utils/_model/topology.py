# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with who does what, and what would be left behind on hosts that do it no more."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import (
    CLIENT,
    FALLBACK,
    FUNCTIONS,
    Function,
    Host,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL, VMAIL_HOME, VMAIL_UID, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import domain_of


def nobody(function: Function) -> Problem:
    """Return what is wrong with a group that the inventory has, and that holds no host."""
    allowed = f"must hold a host, or be left out: then the hosts of {FALLBACK[function]} do it"
    return Problem(f"group {function}", None, f"{allowed} ({FUNCTIONS[function]})")


def topology_problems(site: Site) -> Iterable[Problem]:
    """Yield what is wrong with who does what."""
    unplaced = [host.inventory_name for host in site.hosts.values() if not host.functions]
    if len(unplaced) == len(site.hosts):
        allowed = f"hold {len(unplaced)} hosts: put each into the groups for its work ({', '.join(FUNCTIONS)})"
        yield Problem("group mail", None, allowed)
        return
    losses: dict[Function, str] = {"mail_mx": "no mail comes in", "mail_store": "there are no mailboxes"}
    for function, loss in losses.items():
        if not site.hosts_with(function):
            yield Problem(f"group {function}", None, f"must hold a host: without one {loss}")
    stores = site.hosts_with("mail_store")
    if len(stores) > 1:
        yield Problem("group mail_store", ", ".join(host.name for host in stores), "must hold exactly one host")
    for function in sorted(function for function in FALLBACK if site.is_empty(function)):
        if function != "mail_filter":  # which may be empty where nothing filters (_concerns/filter/content_filter.py)
            yield nobody(function)
    for host in site.clients:
        for sender in host.client_senders:
            if domain_of(sender) not in site.domains:
                allowed = f"must be in one of mail_domains ({', '.join(site.domains)})"
                yield Problem(f"mail_client_senders of host {host.inventory_name}", sender, allowed)
        others = ", ".join(sorted(host.functions - {CLIENT}))
        if others:
            allowed = f"is in {others} too: a client hands its mail on and does nothing else"
            yield Problem(f"group {CLIENT} of host {host.inventory_name}", None, allowed)
    provider, holders = site.core.mail_directory_provider, site.hosts_with("mail_directory")
    if provider and provider not in [host.inventory_name for host in holders]:
        known = ", ".join(host.inventory_name for host in holders)
        yield Problem("mail_directory_provider", provider, f"must be a host of group mail_directory ({known})")


def directory_holders(site: Site) -> list[Host]:
    """Return the hosts that have accounts and passwords as their directory takes changes, or as they were brought."""
    hosts = list(site.hosts.values())
    live = [host for host in hosts if "directory" in host.look.holds]
    return live or [host for host in hosts if "arriving" in host.look.holds]


def directory_left(site: Site) -> Iterable[Problem]:
    """Yield what would leave accounts and passwords behind on another host than the one that is to change them."""
    provider, holders = site.provider, directory_holders(site)
    if provider is None or not holders:
        return
    where = "mail_directory_provider" if site.core.mail_directory_provider else "group mail_directory"
    names = ", ".join(host.inventory_name for host in holders)
    if provider not in holders:
        allowed = (
            f"would be an empty directory: the accounts and passwords are on {names}. Run the playbook "
            "postamt.mail.move_directory, which takes them along, or name that host again"
        )
        yield Problem(where, provider.inventory_name, allowed)
    elif len(holders) > 1:
        allowed = (
            "each hold a directory that takes changes: keep one, and on the others rename "
            "/var/lib/postamt/ldap/applied.json; their databases stay where they are"
        )
        yield Problem(where, names, allowed)


def mailboxes_left(site: Site) -> Iterable[Problem]:
    """Yield what would leave mailboxes behind on a host that serves none."""
    stores = site.hosts_with("mail_store")
    for host in site.hosts.values():
        if "mailboxes" in host.look.holds and stores and host not in stores:
            copy = f"rsync -aHAX --numeric-ids {VMAIL_HOME}/ root@{stores[0].name}:{VMAIL_HOME}/"
            allowed = (
                f"would leave the mailboxes of {host.inventory_name} behind: put this host back; or stop Dovecot on "
                f"it, copy the mailboxes (on {host.name}: {copy}), and rename the folder when that is done "
                f"(mv {VMAIL_HOME} {VMAIL_HOME}.moved)"
            )
            yield Problem("group mail_store", stores[0].inventory_name, allowed)


def owner_kept_out(site: Site) -> Iterable[Problem]:
    """Yield what keeps the mailboxes' owner from the number that it has on all hosts."""
    for host in site.hosts_with("mail_store") if not site.lookups.on_host else ():
        if host.look.in_the_way:
            allowed = (
                f"must be user and group number {VMAIL_UID}, so that mailboxes can move to another host, but there "
                f"{', '.join(host.look.in_the_way)}. Stop the programs of that user or group and give it another "
                "number (usermod -u, groupmod -g); find its files with find -user and find -group and the old number, "
                "and chown them"
            )
            yield Problem(f"{VMAIL} of host {host.inventory_name}", None, allowed)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host of the site: what it does (the groups below `mail`), and what was seen there."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import (
    Address,
    Count,
    Digest,
    Flag,
    HostName,
    IPAddress,
    Version,
    Word,
)

# What a release ships decides the branch where the program is not installed yet.
RELEASES: dict[str, dict[str, str]] = {
    "bookworm": {"postfix": "3.7", "dovecot": "2.3", "slapd": "2.5"},
    "trixie": {"postfix": "3.10", "dovecot": "2.4", "slapd": "2.6"},
}
ARCHITECTURES = ("amd64", "arm64")
Function = t.Literal["mail_mx", "mail_submission", "mail_filter", "mail_store", "mail_directory", "mail_client"]
FUNCTIONS: dict[Function, str] = {  # the groups below `mail`, and what a host in one of them does
    "mail_mx": "port 25 from the world",
    "mail_submission": "ports 587 and 465 from users",
    "mail_filter": "amavis and ClamAV",
    "mail_store": "mailboxes, IMAP and POP3",
    "mail_directory": "OpenLDAP",
    "mail_client": "another server, which hands its mail to the site's submission hosts",
}
CLIENT: t.Final = "mail_client"
FALLBACK: dict[Function, Function] = {
    "mail_submission": "mail_mx",
    "mail_filter": "mail_mx",
    "mail_directory": "mail_store",
}


@dataclasses.dataclass(frozen=True)
class Look:
    """What one read-only look at a host found; a fresh host has no versions of mail programs.

    It is the host that says so: the types are what other hosts' configurations may get of it.
    """

    release: Word = Word("trixie")
    architecture: Word = Word("amd64")
    memory: Count = Count(0)
    swap: Count = Count(0)
    cores: Count = Count(1)
    versions: dict[Word, Version] = dataclasses.field(default_factory=dict)
    addresses: list[IPAddress] = dataclasses.field(default_factory=list)
    ipv6: Flag = Flag(True)
    clock: int = 0  # seconds by which it is ahead of the controller's, 0 for a few
    ca: Digest = Digest("")  # SHA-256 of the CA that the host trusts as the site's
    unclaimed: list[Word] = dataclasses.field(default_factory=list)  # programs that this collection has never set up
    claimed: list[Word] = dataclasses.field(default_factory=list)  # programs that it has set up
    firewall: list[str] = dataclasses.field(default_factory=list)  # what others let in or keep out
    holds: list[Word] = dataclasses.field(default_factory=list)  # what the site would miss (_engine/host.py)
    in_the_way: list[str] = dataclasses.field(default_factory=list)  # what keeps VMAIL from its number
    masked: list[str] = dataclasses.field(default_factory=list)  # units that may not start


@dataclasses.dataclass(frozen=True)
class HostInput:
    """One host of the inventory, unparsed."""

    groups: Sequence[str] = ("mail",)
    variables: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    look: Look = dataclasses.field(default_factory=Look)


@dataclasses.dataclass(frozen=True)
class Host:
    """One host of the site."""

    inventory_name: str
    name: HostName
    addresses: tuple[str, ...]
    functions: frozenset[Function]
    look: Look
    client_senders: tuple[Address, ...] = ()
    link_named: bool = True  # whether its certificate has the name by which other hosts know its links

    def has(self, function: Function) -> bool:
        """Tell whether the host has a function such as mail_store."""
        return function in self.functions

    def version(self, program: str) -> tuple[int, int]:
        """Return major and minor version of a program: the installed one, else the release's."""
        text = self.look.versions.get(Word(program)) or RELEASES[self.look.release].get(program, "0.0")
        major, minor, *_rest = text.split(".")
        return int(major), int(minor)


def client_secret(host: Host) -> str:
    """Return the name of the password by which a host of group mail_client logs in."""
    return f"client:{host.name}"


def functions_of(groups_of: Mapping[str, Sequence[str]]) -> dict[str, frozenset[Function]]:
    """Return what each host does: by its groups, and by those that were left out; a host alone does everything."""
    placed = {name: {function for function in FUNCTIONS if function in groups} for name, groups in groups_of.items()}
    servers = [name for name, groups in placed.items() if CLIENT not in groups]
    if len(servers) == 1 and not placed[servers[0]]:
        placed[servers[0]] = set(FUNCTIONS) - {CLIENT}
    held = set().union(*placed.values())
    for function, other in FALLBACK.items():
        if function not in held:
            for groups in placed.values():
                if other in groups:
                    groups.add(function)
    return {name: frozenset(groups) for name, groups in placed.items()}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site: variables and hosts, checked. What it finds out by looking at all of them, it does once."""

from __future__ import annotations

import dataclasses
import functools
import secrets as random_secrets
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys, MadeUp
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Known, Shown
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import (
    CLIENT,
    FUNCTIONS,
    Function,
    Host,
    client_secret,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, Domain, HostName
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account, SiteVariables

T = t.TypeVar("T")
TLS_FOLDER = "/etc/postamt/tls"
CA_FILE = f"{TLS_FOLDER}/ca.pem"  # the site's own CA, on every host
VMAIL = "vmail"  # owns the mailboxes of the directory's accounts
VMAIL_UID = 5000  # the same on all hosts, so that mailboxes can move
VMAIL_HOME = "/var/vmail"
GENERATED = r"[A-Za-z0-9_-]{24}"  # what a generated password looks like: 144 random bits
LOOPBACK = ("127.0.0.0/8", "::1")
ROLE_ADDRESSES = ("postmaster", "abuse", "hostmaster")  # RFC 2142


class Secrets:
    """Passwords that the site needs beyond those its administrator set; missing ones are made and remembered."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self.known = dict(known or {})
        self.made: dict[str, str] = {}

    def get(self, name: str) -> str:
        if name not in self.known:
            self.known[name] = self.made[name] = random_secrets.token_urlsafe(18)
        return self.known[name]


@dataclasses.dataclass(frozen=True)
class KeyPair:
    """Where a certificate lies on the host: the chain, leaf first, and its key (0640 root:ssl-cert)."""

    chain: str
    key: str

    @classmethod
    def called(cls, name: str) -> KeyPair:
        return cls(f"{TLS_FOLDER}/{name}/chain.pem", f"{TLS_FOLDER}/{name}/key.pem")


class Site:
    """The parsed, checked site. What it finds out by looking at all hosts or accounts, it does once, not for each."""

    def __init__(
        self,
        core: SiteVariables,
        hosts: dict[str, Host],
        parts: dict[type, t.Any],
        secrets: Secrets,
        groups: Mapping[str, Sequence[str]],
        lookups: Lookups,
        concerns: Sequence[t.Any] = (),
        dkim_keys: Mapping[Domain, DomainKeys] | None = None,
    ) -> None:
        self.core = core
        self.port_25: Mapping[str, Sequence[Shown]] = {}  # what hosts show there, by their names in the inventory
        self.tlsa: Mapping[str, Known] = {}  # what is known of their TLSA records, by their names
        self.dkim_keys: Mapping[Domain, DomainKeys] = MadeUp() if dkim_keys is None else dkim_keys
        self._concerns = concerns
        self._answers_of = ""  # the last host of asked()
        self._answers: dict[str, list[tuple[str, t.Any]]] = {}
        self.lookups = lookups
        self.hosts = hosts
        self.secrets = secrets
        self._parts = parts
        self._groups = groups
        self.domains: list[Domain] = core.mail_domains
        self.accounts: list[Account] = core.mail_accounts
        self.server_name: HostName = core.mail_server_name or self._named_after().name
        self.aliases: dict[Address, list[Address]] = {
            alias: [*dict.fromkeys(targets)] for alias, targets in core.mail_aliases.items()
        }

    def _named_after(self) -> Host:
        return next(iter([*self.hosts_with("mail_store"), *self.hosts.values()]))

    def on(self, hosts: dict[str, Host]) -> Site:
        """Return the same site on hosts of which more is known."""
        parts = (self._parts, self.secrets, self._groups, self.lookups, self._concerns, self.dkim_keys)
        found = Site(self.core, hosts, *parts)
        found.port_25, found.tlsa = self.port_25, self.tlsa
        return found

    def of(self, variables: type[T]) -> T:
        """Return the parsed variables of one concern."""
        return t.cast(T, self._parts[variables])

    def asked(self, what: str, host: Host) -> list[tuple[str, t.Any]]:
        """Return what concerns that apply to a host say of it, by the name of a function: links, memory.

        The answers for the last host are kept: whoever derives its plans asks several times.
        """
        if self._answers_of != host.inventory_name:
            self._answers_of, self._answers = host.inventory_name, {}
        answers = self._answers
        if what not in answers:
            saying = [one for one in self._concerns if hasattr(one, what) and self.applies(one, host)]
            found = [(one.__name__.rpartition(".")[2], getattr(one, what)(self, host)) for one in saying]
            answers[what] = [(name, answer) for name, answer in found if answer is not None]
        return answers[what]

    def applies(self, concern: t.Any, host: Host) -> bool:
        """Tell whether a concern contributes to a host: to every one, if it has no function applies."""
        return not hasattr(concern, "applies") or bool(concern.applies(self, host))

    @property
    def suffix(self) -> str:
        return self.core.mail_directory_suffix

    @property
    def public_certificate(self) -> KeyPair:
        """What users and other servers are shown."""
        return KeyPair.called("public")

    @property
    def internal_certificate(self) -> KeyPair:
        """The host's own certificate of the site's CA: for its name and localhost, whatever the public one is."""
        return KeyPair.called("internal")

    def service_dn(self, service: str) -> str:
        """Return the DN by which a service (postfix, dovecot, saslauthd) asks the directory."""
        return f"cn={service},ou=services,{self.suffix}"

    @property
    def clients(self) -> list[Host]:
        """The other servers that log in to hand their mail over."""
        return self.hosts_with(CLIENT)

    @property
    def clients_base(self) -> str:
        return f"ou=clients,{self.suffix}"

    @property
    def accounts_base(self) -> str:
        return f"ou=accounts,{self.suffix}"

    @property
    def postmaster(self) -> Address | None:
        """Who reads the mail that RFC 2142 wants read."""
        if self.core.mail_postmaster:
            return self.core.mail_postmaster
        return next((a.address for a in self.accounts if a.enabled), None)

    @functools.cached_property
    def all_aliases(self) -> dict[Address, list[Address]]:
        """Aliases as written, and the role addresses of each domain that nothing else takes."""
        taken = {a.address for a in self.accounts} | {x for a in self.accounts for x in a.aliases} | set(self.aliases)
        reader = self.postmaster
        roles = {
            Address(f"{word}@{name}"): [reader]
            for name in self.domains
            for word in ROLE_ADDRESSES
            if reader and f"{word}@{name}" not in taken
        }
        return {**self.aliases, **roles}

    @functools.cached_property
    def longest_expansion(self) -> int:
        """How many addresses one can become at most: Postfix expands each address once, so all lists add up."""
        lists = [*self.all_aliases.values(), *([*a.forward, a.address] for a in self.accounts)]
        return 1 + sum(len(targets) - 1 for targets in lists if targets)

    def sends(self, host: Host) -> bool:
        """Tell whether a host hands mail to mailboxes and to the world: each that takes it from outside or users."""
        return host.has("mail_mx") or host.has("mail_submission")

    def hands_over(self, host: Host) -> bool:
        """Tell whether a host's own mail goes to those that send: a server of the site that does not send itself."""
        return bool(host.functions) and not self.sends(host) and not host.has(CLIENT)

    @functools.cached_property
    def senders(self) -> list[Host]:
        return [host for host in self.hosts.values() if self.sends(host)]

    def shows_public(self, host: Host) -> bool:
        """Tell whether users or other servers are shown a certificate by a host."""
        return self.sends(host) or host.has("mail_store")

    @functools.cached_property
    def provider(self) -> Host | None:
        """The host whose directory takes changes; every other one follows it."""
        holders = self.hosts_with("mail_directory") if self.lookups.directory else []
        named = [self.core.mail_directory_provider, *self._groups.get("mail_directory", ())]
        wanted = [self.hosts[name] for name in named if name in self.hosts and self.hosts[name] in holders]
        return next(iter(wanted or holders), None)

    @property
    def has_replicas(self) -> bool:
        return self.lookups.directory and len(self.hosts_with("mail_directory")) > 1

    @functools.cached_property
    def own_addresses(self) -> list[str]:
        """Addresses and networks from which nobody but the site's hosts can come."""
        return [*LOOPBACK, *(address for host in self.hosts.values() for address in host.addresses)]

    @functools.cached_property
    def _by_function(self) -> dict[Function, list[Host]]:
        return {function: [host for host in self.hosts.values() if host.has(function)] for function in FUNCTIONS}

    def hosts_with(self, function: Function) -> list[Host]:
        return self._by_function[function]

    def is_empty(self, group: Function) -> bool:
        """Tell whether the inventory has a group, and no host in it."""
        return group in self._groups and not self._groups[group]

    def password_of(self, account: Account) -> str | None:
        """Return an account's password, made on first use; None where only a hash is known."""
        if account.password_hash:
            return None
        return account.password or self.secrets.get(account.address)

    def service_password(self, service: str) -> str:
        """Return the password by which a service (postfix, dovecot, saslauthd) asks the directory."""
        return self.secrets.get(f"service:{service}")

    def client_password(self, host: Host) -> str:
        """Return the password by which a host of group mail_client logs in at the submission hosts."""
        return self.secrets.get(client_secret(host))

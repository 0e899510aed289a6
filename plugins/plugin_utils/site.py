# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site as its administrator means it: one strict model of all mail_* variables and hosts.

Everything here is pure: mappings in, a Site or every problem at once out. What the site's hosts are like (release,
memory, addresses) comes in as data, so that the same model serves a run, a simulation and a test.
"""

from __future__ import annotations

import dataclasses
import functools
import secrets as random_secrets
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.postamt.mail.plugins.module_utils.circles import circle, without_plus
from ansible_collections.postamt.mail.plugins.plugin_utils.lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils.renamed import successor
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import (
    DAYS,
    Address,
    Count,
    Digest,
    Domain,
    Flag,
    Hash,
    HostName,
    IPAddress,
    Login,
    Path,
    Problem,
    Recipient,
    Refused,
    Secret,
    SiteError,
    Size,
    Version,
    Word,
    field_types,
    hostname,
    nearest,
    parse_fields,
    var,
)

T = t.TypeVar("T")

TLS_FOLDER = "/etc/postamt/tls"
CA_FILE = f"{TLS_FOLDER}/ca.pem"  # the site's own CA, on every host
VMAIL = "vmail"  # owns the mailboxes of the directory's accounts
VMAIL_UID = 5000  # the same on all hosts, so that mailboxes can move
VMAIL_HOME = "/var/vmail"

# What a release ships decides the branch where the program is not installed yet.
RELEASES: dict[str, dict[str, str]] = {
    "bookworm": {"postfix": "3.7", "dovecot": "2.3", "slapd": "2.5"},
    "trixie": {"postfix": "3.10", "dovecot": "2.4", "slapd": "2.6"},
}
ARCHITECTURES = ("amd64", "arm64")
Duty = t.Literal["mail_mx", "mail_submission", "mail_filter", "mail_store", "mail_directory", "mail_client"]
DUTIES: dict[Duty, str] = {  # the groups below `mail`, and what a host in one of them does
    "mail_mx": "port 25 from the world",
    "mail_submission": "ports 587 and 465 from users",
    "mail_filter": "amavis and ClamAV",
    "mail_store": "mailboxes, IMAP and POP3",
    "mail_directory": "OpenLDAP",
    "mail_client": "another server, which hands its mail to the site's submission hosts",
}
CLIENT: t.Final = "mail_client"
FALLS_TO: dict[Duty, Duty] = {
    "mail_submission": "mail_mx",
    "mail_filter": "mail_mx",
    "mail_directory": "mail_store",
}
GENERATED = r"[A-Za-z0-9_-]{24}"  # what a generated password looks like: 144 random bits
PASSWORD_BYTES = 127  # saslauthd asks LDAP with no more (lak.h, LAK_BUF_LEN)
PASSWORD_LENGTHS = range(8, 25)  # NIST SP 800-63B wants 8 at least; a generated one has to do, too
LOOPBACK = ("127.0.0.0/8", "::1")
ROLE_ADDRESSES = ("postmaster", "abuse", "hostmaster")  # RFC 2142


@dataclasses.dataclass(frozen=True)
class Account:
    """One person's or program's mail account."""

    address: Login = var(
        "Login name and primary address, without + % ! * ? / before the @.", example="alice@example.org"
    )
    password: Secret | None = var("Password in clear; one is generated where neither it nor a hash is given.", None)
    password_hash: Hash | None = var(
        "Hash that OpenLDAP checks, as it stores it or as Dovecot or crypt(3) write it.", None,
        example='"{ARGON2}$argon2id$v=19$..."',
    )  # fmt: skip
    name: str = var("Display name.", "")
    quota: Size | None = var("Limit of the mailbox, a multiple of 1024 bytes; 0 for none.", None, example="2G")
    aliases: list[Login] = var("Further addresses of the same mailbox; the account may send as each.", [])
    forward: list[Address] = var("Addresses that get its mail.", [])
    keep_copy: bool = var("Whether forwarded mail is also kept in the mailbox.", False)
    enabled: bool = var("A disabled account neither logs in nor receives mail; its mail is kept.", True)
    renamed_from: Address | None = var(
        "Address that the account had before: mailbox, password and quota go with it. It may stay here afterwards.",
        None,
    )

    def __post_init__(self) -> None:
        # An export lists an account's own address among the others, or one twice.
        object.__setattr__(self, "aliases", [one for one in dict.fromkeys(self.aliases) if one != self.address])
        object.__setattr__(self, "forward", [*dict.fromkeys(self.forward)])

    @property
    def domain(self) -> Domain:
        return domain_of(self.address)


@dataclasses.dataclass(frozen=True)
class AccountsSource:
    """Accounts that another system exports."""

    file: str = var(
        "JSON, YAML, CSV or docker-mailserver's postfix-accounts.cf on the controller, relative to the folder that "
        "holds the inventory, and in no folder that Ansible reads.",
        example="people.csv",
    )
    query: str = var("JMESPath expression that turns the file's content into a list of accounts.", "@")


@dataclasses.dataclass(frozen=True)
class SiteVariables:
    """Who and what the site is."""

    mail_domains: list[Domain] = var(
        "Domains that receive mail here, the first one the main one; Unicode is accepted.", example="[example.org]"
    )
    mail_server_name: HostName | None = var(
        "Name that users and other servers connect to; by default that of the host with the mailboxes.", None,
        example="mail.example.org",
    )  # fmt: skip
    mail_accounts: list[Account] = var("The accounts.", [], example="[{address: alice@example.org}]")
    mail_accounts_source: AccountsSource | None = var("A file with further accounts.", None)
    mail_accounts_exclusive: bool = var(
        "Whether the inventory alone says which accounts and aliases there are: accounts that others added to the "
        "directory are disabled, addresses that others added are removed.", False,
    )  # fmt: skip
    mail_accounts_grace_days: int = var(
        "Days for which an account that postamt.mail.account makes absent is kept, disabled, with its mail.", 30,
        within=range(DAYS[-1] + 1),
    )  # fmt: skip
    mail_password_min_length: int = var(
        "Fewest characters of an account's password, wherever one is set: from 8 to 24.", 10
    )
    mail_directory_provider: str | None = var(
        "Inventory name of the host whose directory takes changes, where mail_directory holds several; by default the "
        "first. The others follow it.", None,
    )  # fmt: skip
    mail_directory_suffix: str = var("Suffix (root DN) of the collection's own directory.", "o=mail")
    mail_aliases: dict[Recipient, list[Address]] = var(
        "Addresses that stand for one or several others.", {}, example="{info@example.org: [alice@example.org]}"
    )
    mail_quota: Size = var(
        "Limit of a mailbox whose account names none, a multiple of 1024 bytes; 0 for none.", Size(0), example="2G"
    )
    mail_postmaster: Recipient | None = var(
        "Who reads mail to postmaster, abuse and hostmaster of each domain and to the hosts' root; by default the "
        "first enabled account.", None,
    )  # fmt: skip
    mail_adopt: bool = var(
        "Whether this collection takes the place of a mail configuration that is neither Debian's nor its own; "
        "otherwise a run stops there and shows the differences. What it replaces is kept on the host.", False,
    )  # fmt: skip
    mail_state_dir: Path | None = var(
        "Folder on the controller for the site's CA, generated passwords and records of what was applied; by "
        "default ~/.local/state/postamt.mail/<mail_server_name>. Back it up.", None,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class HostVariables:
    """What is said of one host, usually in host_vars; what is absent is looked up on the host."""

    mail_host_name: HostName | None = var("Fully qualified name of the host; by default its inventory name.", None)
    mail_host_addresses: list[IPAddress] = var("Addresses of the host, IPv4 and IPv6; by default looked up.", [])
    mail_client_senders: list[Address] = var(
        "Sender addresses in the site's domains that programs of a host of group mail_client use.", [],
        example="[wiki@example.org]",
    )  # fmt: skip


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
    holds: list[Word] = dataclasses.field(default_factory=list)  # what the site would miss: module_utils/host.py
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
    duties: frozenset[Duty]
    look: Look
    client_senders: tuple[Address, ...] = ()
    link_named: bool = True  # whether its certificate has the name by which other hosts know its links

    def does(self, duty: Duty) -> bool:
        """Tell whether the host has a duty such as mail_store."""
        return duty in self.duties

    def version(self, program: str) -> tuple[int, int]:
        """Return major and minor version of a program: the installed one, else the release's."""
        text = self.look.versions.get(Word(program)) or RELEASES[self.look.release].get(program, "0.0")
        major, minor, *_rest = text.split(".")
        return int(major), int(minor)


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
    ) -> None:
        self.core = core
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
        return Site(self.core, hosts, self._parts, self.secrets, self._groups, self.lookups)

    def of(self, variables: type[T]) -> T:
        """Return the parsed variables of one concern."""
        return t.cast(T, self._parts[variables])

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
        return host.does("mail_mx") or host.does("mail_submission")

    @functools.cached_property
    def senders(self) -> list[Host]:
        return [host for host in self.hosts.values() if self.sends(host)]

    def shows_public(self, host: Host) -> bool:
        """Tell whether users or other servers are shown a certificate by a host."""
        return self.sends(host) or host.does("mail_store")

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
    def _by_duty(self) -> dict[Duty, list[Host]]:
        return {duty: [host for host in self.hosts.values() if host.does(duty)] for duty in DUTIES}

    def hosts_with(self, duty: Duty) -> list[Host]:
        return self._by_duty[duty]

    def is_empty(self, group: Duty) -> bool:
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


def client_secret(host: Host) -> str:
    """Return the name of the password by which a host of group mail_client logs in."""
    return f"client:{host.name}"


def domain_of(value: str) -> Domain:
    return Domain(value.rpartition("@")[2])


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
    site = Site(core, parsed_hosts, parsed, secrets or Secrets(), groups or {}, next(iter(lookups), Lookups()))
    problems.extend(_topology(site))
    problems.extend(_rules(site))
    problems.extend(site.lookups.check(site))
    problems.extend(_mailboxes_left(site))
    problems.extend(_owner_kept_out(site))
    if not moving:
        problems.extend(directory_left(site))
    if all(part is not None for part in parsed.values()):
        for concern in concerns:
            problems.extend(getattr(concern, "check", lambda _site: ())(site))
    if problems:
        raise SiteError(problems)
    return site


def _hosts(inputs: Mapping[str, HostInput], problems: list[Problem]) -> dict[str, Host]:
    duties = duties_of({name: item.groups for name, item in inputs.items()})
    hosts: dict[str, Host] = {}
    for name, item in inputs.items():
        for group in item.groups:
            if group.startswith("mail_") and group not in DUTIES:
                allowed = f"is no group of the site{nearest(group, DUTIES)} (known: {', '.join(DUTIES)})"
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
        hosts[name] = Host(name, full, addresses, duties[name], item.look, tuple(said.mail_client_senders))
    if not inputs:
        problems.append(Problem("group mail", None, "must hold at least one host"))
    return hosts


def duties_of(groups_of: Mapping[str, Sequence[str]]) -> dict[str, frozenset[Duty]]:
    """Return what each host does: by its groups, and by those that were left out; a host alone does everything."""
    placed = {name: {duty for duty in DUTIES if duty in groups} for name, groups in groups_of.items()}
    servers = [name for name, groups in placed.items() if CLIENT not in groups]
    if len(servers) == 1 and not placed[servers[0]]:
        placed[servers[0]] = set(DUTIES) - {CLIENT}
    held = set().union(*placed.values())
    for duty, other in FALLS_TO.items():
        if duty not in held:
            for groups in placed.values():
                if other in groups:
                    groups.add(duty)
    return {name: frozenset(groups) for name, groups in placed.items()}


def nobody(duty: Duty) -> Problem:
    """Return what is wrong with a group that the inventory has, and that holds no host."""
    allowed = f"must hold a host, or be left out: then the hosts of {FALLS_TO[duty]} do it"
    return Problem(f"group {duty}", None, f"{allowed} ({DUTIES[duty]})")


def _topology(site: Site) -> Iterable[Problem]:
    """Yield what is wrong with who does what."""
    unplaced = [host.inventory_name for host in site.hosts.values() if not host.duties]
    if len(unplaced) == len(site.hosts):
        allowed = f"hold {len(unplaced)} hosts: put each into the groups of what it does ({', '.join(DUTIES)})"
        yield Problem("group mail", None, allowed)
        return
    losses: dict[Duty, str] = {"mail_mx": "no mail comes in", "mail_store": "there are no mailboxes"}
    for duty, loss in losses.items():
        if not site.hosts_with(duty):
            yield Problem(f"group {duty}", None, f"must hold a host: without one {loss}")
    stores = site.hosts_with("mail_store")
    if len(stores) > 1:
        yield Problem("group mail_store", ", ".join(host.name for host in stores), "must hold exactly one host")
    for duty in sorted(duty for duty in FALLS_TO if site.is_empty(duty)):
        if duty != "mail_filter":  # which may be empty where nothing filters (concerns/content_filter.py)
            yield nobody(duty)
    for host in site.clients:
        for sender in host.client_senders:
            if domain_of(sender) not in site.domains:
                allowed = f"must be in one of mail_domains ({', '.join(site.domains)})"
                yield Problem(f"mail_client_senders of host {host.inventory_name}", sender, allowed)
        others = ", ".join(sorted(host.duties - {CLIENT}))
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
            "each hold accounts and passwords that are changed there: decide on one, and on the others rename "
            "/var/lib/postamt/ldap/applied.json; their databases stay where they are"
        )
        yield Problem(where, names, allowed)


def _mailboxes_left(site: Site) -> Iterable[Problem]:
    """Yield what would leave mailboxes behind on a host that serves none."""
    stores = site.hosts_with("mail_store")
    for host in site.hosts.values():
        if "mailboxes" in host.look.holds and stores and host not in stores:
            copy = f"rsync -aHAX --numeric-ids {VMAIL_HOME}/ root@{stores[0].name}:{VMAIL_HOME}/"
            allowed = (
                f"would leave the mailboxes of {host.inventory_name} behind: put it back; or stop Dovecot there, copy "
                f"them (on {host.name}: {copy}), and say that it is done by renaming the folder "
                f"(mv {VMAIL_HOME} {VMAIL_HOME}.moved)"
            )
            yield Problem("group mail_store", stores[0].inventory_name, allowed)


def _owner_kept_out(site: Site) -> Iterable[Problem]:
    """Yield what keeps the mailboxes' owner from the number that it has on all hosts."""
    for host in site.hosts_with("mail_store") if not site.lookups.on_host else ():
        if host.look.in_the_way:
            allowed = (
                f"must be user and group number {VMAIL_UID}, so that mailboxes can move to another host, but there "
                f"{', '.join(host.look.in_the_way)}. Renumber while nothing of theirs runs: groupmod -g and usermod "
                "-u, then chown for their files, which find -user and find -group with the old number list"
            )
            yield Problem(f"{VMAIL} of host {host.inventory_name}", None, allowed)


def _rules(site: Site) -> Iterable[Problem]:
    """Yield what is wrong between the variables that make up the accounts."""
    if not site.domains:
        yield Problem("mail_domains", None, "must name at least one domain")
    for name in _twice(site.domains):
        yield Problem("mail_domains", name, "is listed twice")
    local = set(site.domains)
    owner: dict[str, str] = {}
    for account in site.accounts:
        where = f"mail_accounts {account.address}"
        for used in (account.address, *account.aliases):
            place = where if used == account.address else f"{where}: aliases"
            if domain_of(used) not in local:
                yield Problem(place, used, f"must be in one of mail_domains ({', '.join(site.domains)})")
            if used in owner:
                yield Problem(place, used, f"is taken already by {owner[used]}")
            owner.setdefault(used, where)
        if account.password and account.password_hash:
            yield Problem(where, None, "must have password or password_hash, not both")
        if account.quota is not None and account.quota % 1024:
            yield Problem(f"{where}: quota", account.quota, "must be a multiple of 1024 bytes, such as 500K")
    yield from _renames(site, owner)
    yield from unfit_passwords(site)
    if site.core.mail_quota % 1024:
        yield Problem("mail_quota", site.core.mail_quota, "must be a multiple of 1024 bytes, such as 500K")
    for alias in site.aliases:
        where = f"mail_aliases {alias}"
        if domain_of(alias) not in local:
            yield Problem(where, None, f"must be in one of mail_domains ({', '.join(site.domains)})")
        if alias in owner:
            yield Problem(where, None, f"is taken already by {owner[alias]}")
        if not site.aliases[alias]:
            yield Problem(where, None, "must point to at least one address")
    roles = {f"{word}@{name}" for word in ROLE_ADDRESSES for name in site.domains}
    known = set(owner) | set(site.aliases) | roles
    yield from _targets(site, local, known)
    yield from circles(site.accounts, site.all_aliases)
    if site.core.mail_postmaster and postmaster_is_off(site):
        allowed = "is disabled: name somebody who reads mail to root and postmaster"
        yield Problem("mail_postmaster", site.core.mail_postmaster, allowed)


def postmaster_is_off(site: Site, also: str = "") -> bool:
    """Tell whether nobody reads the postmaster's mail; also: the address of an account that is going to be disabled."""
    reader = site.postmaster
    if reader is None:
        return False
    off = {
        used
        for account in site.accounts
        if not account.enabled or account.address == also
        for used in (account.address, *account.aliases)
    }
    return off.issuperset(site.aliases.get(reader, [reader]))


def unfit_passwords(site: Site) -> Iterable[Problem]:
    """Yield passwords that do not fit, those too that somebody wrote into the state folder's secrets.yml."""
    fewest = site.core.mail_password_min_length
    if fewest not in PASSWORD_LENGTHS:
        allowed = f"must be from {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]}, the length of a generated password"
        yield Problem("mail_password_min_length", fewest, allowed)
        return
    said = {f"mail_accounts {one.address}: password": one.password for one in site.accounts if one.password}
    names: list[str] = [one.address for one in site.accounts if not one.password_hash and not one.password]
    names += map(client_secret, site.clients)
    kept = {
        f"password of {name} in secrets.yml": site.secrets.known[name] for name in names if name in site.secrets.known
    }
    for where, password in {**said, **kept}.items():
        if len(password) < fewest:
            yield Problem(where, None, f"must have at least {fewest} characters (mail_password_min_length)")
        if len(password.encode()) > PASSWORD_BYTES:
            yield Problem(where, None, f"must have at most {PASSWORD_BYTES} bytes: no longer one logs in over SMTP")
        if "\t" in password:
            yield Problem(where, None, "must have no tab: Dovecot refuses a login with one")


def _renames(site: Site, owner: Mapping[str, str]) -> Iterable[Problem]:
    """Yield what is wrong with former addresses; owner: who has which address now."""
    for account in site.accounts:
        former, where = account.renamed_from, f"mail_accounts {account.address}: renamed_from"
        if former is None:
            continue
        if former == account.address:
            yield Problem(where, former, "must be another address than the account has now")
        elif former in owner and owner[former] != f"mail_accounts {account.address}":
            yield Problem(where, former, f"is an address of {owner[former]} now: remove renamed_from")
    for twice in _twice([account.renamed_from for account in site.accounts if account.renamed_from]):
        yield Problem("mail_accounts: renamed_from", twice, "stands with two accounts")


def _targets(site: Site, local: set[Domain], known: set[str]) -> Iterable[Problem]:
    pointers: list[tuple[str, Sequence[Address]]] = [(f"mail_aliases {a}", to) for a, to in site.aliases.items()]
    pointers += [(f"mail_accounts {a.address}: forward", a.forward) for a in site.accounts]
    if site.core.mail_postmaster:
        pointers.append(("mail_postmaster", [site.core.mail_postmaster]))
    for where, targets in pointers:
        for target in targets:
            if domain_of(target) in local and target not in known and without_plus(target) not in known:
                yield Problem(where, target, f"does not exist{nearest(target, known)}")


def circles(accounts: Iterable[Account], aliases: Mapping[Address, Sequence[Address]]) -> Iterable[Problem]:
    """Yield where aliases and forwards lead back to themselves and deliver nowhere on the way."""
    leads: dict[str, list[str]] = {alias: list(to) for alias, to in aliases.items()}
    kept: set[str] = set()
    for account in accounts:
        for used in (account.address, *account.aliases):
            leads[used] = [target for target in account.forward if target != account.address]
            if account.keep_copy:
                kept.add(used)
    if wrong := circle(leads, kept):
        yield Problem("mail_aliases and forwards", None, wrong)


def _twice(values: Iterable[T]) -> list[T]:
    seen: set[T] = set()
    return [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mail_* variables of a site, of an account and of a host: names, types, defaults; concerns have their own."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import DAYS, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import (
    Address,
    Domain,
    Hash,
    HostName,
    IPAddress,
    Login,
    Path,
    Recipient,
    Secret,
    Size,
)


@dataclasses.dataclass(frozen=True)
class Account:
    """One person's or program's mail account."""

    address: Login = var(
        "Login name and primary address, without + % ! * ? / before the @.", example="alice@example.org"
    )
    password: Secret | None = var("Password in clear; one is generated where neither it nor a hash is given.", None)
    password_hash: Hash | None = var(
        "Hash that OpenLDAP checks, as it stores it or as Dovecot or crypt(3) write it.", None,
        example="$2y$12$saltOfAnExample/OfWhatThisLooksLikeAndOfNobodysSecret",
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
    mail_accounts_source: AccountsSource | None = var(
        "A file with further accounts.", None, example="{file: people.csv}"
    )
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
    mail_full_check: bool = var(
        "Whether a run looks at everything again. By default a role has nothing to do where its plan is the one that "
        "was applied last and one look finds the host as that run left it.", False,
    )  # fmt: skip
    mail_state_dir: Path | None = var(
        "Folder on the controller for the site's CA, generated passwords and records of what was applied; by "
        "default ~/.local/state/postamt.mail/<mail_server_name>. Back it up.", None,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class HostVariables:
    """What is said of one host, usually in host_vars; what is absent is looked up on the host."""

    mail_host_name: HostName | None = var("Fully qualified name of the host; by default its inventory name.", None)
    mail_host_addresses: list[IPAddress] = var(
        "Addresses of the host, IPv4 and IPv6; by default looked up.", [], example="['192.0.2.25', '2001:db8::25']"
    )
    mail_client_senders: list[Address] = var(
        "Sender addresses in the site's domains that programs of a host of group mail_client use.", [],
        example="[wiki@example.org]",
    )  # fmt: skip


def domain_of(value: str) -> Domain:
    return Domain(value.rpartition("@")[2])

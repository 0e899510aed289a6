# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory's entries: what the site means by them, passwords by name, and how a changed password is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._slapd import entries as host_entries
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions, merged
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import PASSWORD_BYTES
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, client_secret
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import GENERATED, VMAIL_HOME, VMAIL_UID, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account

Values = list[str]
Attributes = dict[str, Values]

REPLICA = "replica"  # the service that copies the provider's entries, and hands users' changes to it
POLICY = "passwords"  # the entry that says what users' own passwords must be


def replicas(site: Site) -> list[str]:
    """Return the service by which replicas log in, if there are any."""
    return [REPLICA] if site.has_replicas else []


def fingerprint(key: str, kind: str, name: str, value: str) -> str:
    """Return what tells whether a password changed without telling the password (HMAC, RFC 2104)."""
    return hmac.digest(key.encode(), "\0".join((kind, name, value)).encode(), "sha256").hex()[:32]


def passwords(site: Site, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return passwords by name (address, service:NAME): {"clear": ...}, or {"hash": ...} where only that is known."""
    accounts: dict[str, Account] = {account.address: account for account in site.accounts}
    clients: dict[str, Host] = {client.name: client for client in site.clients}
    found = {}
    for name in names:
        kind, _colon, service = name.partition(":")
        if kind == "service" and service:
            found[name] = {"clear": site.service_password(service)}
        elif kind == "client" and service in clients:
            found[name] = {"clear": site.client_password(clients[service])}
        elif name in accounts:
            clear = site.password_of(accounts[name])
            found[name] = {"hash": str(accounts[name].password_hash)} if clear is None else {"clear": clear}
    return found


def secret_names(site: Site, parts: Contributions) -> list[str]:
    """Return the names of the secrets that the directory needs and no variable says."""
    generated = [one.address for one in site.accounts if not (one.password or one.password_hash)]
    services = [*merged(parts, "services", "directory service"), *replicas(site)]
    return ["fingerprint-key", *generated, *(f"service:{name}" for name in services), *map(client_secret, site.clients)]


def applied_passwords(site: Site, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return passwords as the host gets them: those that were generated as a hash.

    Nobody guesses 144 random bits, however fast the hash is, and slapd would need ten milliseconds of a processor for
    each. What people choose it hashes itself: also what somebody wrote in the place of a generated one.
    """
    generated = {one.address for one in site.accounts if not (one.password or one.password_hash)}
    return {
        name: {"hash": _salted(given["clear"])}
        if name in generated and re.fullmatch(GENERATED, given.get("clear", ""))
        else given
        for name, given in passwords(site, names).items()
    }


def _salted(clear: str) -> str:
    """Return a salted SHA-1 as every slapd knows it (slapd.conf(5), password-hash)."""
    salt = os.urandom(16)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(clear.encode() + salt).digest() + salt).decode()


def entries(site: Site, services: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the entries that the site means, without a secret in them."""
    key = site.secrets.get("fingerprint-key")
    clients = [client.name for client in site.clients]
    found = {**dict.fromkeys(services, {}), **{name: _speaks_for(site) for name in replicas(site)}}
    names = [
        *(f"service:{name}" for name in sorted(found)),
        *(f"client:{name}" for name in clients),
        *(account.address for account in site.accounts),
    ]
    stores = site.hosts_with("mail_store")
    known = passwords(site, names)

    def printed(owner: str, name: str) -> str:
        return "".join(fingerprint(key, kind, name, value) for kind, value in known[owner].items())

    return {
        "suffix": site.suffix,
        "domains": sorted(site.domains),
        "services": dict(sorted(found.items())),
        "clients": sorted(clients),
        "policies": {POLICY: policy(site)},
        "accounts": {account.address: account_attributes(account) for account in site.accounts},
        "aliases": {address: sorted(targets) for address, targets in sorted(site.all_aliases.items())},
        "new_account": {
            "home": VMAIL_HOME,
            "mailUidNumber": str(VMAIL_UID),
            "mailGidNumber": str(VMAIL_UID),
            "mailStorageDirectory": stores[0].name if stores else site.server_name,
        },
        "stores": [store.name for store in stores] or [site.server_name],
        "key": fingerprint(key, "key", "", ""),
        "fingerprints": {name: printed(name, name) for name in known},
        "renamed": {  # with the fingerprint that an unchanged password had under the former address
            new: {"from": old, "fingerprint": printed(new, old)}
            for new, old in ((account.address, account.renamed_from) for account in site.accounts)
            if old
        },
        "exclusive": site.core.mail_accounts_exclusive,
    }


def policy(site: Site) -> Attributes:
    """Return what users' own passwords must be (slapo-ppolicy(5)): what cannot be checked, such as a hash, is not."""
    return {
        "pwdAttribute": ["userPassword"],
        "pwdMinLength": [str(site.core.mail_password_min_length)],
        "pwdMaxLength": [str(PASSWORD_BYTES)],
        "pwdCheckQuality": ["2"],
        "pwdSafeModify": ["TRUE"],
    }


def _speaks_for(site: Site) -> Attributes:
    """Return in whose names a replica may ask the provider for changes: those of users, and of nobody else."""
    return {"authzTo": [f"dn.onelevel:{site.accounts_base}"]}


def account_attributes(account: Account) -> Attributes:
    """Return what the inventory says of an account, in the directory's words."""
    said = {
        "name": account.name, "quota": account.quota, "aliases": account.aliases, "forward": account.forward,
        "keep_copy": account.keep_copy,
    }  # fmt: skip
    found = host_entries.account_attributes(account.address, said, {})
    found["mailEnabled"] = ["TRUE" if account.enabled else "FALSE"]
    return {name: values for name, values in found.items() if values}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong between the variables that make up accounts: addresses, passwords, former names, circles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import circle, without_plus
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import client_secret
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import ROLE_ADDRESSES, Site, T
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account, domain_of

PASSWORD_BYTES = 127  # saslauthd asks LDAP with no more (lak.h, LAK_BUF_LEN)
PASSWORD_LENGTHS = range(8, 25)  # NIST SP 800-63B wants 8 at least; a generated one has to do, too


def account_problems(site: Site) -> Iterable[Problem]:
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
            yield Problem(where, None, f"must have at most {PASSWORD_BYTES} bytes: SMTP logins fail with a longer one")
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
        allowed = "is named by two accounts: only one of them can have had this address"
        yield Problem("mail_accounts: renamed_from", twice, allowed)


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

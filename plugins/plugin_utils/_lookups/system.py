# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts are the host's own users: passwd, PAM and /etc/aliases; no directory at all.

Dovecot alone checks passwords, for Postfix too (SASL), so that one list of login names and one PAM service hold for
all protocols. A name that is not in the list never gets as far as PAM: nobody learns here whether a password of root or
of a daemon is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, Directory, File
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.system_store import UIDS, SystemStore, user_of
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import LOGIN_LETTERS, Address
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import FOLDER, Dovecot

SERVICE = "postamt"  # of PAM
LOGINS = f"{FOLDER}/logins"  # the names by which people log in
_USER_LENGTH = 32  # useradd(8)
MAILBOXES = f"{FOLDER}/mailboxes"  # the users who get mail
SOCKET = "private/auth"  # where Postfix asks Dovecot, in Postfix's chroot
_NOT_HERE = {
    **dict.fromkeys(
        ("password", "password_hash"), "is for accounts in the directory; on the host, passwd(1) or usermod(8) sets it"
    ),
    "quota": "is for accounts in the directory; for users of the host, mail_quota is the limit of each",
}


class SystemLookups(Lookups):
    """Accounts are users of the host, who own their mail."""

    on_host = True
    store = SystemStore()

    def login(self, address: str) -> str:
        return user_of(address)

    def check(self, site: Site) -> Iterator[Problem]:
        if len(site.hosts) > 1:
            yield Problem("mail_accounts_backend", "system", "is for a site of one host: several need the directory")
        for account in site.accounts:
            if account.renamed_from:
                allowed = "is for accounts in the directory; on the host, rename the user (usermod -l)"
                yield Problem(f"mail_accounts {account.address}: renamed_from", account.renamed_from, allowed)
        yield from _strange_users(site.accounts)

    def postfix(self, site: Site, host: Host) -> Postfix:
        """Deliver the site's domains to the host's users; aliases and forwards are a table of their own."""
        alive, gone = _by_state(site.accounts)
        members = {str(alias): [one for one in to if one not in gone] for alias, to in site.aliases.items()}
        rewritten = {alias: ", ".join(to) for alias, to in members.items() if to}
        owners: dict[str, str] = {}
        for account in alive:
            targets = [*account.forward, *([account.address] if account.keep_copy else [])] or [account.address]
            for used in (account.address, *account.aliases):
                owners[used] = user_of(account.address)
                if targets != [used]:
                    rewritten[used] = ", ".join(targets)
        return Postfix(
            parameters={
                "mydestination": ["$myhostname", "localhost.$mydomain", "localhost", *site.domains],
                "local_recipient_maps": [table("mailboxes", "lmdb"), "$alias_maps"],
                "mailbox_transport": "lmtp:unix:private/dovecot-lmtp",
                "smtpd_sender_login_maps": [table("owners", "lmdb")],
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": SOCKET,
            },
            lists={"virtual_alias_maps": {"accounts": [table("aliases", "lmdb")]}},
            tables={
                "aliases": Table("lmdb", rewritten),
                "mailboxes": Table("lmdb", {str(one.address): user_of(one.address) for one in alive}),
                "owners": Table("lmdb", owners),
            },
        )

    def dovecot(self, site: Site, host: Host) -> Dovecot | None:
        """Check passwords by PAM, and keep mail as the user; a login is the user's name or the account's address."""
        alive, _gone = _by_state(site.accounts)
        names = dict.fromkeys(user_of(one.address) for one in alive)
        forms = dict.fromkeys([*names, *(str(one.address) for one in alive)])
        known = {"result_success": "continue", "result_failure": "return-fail", "result_internalfail": "return-fail"}
        return Dovecot(
            trunk={
                "auth_mechanisms": "plain login",
                "auth_username_chars": LOGIN_LETTERS,
                "first_valid_uid": UIDS[0],
                "last_valid_uid": UIDS[1],
                "service auth": {
                    f"unix_listener {CHROOT}/{SOCKET}": {"user": "postfix", "group": "postfix", "mode": "0600"}
                },
            },
            v23={
                "auth_username_format": "%Ln",
                "passdb#names": {"driver": "passwd-file", "args": f"username_format=%L{{orig_user}} {LOGINS}", **known},
                "passdb#passwords": {"driver": "pam", "args": SERVICE},
                "userdb#names": {"driver": "passwd-file", "args": f"username_format=%u {MAILBOXES}", **known},
                "userdb#homes": {"driver": "passwd"},
            },
            v24={
                "auth_username_format": "%{user | username | lower}",
                "passdb names": {
                    "driver": "passwd-file",
                    "passwd_file_path": LOGINS,
                    "auth_username_format": "%{original_user | lower}",
                    **known,
                },
                "passdb pam": {"service_name": SERVICE},
                "userdb names": {"driver": "passwd-file", "passwd_file_path": MAILBOXES, **known},
                "userdb passwd": {},
            },
            files=[
                File(LOGINS, _passwd_file(forms, "nopassword=y")),
                File(MAILBOXES, _passwd_file(names, "")),
                File(f"/etc/pam.d/{SERVICE}", pam()),
            ],
            # Postfix makes it at its first start, which comes later.
            directories=[Directory(f"{CHROOT}/private", "0700", "postfix", "root")],
            packages=["postfix"],
        )


def _strange_users(accounts: Iterable[Account]) -> Iterator[Problem]:
    """Yield the accounts that no user of a host can stand for."""
    users: dict[str, Address] = {}
    for account in accounts:
        name = user_of(account.address)
        where = f"mail_accounts {account.address}"
        if name in users:
            allowed = (
                f"is user {name} of the host, and {users[name]} is the same user with the same mailbox: make it an "
                "alias of that account, or have accounts in the directory (mail_accounts_backend)"
            )
            yield Problem(where, None, allowed)
        users.setdefault(name, account.address)
        for key, allowed in _NOT_HERE.items():
            if getattr(account, key) is not None:
                yield Problem(f"{where}: {key}", None, allowed)
        if len(name) > _USER_LENGTH or name.startswith("~"):
            allowed = f"is no name of a user: at most {_USER_LENGTH} characters, and no ~ at its beginning (useradd(8))"
            yield Problem(where, None, allowed)


def pam() -> str:
    """Return the PAM service (pam.d(5)): people alone, asked for before the password, and no empty password."""
    people = f"requisite pam_succeed_if.so quiet uid >= {UIDS[0]} uid <= {UIDS[1]}"
    lines = [HEAD]
    for kind in ("auth", "account"):
        lines += [f"{kind} {people}", f"{kind} required pam_unix.so"]
    return "\n".join([*lines, ""])


def _by_state(accounts: Iterable[Account]) -> tuple[list[Account], set[Address]]:
    """Return the enabled accounts, and the addresses of those that are not."""
    alive = [one for one in accounts if one.enabled]
    return alive, {used for one in accounts if not one.enabled for used in (one.address, *one.aliases)}


def _passwd_file(names: Iterable[str], extra: str) -> str:
    """Return names as Dovecot reads them; what comes after the last colon is said of each."""
    return "".join(f"{line}\n" for line in [HEAD, *(f"{name}:::::::{extra}" for name in names)])

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts are the host's own users: passwd, PAM, /etc/aliases and saslauthd with PAM; no directory at all."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.sasl import Sasl
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site


def user_of(address: str) -> str:
    """Return the host's user behind an address: its local part."""
    return address.partition("@")[0]


def postfix(site: Site, host: Host) -> Postfix:
    """Deliver the site's domains to the host's users; aliases and forwards are a table of their own."""
    alive = [account for account in site.accounts if account.enabled]
    rewritten = {str(alias): ", ".join(to) for alias, to in site.aliases.items()}
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
            "local_recipient_maps": ["proxy:unix:passwd.byname", "$alias_maps"],
            "mailbox_transport": "lmtp:unix:private/dovecot-lmtp",
            "virtual_alias_maps": [table("aliases", "lmdb")],
            "smtpd_sender_login_maps": [table("owners", "lmdb")],
        },
        tables={"aliases": Table("lmdb", rewritten), "owners": Table("lmdb", owners)},
    )


def sasl(site: Site, host: Host) -> Sasl:
    """Check passwords by PAM; users log in with their names on the host."""
    return Sasl("pam")


def dovecot(site: Site, host: Host) -> Dovecot | None:
    """Check passwords by PAM, and keep mail as the user; a login may be the name or the address."""
    if not host.does("mail_store"):
        return None
    return Dovecot(
        trunk={"auth_mechanisms": "plain login", "first_valid_uid": 1000},
        v23={
            "auth_username_format": "%Ln",
            "passdb": {"driver": "pam"},
            "userdb": {"driver": "passwd"},
        },
        v24={
            "auth_username_format": "%{user | username | lower}",
            "passdb pam": {},
            "userdb passwd": {},
        },
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts live in the collection's own OpenLDAP directory: how each program finds them there."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.sasl import Sasl
from ansible_collections.postamt.mail.plugins.plugin_utils.site import CA_FILE, Host, Site

ENABLED = "(!(mailEnabled=FALSE))"
MAILBOX = f"(&(objectClass=PostfixBookMailAccount)(mail=%s){ENABLED})"
ALIAS = f"(&(objectClass=PostfixBookMailAccount)(mailAlias=%s){ENABLED})"
FORWARD = f"(&(objectClass=PostfixBookMailForward)(mailAlias=%s){ENABLED})"
OWNER = f"(&(objectClass=PostfixBookMailAccount)(|(mail=%s)(mailAlias=%s)){ENABLED})"


def postfix(site: Site, host: Host) -> Postfix:
    """Look recipients, aliases, forwards and the owners of sender addresses up in LDAP over TLS (ldap_table(5))."""

    def lookup(query: str, result: str, base: str = site.suffix) -> Table:
        lines = {
            "server_host": site.directory_uri(host),
            "version": "3",
            "start_tls": "yes",
            "tls_ca_cert_file": CA_FILE,
            "tls_require_cert": "yes",
            "timeout": "5",
            "bind": "yes",
            "bind_dn": site.service_dn("postfix"),
            "bind_pw": site.service_password("postfix"),
            "search_base": base,
            "query_filter": query,
            "result_attribute": result,
            "domain": ", ".join(site.domains),
        }
        return Table("ldap", "".join(f"{key} = {value}\n" for key, value in lines.items()))

    return Postfix(
        parameters={
            "virtual_mailbox_domains": list(site.domains),
            "virtual_mailbox_maps": [table("mailboxes", "ldap")],
            # The first table that answers wins: a forward without a copy must not find the mailbox's alias.
            "virtual_alias_maps": [table("forwards", "ldap"), table("aliases", "ldap")],
            "smtpd_sender_login_maps": [table("owners", "ldap")],
        },
        tables={
            "mailboxes": lookup(MAILBOX, "mail", site.accounts_base),
            "aliases": lookup(ALIAS, "mail", site.accounts_base),
            "forwards": lookup(FORWARD, "mailForwardingAddress"),
            "owners": lookup(OWNER, "mail", site.accounts_base),
        },
        secrets=[site.service_password("postfix")],
    )


def sasl(site: Site, host: Host) -> Sasl:
    """Find the entry of an enabled account by its address, then log in as it (LDAP_SASLAUTHD of Cyrus SASL)."""
    return Sasl(
        "ldap",
        {
            "ldap_servers": site.directory_uri(host),
            "ldap_version": "3",
            "ldap_start_tls": "yes",
            "ldap_tls_check_peer": "yes",
            "ldap_tls_cacert_file": CA_FILE,
            "ldap_timeout": "5",
            "ldap_time_limit": "5",
            "ldap_bind_dn": site.service_dn("saslauthd"),
            "ldap_password": site.service_password("saslauthd"),
            "ldap_search_base": site.accounts_base,
            "ldap_filter": MAILBOX.replace("%s", "%u"),
            "ldap_auth_method": "bind",
        },
    )

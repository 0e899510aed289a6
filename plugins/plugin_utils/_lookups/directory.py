# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts live in the collection's own OpenLDAP directory: how each program finds them there."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Links
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Directory, File, User
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.directory_store import DirectoryStore
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import (
    CA_FILE,
    VMAIL,
    VMAIL_HOME,
    VMAIL_UID,
    Site,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import LOGIN_LETTERS
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    DIRECTORY,
    Extension,
    Postfix,
    Table,
    Value,
    table,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.sasl import Sasl

ENABLED = "(!(mailEnabled=FALSE))"
MAILBOX = f"(&(objectClass=PostfixBookMailAccount)(mail=%s){ENABLED})"
FORWARD = f"(&(objectClass=PostfixBookMailForward)(mailAlias=%s){ENABLED})"
LOGIN_OF_CLIENT = "(&(objectClass=device)(cn=%s))"  # another server, which logs in by its full host name
OWNER = f"(&(objectClass=PostfixBookMailAccount)(|(mail=%s)(mailAlias=%s)){ENABLED})"


def _start_tls(site: Site, host: Host) -> str:
    """Return yes where a program speaks with slapd itself; a link brings TLS of its own."""
    return "no" if reach.is_linked(site, host) else "yes"


LDAP_FILE = "/etc/dovecot/directory.conf.ext"  # 2.3 keeps what it asks the directory in a file of its own


def _users(answers: Table) -> Postfix:
    """Check users' logins by saslauthd; answers: the table that finds something as long as the directory answers.

    Users' ports ask it in place of a greeting: a login would be answered with 535, wrong password, since saslauthd has
    no word for "cannot say", and mail programs would ask their users for another one.
    """
    gate: dict[str, Value] = {
        "smtpd_client_restrictions": f"check_client_access {table(DIRECTORY, 'ldap')}",
        "smtpd_reject_footer_maps": table("no_directory", "regexp"),
    }
    # Postfix's own words are "Server configuration error"
    said = r"\c, or logins cannot be checked at the moment: try again later"
    return Postfix(
        parameters={
            "smtpd_sasl_type": "cyrus",
            "smtpd_sasl_path": "smtpd",
            "cyrus_sasl_config_path": "/etc/postfix/sasl",
        },
        extensions=dict.fromkeys(("submission/inet", "submissions/inet"), Extension(options=gate)),
        tables={
            DIRECTORY: answers,
            "no_directory": Table("regexp", rf"/^451 4\.3\.5 .*Client host rejected/ {said}" "\n"),
        },
        # PLAIN and LOGIN are what saslauthd can check, and TLS is required before either.
        files=[File("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n")],
        packages=["libsasl2-modules"],
    )


class DirectoryLookups(Lookups):
    """Accounts are entries of the directory; vmail owns their mail."""

    directory = True
    store = DirectoryStore()

    def links(self, site: Site, host: Host) -> Links:
        return reach.links(site, host)

    def needs(self, site: Site, host: Host, program: str) -> list[str]:
        return reach.needs(site, host, program)

    def postfix(self, site: Site, host: Host) -> Postfix:
        """Look recipients, forwards and the owners of sender addresses up in LDAP over TLS (ldap_table(5))."""

        def lookup(query: str, result: str, base: str = site.suffix, **more: str) -> Table:
            lines = {
                "server_host": reach.uri(site, host, "postfix"),
                "version": "3",
                "start_tls": _start_tls(site, host),
                "tls_ca_cert_file": CA_FILE,
                "tls_require_cert": "yes",
                "timeout": "5",
                "bind": "yes",
                "bind_dn": site.service_dn("postfix"),
                "bind_pw": site.service_password("postfix"),
                "search_base": base,
                "query_filter": query,
                "result_attribute": result,
                **(more or {"domain": ", ".join(site.domains)}),
            }
            return Table("ldap", "".join(f"{key} = {value}\n" for key, value in lines.items()))

        # Postfix asks by the client's name: what counts is that there is an answer, and not who connects.
        found = "(|(objectClass=organizationalUnit)(mail=%s))"
        answers = lookup(found, "objectClass", site.accounts_base, scope="base", result_format="DUNNO")
        users = _users(answers) if host.has("mail_submission") else Postfix()
        clients = [table("client_senders", "lmdb")] if host.has("mail_submission") and site.clients else []
        return Postfix(
            parameters={
                **users.parameters,
                "virtual_mailbox_domains": list(site.domains),
                "virtual_mailbox_maps": [table("mailboxes", "ldap")],
                "smtpd_sender_login_maps": [*clients, table("mailboxes", "ldap")],
            },
            extensions=users.extensions,
            lists={"virtual_alias_maps": {"accounts": [table("forwards", "ldap")]}},
            tables={
                # By alias too: Dovecot knows whose it is, and tells scripts the address to which the mail was sent.
                "mailboxes": lookup(OWNER, "mail", site.accounts_base),
                "forwards": lookup(FORWARD, "mailForwardingAddress"),
                **users.tables,
            },
            files=users.files,
            packages=users.packages,
            secrets=[site.service_password("postfix")],
        )

    def sasl(self, site: Site, host: Host) -> Sasl:
        """Find the entry of an enabled account by its address, then log in as it (LDAP_SASLAUTHD of Cyrus SASL).

        Other servers of the company log in likewise, here only: Dovecot finds accounts alone.
        """
        found, base = (f"(|{MAILBOX}{LOGIN_OF_CLIENT})", site.suffix) if site.clients else (MAILBOX, site.accounts_base)
        return Sasl(
            {
                "ldap_servers": reach.uri(site, host, "saslauthd"),
                "ldap_version": "3",
                "ldap_start_tls": _start_tls(site, host),
                "ldap_tls_check_peer": "yes",
                "ldap_tls_cacert_file": CA_FILE,
                "ldap_timeout": "5",
                "ldap_time_limit": "5",
                "ldap_bind_dn": site.service_dn("saslauthd"),
                "ldap_password": site.service_password("saslauthd"),
                "ldap_search_base": base,
                # A login that ends in @ has an empty realm, and would find the account, too.
                "ldap_filter": found.replace("(mail=%s)", "(mail=%s)(mail=%U@%r)").replace("%s", "%u"),
                "ldap_auth_method": "bind",
            },
        )

    def dovecot(self, site: Site, host: Host) -> Dovecot:
        """Check passwords by binding as the user; home, owner and quota come from the entry (all over TLS)."""
        # LMTP and the service quota-status ask by the address of RCPT, which may be an alias.
        login = f"(&(objectClass=PostfixBookMailAccount)(mail=%u){ENABLED})"
        known = f"(&(objectClass=PostfixBookMailAccount)(|(mail=%u)(mailAlias=%u)){ENABLED})"
        every = f"(&(objectClass=PostfixBookMailAccount){ENABLED})"
        asked = {
            "uris": reach.uri(site, host, "dovecot"),
            "tls": _start_tls(site, host),
            "tls_ca_cert_file": CA_FILE,
            "tls_require_cert": "demand",
            "dn": site.service_dn("dovecot"),
            "dnpass": site.service_password("dovecot"),
            "base": site.accounts_base,
            "scope": "subtree",
            "auth_bind": "yes",
            "pass_filter": login,
            "pass_attrs": "mail=user",
            "user_filter": known,
            "user_attrs": "mail=user, mailHomeDirectory=home, mailUidNumber=uid, mailGidNumber=gid, "
            "mailQuota=quota_rule=*:storage=%$K",
            "iterate_filter": every,
            "iterate_attrs": "mail=user",
        }
        new = host.version("dovecot") >= (2, 4)
        file = File(LDAP_FILE, "".join(f"{key} = {value}\n" for key, value in asked.items()), "0600", secret=True)
        return Dovecot(
            trunk={
                "auth_mechanisms": "plain login",
                "auth_username_chars": LOGIN_LETTERS,
                "first_valid_uid": VMAIL_UID,
                "last_valid_uid": VMAIL_UID,
                "mail_uid": VMAIL,
                "mail_gid": VMAIL,
            },
            v23={
                "auth_username_format": "%Lu",
                "passdb": {"driver": "ldap", "args": LDAP_FILE},
                "userdb": {"driver": "ldap", "args": LDAP_FILE, "default_fields": f"uid={VMAIL} gid={VMAIL}"},
            },
            v24={
                # 2.4.1 does not hand its own CA setting to libldap (ldap.conf(5) knows this variable).
                "import_environment": {"LDAPTLS_CACERT": CA_FILE},
                "ldap_uris": asked["uris"],
                "ldap_starttls": asked["tls"] == "yes",
                "ldap_auth_dn": asked["dn"],
                "ldap_auth_dn_password": asked["dnpass"],
                "ldap_base": asked["base"],
                "passdb ldap": {
                    "filter": login.replace("%u", "%{user}"),
                    "bind": True,
                    "fields": {"user": "%{ldap:mail}"},
                },
                "userdb ldap": {
                    "filter": known.replace("%u", "%{user}"),
                    "fields": {
                        "user": "%{ldap:mail}",
                        "home": "%{ldap:mailHomeDirectory}",
                        "uid": f'%{{ldap:mailUidNumber | default("{VMAIL}")}}',
                        "gid": f'%{{ldap:mailGidNumber | default("{VMAIL}")}}',
                        # What stands here wins over the global limit, and an attribute that is not there is an error.
                        "quota_storage_size": f"%{{ldap:mailQuota | default({site.core.mail_quota // 1024})}}K",
                    },
                    "iterate_filter": every,
                    "iterate_fields": {"user": "%{ldap:mail}"},
                },
            },
            files=[] if new else [file],
            users=[User(VMAIL, VMAIL_UID, VMAIL_HOME)],
            directories=[Directory(VMAIL_HOME, "0750", VMAIL, VMAIL)],
            packages=["dovecot-ldap"],
            secrets=[asked["dnpass"]],
        )

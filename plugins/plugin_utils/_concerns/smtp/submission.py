# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail from users: ports 587 (STARTTLS) and 465 (TLS at once), after a login, with the user's own addresses only.

How a login is checked, and what happens while it cannot be, goes with where accounts live (lookups/).
"""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, service
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS, CURVES
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    ORIGINATING,
    Postfix,
    Service,
    Table,
    Value,
    table,
)

_OPTIONS: dict[str, Value] = {
    "smtpd_sasl_auth_enable": True,
    "smtpd_tls_auth_only": True,
    "smtpd_tls_security_level": "encrypt",
    "tls_high_cipherlist": CIPHERS,
    "tls_eecdh_auto_curves": " ".join(CURVES),
    "smtpd_delay_reject": False,  # the client is asked for before the greeting, the login at MAIL FROM
    "smtpd_client_restrictions": "",
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "$mua_sender_restrictions, $mua_client_restrictions",
    "smtpd_relay_restrictions": "$mua_relay_restrictions",
    "smtpd_recipient_restrictions": "$mua_recipient_restrictions",
    "milter_macro_daemon_name": ORIGINATING,
    # Whose mail gets what it lacks: Date, Message-ID, a domain behind a bare name.  A stranger's stays as it came.
    "local_header_rewrite_clients": "permit_sasl_authenticated, permit_inet_interfaces",
}


def applies(site: Site, host: Host) -> bool:
    return host.has("mail_submission")


def postfix(site: Site, host: Host) -> Postfix:
    null_sender = "550 5.7.1 Send with an address of your own: the null sender <> is for notices of mail servers"
    senders = {
        "syntax": ["reject_non_fqdn_sender"],
        "owner": ["reject_sender_login_mismatch"],
        "access": [f"check_sender_access {table('senders_of_users', 'lmdb')}"],
    }
    tables = {"senders_of_users": Table("lmdb", {"<>": null_sender})}
    if site.clients:  # other servers: they hand over what they could not deliver as well
        senders["permit"] = [f"check_sasl_access {table('logins_of_servers', 'lmdb')}"]
        tables["logins_of_servers"] = Table("lmdb", {str(client.name): "OK" for client in site.clients})
    return Postfix(
        parameters={"smtpd_sasl_security_options": "noanonymous"},
        services={
            "submission/inet": Service(
                "smtpd",
                private="n",
                takes="users",
                options={**_OPTIONS, "syslog_name": "postfix/submission"},
            ),
            "submissions/inet": Service(
                "smtpd",
                private="n",
                takes="users",
                options={**_OPTIONS, "syslog_name": "postfix/submissions", "smtpd_tls_wrappermode": True},
            ),
        },
        lists={
            "mua_client_restrictions": {"permit": ["permit_sasl_authenticated"], "access": ["reject"]},
            "mua_sender_restrictions": senders,
            "mua_relay_restrictions": {
                "authenticated": ["permit_sasl_authenticated"],
                "destination": ["reject"],
            },
            "mua_recipient_restrictions": {
                "syntax": ["reject_non_fqdn_recipient"],
                "recipient": ["reject_unlisted_recipient"],
            },
        },
        tables=tables,
    )


def dns(site: Site, domain: str) -> list[Record]:
    """Say where users submit (RFC 6186, RFC 8314): where that is not where their mail is, those hosts' own names."""
    elsewhere = [str(host.name) for host in site.hosts_with("mail_submission") if not host.has("mail_store")]
    return [
        service(name, domain, port, target)
        for target in elsewhere or [str(site.server_name)]
        for name, port in (("submission", 587), ("submissions", 465))
    ]

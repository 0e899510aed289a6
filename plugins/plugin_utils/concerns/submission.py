# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail from users: ports 587 (STARTTLS) and 465 (TLS at once), after a login, with the user's own addresses only.

Where the directory is away, they say so in place of a greeting (451). A login would be answered with 535, wrong
password, since saslauthd has no word for "cannot say", and mail programs would ask their users for another one.
"""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.plan import File
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import (
    DIRECTORY,
    Postfix,
    Service,
    Table,
    Value,
    table,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site
from ansible_collections.postamt.mail.plugins.plugin_utils.tls_profile import CIPHERS, CURVES

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
    "milter_macro_daemon_name": "ORIGINATING",
    # Whose mail gets what it lacks: Date, Message-ID, a domain behind a bare name.  A stranger's stays as it came.
    "local_header_rewrite_clients": "permit_sasl_authenticated, permit_inet_interfaces",
}

# Logins of the directory's accounts; those of the host's users are Dovecot's (backends/system.py).
_CYRUS: dict[str, Value] = {
    "smtpd_sasl_type": "cyrus",
    "smtpd_sasl_path": "smtpd",
    "cyrus_sasl_config_path": "/etc/postfix/sasl",
}


def postfix(site: Site, host: Host) -> Postfix | None:
    if not host.does("mail_submission"):
        return None
    options = dict(_OPTIONS)
    if site.uses_directory:
        options["smtpd_client_restrictions"] = f"check_client_access {table(DIRECTORY, 'ldap')}"
        options["smtpd_reject_footer_maps"] = table("no_directory", "regexp")
    null_sender = "550 5.7.1 Send with an address of your own: the null sender <> is for notices of mail servers"
    senders = {
        "syntax": ["reject_non_fqdn_sender"],
        "owner": ["reject_sender_login_mismatch"],
        "access": [f"check_sender_access {table('senders_of_users', 'lmdb')}"],
    }
    tables = {"senders_of_users": Table("lmdb", {"<>": null_sender})}
    if site.uses_directory:  # Postfix's own words are "Server configuration error"
        said = r"\c, or logins cannot be checked at the moment: try again later"
        tables["no_directory"] = Table("regexp", rf"/^451 4\.3\.5 .*Client host rejected/ {said}" "\n")
    if site.clients:  # other servers: they hand over what they could not deliver as well
        senders["permit"] = [f"check_sasl_access {table('logins_of_servers', 'lmdb')}"]
        tables["logins_of_servers"] = Table("lmdb", {str(client.name): "OK" for client in site.clients})
    return Postfix(
        parameters={
            **(_CYRUS if site.uses_directory else {}),
            "smtpd_sasl_security_options": "noanonymous",
        },
        services={
            "submission/inet": Service(
                "smtpd",
                private="n",
                options={**options, "syslog_name": "postfix/submission"},
            ),
            "submissions/inet": Service(
                "smtpd",
                private="n",
                options={**options, "syslog_name": "postfix/submissions", "smtpd_tls_wrappermode": True},
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
        files=[
            File(
                "/etc/postfix/sasl/smtpd.conf",
                # PLAIN and LOGIN are what saslauthd can check, and TLS is required before either.
                "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n",
            )
        ]
        if site.uses_directory
        else [],
        packages=["libsasl2-modules"] if site.uses_directory else [],
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail from users: ports 587 (STARTTLS) and 465 (TLS at once), after a login, with the user's own addresses only."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.plan import File
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Postfix, Service, Value
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

_OPTIONS: dict[str, Value] = {
    "smtpd_sasl_auth_enable": True,
    "smtpd_tls_auth_only": True,
    "smtpd_client_restrictions": "$mua_client_restrictions",
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "$mua_sender_restrictions",
    "smtpd_relay_restrictions": "$mua_relay_restrictions",
    "smtpd_recipient_restrictions": "$mua_recipient_restrictions",
    "milter_macro_daemon_name": "ORIGINATING",
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
    return Postfix(
        parameters={
            **(_CYRUS if site.uses_directory else {}),
            "smtpd_sasl_security_options": "noanonymous",
        },
        services={
            "submission/inet": Service(
                "smtpd",
                private="n",
                options={**_OPTIONS, "syslog_name": "postfix/submission", "smtpd_tls_security_level": "encrypt"},
            ),
            "submissions/inet": Service(
                "smtpd",
                private="n",
                options={**_OPTIONS, "syslog_name": "postfix/submissions", "smtpd_tls_wrappermode": True},
            ),
        },
        restrictions={
            "mua_client_restrictions": {"permit": ["permit_sasl_authenticated"], "access": ["reject"]},
            "mua_sender_restrictions": {
                "syntax": ["reject_non_fqdn_sender"],
                "owner": ["reject_sender_login_mismatch"],
            },
            "mua_relay_restrictions": {
                "authenticated": ["permit_sasl_authenticated"],
                "destination": ["reject"],
            },
            "mua_recipient_restrictions": {
                "syntax": ["reject_non_fqdn_recipient"],
                "recipient": ["reject_unlisted_recipient"],
            },
        },
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

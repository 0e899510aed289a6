# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS: which certificate is shown, and nothing older than TLS 1.2, towards users and other servers."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS, CURVES
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Path
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_trusted_ca_file: Path = var(
        "CA certificates, in a file on the mail host, by which the servers that mail is sent to are verified.",
        Path("/etc/ssl/certs/ca-certificates.crt"),
    )


def postfix(site: Site, host: Host) -> Postfix | None:
    """Offer TLS to servers, who may do without; users' ports require it (https://www.postfix.org/TLS_README.html)."""
    shown = site.public_certificate
    modern = ">=TLSv1.2"
    return Postfix(
        parameters={
            "smtpd_tls_chain_files": [shown.key, shown.chain],
            "smtpd_tls_security_level": "may",
            "smtpd_tls_protocols": modern,
            "smtpd_tls_mandatory_protocols": modern,
            "smtpd_tls_mandatory_ciphers": "high",
            # By default Postfix lets a server that verifies nobody have a handshake without a certificate. Such a
            # server is content with one that has a certificate too.
            "smtpd_tls_exclude_ciphers": "aNULL",
            "smtpd_tls_loglevel": 1,
            "smtpd_tls_received_header": True,
            "smtp_tls_security_level": "may",
            "smtp_tls_protocols": modern,
            "smtp_tls_mandatory_protocols": modern,
            "smtp_tls_CAfile": site.of(Variables).mail_trusted_ca_file,
            "smtp_tls_loglevel": 1,
            "tls_preempt_cipherlist": False,
        }
    )


def dovecot(site: Site, host: Host) -> Dovecot | None:
    """Require TLS of users; passwords travel inside it only."""
    shown = site.public_certificate
    return Dovecot(
        trunk={
            "ssl": "required",
            "ssl_min_protocol": "TLSv1.2",
            "ssl_cipher_list": CIPHERS,
            "ssl_curve_list": ":".join(CURVES),
        },
        v23={
            "ssl_cert": f"<{shown.chain}",
            "ssl_key": f"<{shown.key}",
            "ssl_prefer_server_ciphers": False,
            "disable_plaintext_auth": True,
        },
        v24={
            "ssl_server_cert_file": shown.chain,
            "ssl_server_key_file": shown.key,
            "ssl_server_prefer_ciphers": "client",
            "auth_allow_cleartext": False,
        },
        watch=[shown.chain, shown.key],
    )

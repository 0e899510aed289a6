# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much at once: message size, recipients, and what one client may do in a minute."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Size
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix

EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too

_FROM_1 = range(1, 1 << 31)
_LEAST = 64 << 10  # RFC 5321, 4.5.3.1.7


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_message_size_limit: Size = var(
        "Largest message, in bytes of its transfer encoding.", Size(50 << 20), example="50M"
    )
    mail_recipient_limit: int = var("Most recipients of one message in one SMTP transaction.", 200, within=_FROM_1)
    mail_client_connection_limit: int = var("Most connections that one client may hold to one port at a time.", 30)
    mail_client_auth_rate_limit: int = var("Most logins over SMTP that one client may try in a minute.", 60)


def check(site: Site) -> Iterator[Problem]:
    limit = site.of(Variables).mail_message_size_limit
    if 0 < limit < _LEAST:
        yield Problem("mail_message_size_limit", limit, "must be at least 64K, which every server takes, or 0")


_EXPANSION = 1000  # Postfix's own limit of addresses that one becomes


def postfix(site: Site, host: Host) -> Postfix:
    variables = site.of(Variables)
    longest = site.longest_expansion
    return Postfix(
        parameters={
            **({"virtual_alias_expansion_limit": longest} if longest > _EXPANSION else {}),
            "message_size_limit": variables.mail_message_size_limit,
            "mailbox_size_limit": 10 * variables.mail_message_size_limit,  # in /var/mail, where root's may be
            "smtpd_recipient_limit": variables.mail_recipient_limit,
            "smtpd_client_connection_count_limit": variables.mail_client_connection_limit,
            "smtpd_client_auth_rate_limit": variables.mail_client_auth_rate_limit,
            "smtpd_hard_error_limit": 10,
            "smtpd_soft_error_limit": 5,
        }
    )

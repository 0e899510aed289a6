# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SMTP smuggling: only <CR><LF>.<CR><LF> ends a message, and nobody talks ahead of the answer."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix

EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too


def postfix(site: Site, host: Host) -> Postfix:
    """Set what Debian 13 has by default and Debian 12 has not (https://www.postfix.org/smtp-smuggling.html)."""
    return Postfix(
        parameters={
            "smtpd_forbid_bare_newline": "normalize",
            "smtpd_forbid_bare_newline_exclusions": "$mynetworks",
            "smtpd_forbid_unauth_pipelining": True,
        }
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts need a resolver that validates (DNSSEC), for concerns of this folder."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

WITHOUT = "set mail_dane: false and mail_authentication: false"
WAYS_OUT = (
    "let this host ask other servers at port 53 over UDP and TCP, or name resolvers that it may ask "
    f"(mail_resolver_forward), or do without a resolver that validates ({WITHOUT})"
)


def sends_directly(site: Site, host: Host) -> bool:
    """Tell whether a host hands mail to other sites' servers itself, and so looks for them in the DNS."""
    return site.sends(host) and not site.of(Relay).mail_relayhost

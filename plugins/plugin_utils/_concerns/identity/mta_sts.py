# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies of other domains (MTA-STS): mail goes to a server only if its certificate is what the domain's policy wants.

A domain says by a policy that its servers have certificates which the world trusts (RFC 8461). Where a domain has DANE
too, and the site uses that, DANE decides.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Extension, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.mta_sts_resolver import MAP, MtaStsResolver

RUNS = ("mta_sts_resolver",)
_MAPS = "mta_sts_maps"  # a parameter of our own, so that one service of master.cf can do without
_SIZE = 60 * MB


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether policies of other domains count."""

    mail_mta_sts_check: bool = var(
        "Whether the MTA-STS policies of other domains count when mail is sent to them (RFC 8461). Hosts that send "
        "mail to the internet have to reach other servers at port 443 for it. It has no effect with mail_relayhost.",
        True,
    )


def applies(site: Site, host: Host) -> bool:
    """Tell whether a host sends mail to the internet itself."""
    return site.of(Variables).mail_mta_sts_check and site.sends(host) and not site.of(Relay).mail_relayhost


def postfix(site: Site, host: Host) -> Postfix:
    return Postfix(
        parameters={_MAPS: MAP},
        lists={"smtp_tls_policy_maps": {"published": [f"${_MAPS}"]}},
        # The administrator has named these servers, so nobody's policy is asked for, even while nobody answers.
        extensions={"relay/unix": Extension(options={_MAPS: ""})},
    )


def mta_sts_resolver(site: Site, host: Host) -> MtaStsResolver:
    return MtaStsResolver()


def memory(site: Site, host: Host) -> Memory:
    return Memory(
        _SIZE, f"postfix-mta-sts-resolver {_SIZE // MB} MB", "policies of other domains",
        instead="set mail_mta_sts_check: false",
    )  # fmt: skip

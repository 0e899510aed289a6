# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS to other servers (DANE, RFC 7672): a server whose domain publishes its key gets mail over TLS with that key only.

Postfix looks for TLSA records of each server to which it sends. Where a signed zone has some, mail goes to a server
with a fitting certificate, and waits otherwise. To others it goes over TLS that is not verified, or without TLS.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.module_utils._programs.unbound import UNIT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._validating import (
    WAYS_OUT,
    sends_directly,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.gateway import Variables as Gateway
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.mta_sts_resolver import MtaStsResolver
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.unbound import ADDRESS

_RESOLV_CONF = "/etc/postamt/resolv.conf"
_SEEN = {"process": f"{CHROOT}/pid/master.pid", "path": f"{CHROOT}/etc/resolv.conf"}
_ZONES = "name its zone and the servers that know it (mail_resolver_zones), or the host's address in mail_gateway"


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_dane: bool = var(
        "Whether servers to which mail is sent are verified by their TLSA records (DANE), where they have some. Hosts "
        "that send to the internet without a relayhost then have a resolver of their own that validates (DNSSEC). "
        "Postfix asks no other one.", True,
    )  # fmt: skip


def applies(site: Site, host: Host) -> bool:
    return site.of(Variables).mail_dane and sends_directly(site, host)


def postfix(site: Site, host: Host) -> Postfix:
    unit = "postfix.service" if host.version("postfix") >= (3, 9) else "postfix@-.service"
    return Postfix(
        parameters={"smtp_dns_support_level": "dnssec", "smtp_tls_security_level": "dane"},
        files=[
            File(_RESOLV_CONF, f"{HEAD}\nnameserver {ADDRESS}\n"),
            File(f"{UNITS}/{unit}.d/postamt-resolver.conf", _drop_in()),
        ],
        checks=[
            HealthCheck("dns_validated", {**_SEEN, "ways_out": WAYS_OUT}),
            *(HealthCheck("dns_knows", {**_SEEN, "name": name, "ways_out": _ZONES}) for name in _gateways(site)),
        ],
    )


def _gateways(site: Site) -> list[str]:
    """Return the names of servers to which domains are relayed, which perhaps only another resolver knows."""
    hosts = {to.host for to in site.of(Gateway).mail_gateway.values()}
    return sorted(host for host in hosts if ":" not in host and not host.replace(".", "").isdigit())


def mta_sts_resolver(site: Site, host: Host) -> MtaStsResolver:
    """Have a domain's policy (MTA-STS) count only where DANE does not."""
    return MtaStsResolver(dane_resolver=ADDRESS)


def _drop_in() -> str:
    """Return the drop-in of Postfix's unit: its processes, in the chroot and outside of it, ask the host's resolver.

    Debian copies the host's resolv.conf into the chroot at each start, when a network comes up, and when that file
    changes. A mount there is not overwritten, and the host's own file stays as it is.
    """
    return f"""\
{HEAD}
[Unit]
Wants={UNIT}
After={UNIT}
[Service]
BindReadOnlyPaths={_RESOLV_CONF}:/etc/resolv.conf
# Debian 12 sets its mode at each start.
BindPaths={_RESOLV_CONF}:{CHROOT}/etc/resolv.conf
"""

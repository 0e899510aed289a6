# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's own MTA-STS policy over HTTPS: a small HAProxy that has one file and answers nothing else.

It has a configuration and a unit of its own. The links between hosts have another HAProxy, which strangers do not
reach.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.mta_sts_server import (
    CONFIGURATION,
    PEM,
    POLICY,
    PORT,
    UNIT,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    File,
    HealthCheck,
    Plan,
    Serves,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS, CURVES
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import KeyPair, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _haproxy_unit as haproxy_unit

PATH = "/.well-known/mta-sts.txt"
PROGRAM = Program(
    title="the server of the MTA-STS policy",
    checker="/usr/sbin/haproxy",
    last=(CONFIGURATION,),
    patience=20.0,
    reload=("systemctl", "reload", UNIT),
    about="The site's own policy for other mail servers (MTA-STS)",
    task="Policy for other mail servers",
    description=(
        "Serves the site's MTA-STS policy at port 443 of its mail exchangers, and stops that where it is no longer "
        "wanted.",
        "What it serves follows from the site's C(mail_mta_sts) variables.",
    ),
)


@dataclasses.dataclass(frozen=True)
class MtaStsServer:
    """What one concern contributes: the policy, a name that it is served by, and the certificate that is shown."""

    policy: str
    name: str
    certificate: KeyPair


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of the server for one host."""
    if not parts:
        return make_plan(enabled=False)
    ((_concern, part),) = parts
    pair = part.certificate
    return make_plan(
        packages=["haproxy"],
        files=[
            File(POLICY, part.policy),
            File(f"{UNITS}/{UNIT}", unit(pair)),
            File(CONFIGURATION, configuration(host)),
        ],
        units=[Unit(UNIT)],
        watch=[pair.chain, pair.key],
        serves=[Serves(PORT, "", "implicit", (pair.chain,))],
        checks=[HealthCheck("https", {"port": PORT, "name": part.name, "path": PATH, "text": part.policy})],
    )


def configuration(host: Host) -> str:
    """Return HAProxy's configuration. Its time limits are for strangers who are slow on purpose."""
    everywhere = f"[::]:{PORT} v4v6" if host.look.ipv6 else f"0.0.0.0:{PORT}"
    return f"""\
{HEAD}
global
    user haproxy
    group haproxy
    log /dev/log daemon notice
    maxconn 200
    nbthread 1
    hard-stop-after 30s
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-bind-ciphers {CIPHERS}
    ssl-default-bind-curves {":".join(CURVES)}

defaults
    mode http
    log global
    option dontlog-normal
    option dontlognull
    timeout client 10s
    timeout http-request 5s
    timeout http-keep-alive 1s
    timeout connect 5s
    timeout server 5s

frontend policy
    bind {everywhere} ssl crt {PEM} alpn http/1.1
    http-request return status 404 unless {{ method GET HEAD }} {{ path {PATH} }}
    http-request return status 200 content-type text/plain file {POLICY}
"""


def unit(pair: KeyPair) -> str:
    """Return the unit."""
    return haproxy_unit.text(
        "MTA-STS policy of the mail site over HTTPS",
        CONFIGURATION,
        PEM,
        pair,
        sandbox(
            CapabilityBoundingSet="CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_SYS_RESOURCE",
            MemoryDenyWriteExecute=None,  # regular expressions are compiled in memory
        ),
        mode="0700",
    )

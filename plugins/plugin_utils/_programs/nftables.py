# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nftables: one table of the collection's own, about the ports of the site's links and nothing else.

A small daemon owns it, so that nobody else's `flush ruleset` takes it away (_programs/postamt_firewall.py on the host).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Incoming
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions, every
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    File,
    Plan,
    Unit,
    command,
    digests,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

CONFIGURATION = "/etc/postamt/nftables.conf"
UNIT = "postamt-firewall.service"
DAEMON = "/usr/local/lib/postamt/firewall"
TABLE = "inet postamt"
PROGRAM = Program(
    title="the firewall",
    checker="/usr/sbin/nft",
    last=(CONFIGURATION,),
    order=30,
    about="Firewall of the internal ports of a mail site (nftables)",
    task="Firewall of the internal ports",
)


@dataclasses.dataclass(frozen=True)
class Nftables:
    """What one concern contributes: ports that only their callers may reach."""

    incoming: Iterable[Incoming]


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of the firewall for one host."""
    guarded = every(parts, "incoming")
    if not guarded:
        return make_plan(enabled=False, units=[Unit(UNIT, running=False)])
    own = [File(f"{UNITS}/{UNIT}", unit()), File(DAEMON, command("_programs/postamt_firewall"), "0755")]
    return make_plan(
        packages=["nftables"],
        files=[*own, File(CONFIGURATION, rules(guarded), "0600")],
        units=[Unit(UNIT)],
        parts=digests([*(file.content for file in own), *(rules([link]) for link in guarded)]),
    )


def rules(guarded: Iterable[Incoming]) -> str:
    """Return the table: other tables are not touched, and other ports not looked at."""
    guarded = list(guarded)
    ports = ", ".join(str(link.port) for link in guarded)
    lines = [
        f"table {TABLE} {{",
        "    flags owner",
        "    chain input {",
        "        type filter hook input priority filter; policy accept;",
        f"        tcp dport {{ {ports} }} jump links",
        "    }",
        "    chain links {",
        '        iifname "lo" accept',
    ]
    for link in guarded:
        addresses = [ipaddress.ip_address(address) for caller in link.callers for address in caller.addresses]
        for version, family in ((4, "ip"), (6, "ip6")):
            some = sorted({address for address in addresses if address.version == version}, key=int)
            if some:
                lines.append(f"        tcp dport {link.port} {family} saddr {{ {', '.join(map(str, some))} }} accept")
    lines += ["        drop", "    }", "}"]
    return "\n".join([HEAD, *lines, ""])


def unit() -> str:
    """Return the unit: before the network and the links at boot, and after them when the host goes down."""
    limits = sandbox(
        CapabilityBoundingSet="CAP_NET_ADMIN",
        RestrictAddressFamilies="AF_NETLINK AF_UNIX",
        PrivateTmp=None,  # would have it wait for systemd-tmpfiles, and it comes earlier
    )
    return f"""\
{HEAD}
[Unit]
Description=Firewall of the mail site's internal ports
Documentation=man:nft(8)
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target postamt-links.service shutdown.target
Conflicts=shutdown.target
After=local-fs.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={DAEMON}
ExecReload={DAEMON} $MAINPID
Restart=always
RestartSec=1
RuntimeDirectory=postamt-firewall
{limits}

[Install]
WantedBy=sysinit.target
"""

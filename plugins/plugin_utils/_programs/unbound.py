# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unbound: a resolver for programs of this host that are told to ask it; it validates by DNSSEC (unbound(8)).

It is a service of its own beside Debian's, at an address of its own: Unbound for the host's other programs stays free
for the administrator.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.unbound import (
    ANCHOR,
    CONFIGURATION,
    SHIPPED_ANCHOR,
    UNIT,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    every,
    merged,
    overridden,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    File,
    HealthCheck,
    Plan,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

ADDRESS = "127.0.0.153"  # who needs answers that are validated asks here, at port 53; 127.0.0.1 may be somebody else's
PROGRAM = Program(
    title="Unbound",
    checker="/usr/sbin/unbound-checkconf",
    restarts=True,
    patience=10.0,  # the first question has it ask several servers
    order=35,  # others ask it for names
    configuration=CONFIGURATION,
    about="Resolver (Unbound)",
    description=(
        "Runs Unbound as a resolver that validates answers of the DNS (DNSSEC) for Postfix of the same host, and stops "
        "it where it is no longer wanted.",
        "It is a service of its own, C(postamt-resolver), at 127.0.0.153. Debian's service C(unbound) and "
        "C(/etc/resolv.conf) stay free for you.",
    ),
    options={
        "settings": "Options of the section C(server) (I(unbound.conf(5))), such as V(cache-max-ttl). A value may be "
        "text, a number, a boolean, or a list of these for an option that stands several times."
    },
)


@dataclasses.dataclass(frozen=True)
class Zone:
    """Whom to ask about names in a zone. name: the zone's, . for all. servers: name servers or resolvers."""

    name: str
    servers: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Unbound:
    """What one concern contributes: options of the section server, and zones that are asked elsewhere."""

    settings: Mapping[str, str | int | bool | list[str]] = dataclasses.field(default_factory=dict)
    zones: Iterable[Zone] = ()
    checks: Iterable[HealthCheck] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Unbound for one host."""
    if not parts:
        return make_plan(enabled=False)
    own = overrides.get("settings") or {}
    for name, value in own.items():
        _refuse(str(name), value)
    base = {**_BASE, "do-ip6": host.look.ipv6, **merged(parts, "settings", "Unbound option")}
    return make_plan(
        packages=["unbound", "dns-root-data"],  # the second has the root's key
        files=[
            File(CONFIGURATION, configuration(overridden(base, own), every(parts, "zones"))),
            File(f"{UNITS}/{UNIT}", _unit()),
        ],
        units=[Unit(UNIT)],
        checks=every(parts, "checks"),
    )


# What makes it this host's own resolver that validates.
_FIXED: dict[str, t.Any] = {
    "interface": ADDRESS,
    "port": 53,
    "module-config": '"validator iterator"',
    "username": '""',  # it is started as its user
    "chroot": '""',
    "directory": '""',
    "pidfile": '""',
    "do-daemonize": False,
    "use-syslog": True,
}
_REFUSED = (
    *_FIXED,
    *("interface-automatic", "logfile", "use-systemd", "val-permissive-mode"),
)
_BASE: dict[str, t.Any] = {
    **_FIXED,
    "auto-trust-anchor-file": f'"{ANCHOR}"',
    "hide-identity": True,
    "hide-version": True,
    "prefetch": True,
    "val-log-level": 2,  # why mail waits whose DNS is wrong
    "verbosity": 0,
}
_OPTION = re.compile(r"[a-z0-9-]+")


def _refuse(name: str, value: t.Any) -> None:
    if not _OPTION.fullmatch(name):
        raise ComposeError(f"unbound_settings: {name!r} must be an option of the section server, such as cache-max-ttl")
    if name in _REFUSED or name.startswith(("control-", "include")):
        raise ComposeError(f"unbound_settings: {name} is what the collection needs of Unbound, and cannot be changed")
    for one in value if isinstance(value, list) else [value]:
        if value is not None and not (isinstance(one, str | int | float) and str(one).isprintable()):
            allowed = "text on one line, a number, true or false, or a list of these"
            raise ComposeError(f"unbound_settings: {name} is {one!r}, and must be {allowed}")


def configuration(settings: Mapping[str, t.Any], zones: Iterable[Zone]) -> str:
    """Return Unbound's configuration."""
    lines = [HEAD, "server:"]
    for name, value in sorted(settings.items()):
        lines += [f"    {name}: {_text(one)}" for one in (value if isinstance(value, list) else [value])]
    lines += ["remote-control:", "    control-enable: no"]
    for zone in sorted(zones, key=lambda one: one.name):
        lines += ["forward-zone:", f'    name: "{zone.name}"', *(f"    forward-addr: {one}" for one in zone.servers)]
    return "\n".join([*lines, ""])


def _text(value: t.Any) -> str:
    """Return a value as unbound.conf(5) has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _unit() -> str:
    limits = sandbox(CapabilityBoundingSet="CAP_NET_BIND_SERVICE")
    folder = ANCHOR.split("/")[-2]
    fresh = f"[ -s {ANCHOR} ] && [ ! {SHIPPED_ANCHOR} -nt {ANCHOR} ]"
    return f"""\
{HEAD}
[Unit]
Description=Resolver for the site's mail (Unbound)
Documentation=man:unbound(8)
After=network.target
Before=nss-lookup.target postfix.service postfix@-.service
StartLimitIntervalSec=0
[Service]
Type=notify
# The root's key as Debian ships it, where that is newer than what Unbound keeps (RFC 5011).
ExecStartPre=/bin/sh -c '{fresh} || cat {SHIPPED_ANCHOR} > {ANCHOR}'
ExecStart=/usr/sbin/unbound -d -p -c {CONFIGURATION}
ExecReload=/bin/kill -HUP $MAINPID
User=unbound
StateDirectory={folder}
StateDirectoryMode=0750
AmbientCapabilities=CAP_NET_BIND_SERVICE
Restart=always
RestartSec=1
{limits}
[Install]
WantedBy=multi-user.target
"""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HAProxy: carries what the site's hosts say to each other, over TLS with certificates on both ends.

It has a configuration and a unit of its own: an administrator's own HAProxy on the same host is left alone.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import links
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Incoming, Outgoing
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError, Contributions, every
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    Directory,
    File,
    HealthCheck,
    Plan,
    Serves,
    Unit,
    digests,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.tls_profile import CIPHERS, CURVES
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import nearest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, KeyPair, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _haproxy_gate as gate
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _haproxy_unit as haproxy_unit

CONFIGURATION = "/etc/postamt/haproxy.cfg"
UNIT = "postamt-links.service"
WATCH = "/etc/postamt/haproxy.lua"
PROGRAM = Program(
    title="HAProxy",
    checker="/usr/sbin/haproxy",
    last=(CONFIGURATION,),
    patience=20.0,
    reload=("systemctl", "reload", UNIT),
    order=20,
    about="Links between the hosts of a mail site (HAProxy)",
    task="Links to the site's other hosts",
    options={
        "settings": "Keywords of HAProxy by section, V(global) and V(defaults), such as C(maxconn). V(true) writes the "
        "keyword alone."
    },
)
PEM = f"{links.FOLDER}/certificate.pem"  # chain and key in one file, as HAProxy wants them
SECTIONS = ("global", "defaults")
# Users of links, by the package that brings them: this role comes before theirs on a fresh host.
OWNERS = {"postfix": "postfix", "dovecot": "dovecot-core", "openldap": "slapd", "amavis": "amavisd-new"}

Value = str | int | bool
Settings = Mapping[str, Mapping[str, Value]]

GLOBAL: dict[str, Value] = {
    "user": links.USER,
    "group": links.POSTDROP,  # links end at sockets of Postfix for which that is needed
    "log": "/dev/log daemon notice",
    "maxconn": 2000,
    "nbthread": 1,
    "lua-load": WATCH,
    "hard-stop-after": "10m",  # what a reload leaves behind: idle connections, which their programs open again
    "stats socket": f"{links.FOLDER}/admin.sock mode 600 level admin expose-fd listeners",
    "ssl-default-bind-options": "ssl-min-ver TLSv1.2",
    "ssl-default-bind-ciphers": CIPHERS,
    "ssl-default-bind-curves": ":".join(CURVES),
    "ssl-default-server-options": "ssl-min-ver TLSv1.2",
}
DEFAULTS: dict[str, Value] = {
    "mode": "tcp",
    "log": "global",
    "option dontlog-normal": True,
    "option dontlognull": True,
    "option tcpka": True,
    "option redispatch": 1,
    "retries": 3,
    "timeout connect": "1500ms",
    # Programs keep connections for hours; a peer that is gone is noticed by checks and keepalive.
    "timeout client": "24h",
    "timeout server": "24h",
    "clitcpka-idle": "60s",
    "clitcpka-intvl": "10s",
    "clitcpka-cnt": 6,
}
# How fast a host that does not work is passed over; where there is no other one, a busy host is given more time.
ONE_OF_SEVERAL = ("timeout check 1s", "default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 1")
ALONE = ("timeout check 5s", "default-server inter 2s fall 3 rise 1")
# Twice a second, inside HAProxy: servers named "here" are in maintenance while nobody listens at their socket, which is
# seen without a connection that would take a process of amavis or a line of Postfix's log, or, where it is a filter,
# while that does not pass its own test (concern filter_test); and what still hangs on a
# server that has been down for two seconds is ended. HAProxy's own on-marked-down does that at once, and in 3.0.11 a
# connection that is just being made then hangs for ever; after `timeout connect` there is none.
_WATCH = """\
-- Written by postamt.mail; change the site's variables instead.
local function listening()
    local paths = {}
    local file = io.open("/proc/net/unix")
    for line in file and file:lines() or function() end do
        local flags, path = line:match("^%x+: %x+ %x+ (%x+) %x+ %x+ +%d+ (.+)$")
        if flags == "00010000" then -- it accepts connections
            paths[path:match("^/") and path or "/var/spool/postfix/" .. path] = true -- Postfix's are relative
        end
    end
    if file then
        file:close()
    end
    return paths
end

local function filter_is_down()
    local file = io.open("/run/postamt-filter/down")
    if file then
        file:close()
    end
    return file ~= nil
end

core.register_task(function()
    local down, away, ask = {}, {}, false
    while true do
        ask = not ask -- once a second: get_stats() makes a table of some hundred values
        local paths, no_filter = listening(), filter_is_down()
        for backend, proxy in pairs(core.backends) do
            for name, server in pairs(proxy.servers) do
                local link = backend .. "/" .. name
                local path = name == "here" and server:get_addr()
                if path then
                    local gone = not paths[path] or (no_filter and backend:match("^%a+%-filter%-"))
                    if gone and not away[link] then
                        server:set_maint()
                    elseif away[link] and not gone then
                        server:set_ready()
                    end
                    away[link] = gone
                end
                if ask then
                    down[link] = server:get_stats().status == "DOWN" and (down[link] or 0) + 1 or nil
                    if down[link] == 3 then
                        server:shut_sess()
                    end
                end
            end
        end
        core.msleep(500)
    end
end)
"""


@dataclasses.dataclass(frozen=True)
class Haproxy:
    """What one concern contributes: links that begin on the host, and those that end there."""

    certificate: KeyPair
    outgoing: Iterable[Outgoing] = ()
    incoming: Iterable[Incoming] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of HAProxy for one host."""
    settings = with_user_settings(overrides.get("settings") or {})
    if not parts:
        return make_plan(enabled=False, units=[Unit(gate.UNIT, running=False), Unit(UNIT, running=False)])
    outgoing = every(parts, "outgoing")
    incoming = every(parts, "incoming")
    (pair,) = {part.certificate for _concern, part in parts}
    in_chroot = any(link.bind.startswith(links.CHROOT) for link in outgoing)
    shown = [pair.chain, pair.key, CA_FILE]
    owners = {owner for link in outgoing for owner in (link.owner, *link.also.values())}
    replica = reach.is_replica(site, host)
    text = configuration(host, outgoing, incoming, settings)
    files = [File(f"{UNITS}/{UNIT}", unit(pair)), File(WATCH, _WATCH)]
    files += gate.files(site.suffix, UNIT) if replica else []
    return make_plan(
        # Postfix brings the worker's group, the last one what the gate asks directories with.
        packages={
            "haproxy",
            "postfix",
            *(OWNERS[owner] for owner in owners & set(OWNERS)),
            *(["python3-ldap"] if replica else []),
        },
        directories=[Directory(f"{links.CHROOT}/private", "0700", "postfix", "root")] if in_chroot else [],
        files=[*files, File(CONFIGURATION, text)],
        parts=digests([*text.rstrip().split("\n\n"), *(file.content for file in files)]),
        units=[Unit(UNIT), Unit(gate.UNIT, running=replica)],
        watch=shown,
        serves=[Serves(links.OWN, "", "implicit", (pair.chain,), "127.0.0.1")],
        checks=[
            HealthCheck("tls", {"port": links.OWN, "address": "127.0.0.1"}),
            *(HealthCheck("listens", {"port": link.port}) for link in incoming),
            *map(_check_of, outgoing),
            *(HealthCheck("socket", {"path": path}) for link in outgoing for path in link.also),
        ],
    )


def with_user_settings(given: t.Any) -> Settings:
    """Return keywords by section with the user's own on top; null removes."""
    for section, keywords in given.items():
        if section not in SECTIONS:
            raise ComposeError(
                f"haproxy_settings: {section} is no section{nearest(section, SECTIONS)} (global, defaults)"
            )
        if not isinstance(keywords, Mapping):
            raise ComposeError(f"haproxy_settings: {section} must be a mapping from keywords to values")
    both = {"global": {**GLOBAL, **given.get("global", {})}, "defaults": {**DEFAULTS, **given.get("defaults", {})}}
    return {
        section: {keyword: value for keyword, value in keywords.items() if value is not None and value is not False}
        for section, keywords in both.items()
    }


def configuration(host: Host, outgoing: Iterable[Outgoing], incoming: Iterable[Incoming], settings: Settings) -> str:
    """Return HAProxy's configuration."""
    lines = [HEAD]
    for section, keywords in settings.items():
        words = [keyword if value is True else f"{keyword} {value}" for keyword, value in keywords.items()]
        lines += ["", section, *(f"    {line}" for line in words)]
    # By this port the host itself sees which certificate its links show.
    own = [f"bind 127.0.0.1:{links.OWN} ssl crt {PEM}", "tcp-request session reject"]
    lines += ["", "frontend own", *(f"    {line}" for line in own)]
    for out in outgoing:
        lines += ["", f"listen to-{out.name}", *(f"    {line}" for line in _outgoing(host, out))]
    for link in incoming:
        lines += ["", f"listen from-{link.name}", *(f"    {line}" for line in _incoming(host, link))]
        for caller, target in link.targets.items():
            lines += ["", f"backend from-{link.name}-{caller}", f"    server here {target}"]
    return "\n".join([*lines, ""])


def _outgoing(host: Host, link: Outgoing) -> Iterable[str]:
    yield f"bind {link.bind}{_rights(link)}"
    yield from (f"bind {path} user {owner} mode 600" for path, owner in link.also.items())
    yield "option log-separate-errors"  # which makes errors of a level that is logged; checks of others are none
    several = len(link.to) + bool(link.local) > 1
    yield from ONE_OF_SEVERAL if several else ALONE
    if link.check == "ldap":
        yield "option ldap-check"
    if link.spread:
        yield "balance leastconn"
    if link.spread and link.local:
        yield "option allbackups"
    if link.local:
        # Whether somebody listens at a socket of this host is seen without a connection, by _WATCH.
        yield f"server here {link.local}" if link.check == "tls" else f"server own {link.local} check"
    for index, other in enumerate(link.to):
        backup = " backup" if link.local or (index and not link.spread) else ""
        name = links.name_of(other) if other.link_named else other.name
        tls = f"ssl crt {PEM} ca-file {CA_FILE} verify required verifyhost {name}"
        yield f"server {other.name} {_address(host, other)}:{link.port} {_known(host, other)} {tls} check{backup}"


def _incoming(host: Host, link: Incoming) -> Iterable[str]:
    everywhere = "[::]:{} v4v6" if host.look.ipv6 else "0.0.0.0:{}"
    yield f"bind {everywhere.format(link.port)} ssl crt {PEM} ca-file {CA_FILE} verify required"
    target = link.target or next(iter(link.targets.values()), "")
    if link.reject:
        # The other end takes a handshake that fails for an answer: it asks another host.
        yield f"tcp-request connection reject if {{ nbsrv(from-{link.name}) lt 1 }}"
    callers = " ".join(caller.name for caller in link.callers)
    yield f"tcp-request session reject unless {{ ssl_c_s_dn(cn) -m str {callers} }}"
    for caller in link.targets:
        yield f"use_backend from-{link.name}-{caller} if {{ ssl_c_s_dn(cn) -m str {caller} }}"
    yield f"server {'own' if link.name == 'directory' else 'here'} {target}"


def _rights(link: Outgoing) -> str:
    return f" user {link.owner} mode 600" if link.bind.startswith("/") else ""


def _address(host: Host, other: Host) -> str:
    """Return the other host's name, in IPv4 only where one of the two has nothing else."""
    return str(other.name) if host.look.ipv6 and other.look.ipv6 else f"ipv4@{other.name}"


def _known(host: Host, other: Host) -> str:
    """Return where a host is when its name does not resolve: at an address of a family that both have."""
    families = {ipaddress.ip_address(address).version for address in host.addresses} or {4, 6}
    fitting = [one for one in other.addresses if ipaddress.ip_address(one).version in families]
    return f"init-addr libc,{next(iter([*fitting, *other.addresses]), 'none')}"


def _check_of(link: Outgoing) -> HealthCheck:
    if link.bind.startswith("/"):
        return HealthCheck("socket", {"path": link.bind})
    address, _colon, port = link.bind.rpartition(":")
    return HealthCheck("listens", {"port": int(port), "address": address})


def unit(pair: KeyPair) -> str:
    """Return the unit."""
    return haproxy_unit.text(
        "Links to the other hosts of the mail site",
        CONFIGURATION,
        PEM,
        pair,
        sandbox(
            ProtectSystem="full",  # haproxy_settings may name sockets
            # Sockets are given to the programs that ask them, in folders of theirs; the worker is nobody's but its own.
            CapabilityBoundingSet="CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID "
            "CAP_SETUID CAP_SYS_CHROOT CAP_SYS_RESOURCE",
            MemoryDenyWriteExecute=None,  # regular expressions are compiled in memory
            SystemCallFilter="@system-service chroot",
        ),
        mode="0755",
        before="postfix.service postfix@-.service saslauthd-postfix.service dovecot.service",
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of systemd: timers of scheduled tasks, and what a service may not do (systemd.exec(5)), said once for all."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File

# What fits a service of one's own that writes nowhere and talks to this host and to the network.
SANDBOX = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectProc": "invisible",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",  # the last for getaddrinfo(3)
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "SystemCallErrorNumber": "EPERM",
}


def timer(name: str, about: str, **when: str) -> File:
    """Return the timer of a scheduled task, the service of the same name; the concern lists it among its units.

    when: directives of systemd.timer(5), in their order, such as OnCalendar="daily".
    """
    lines = [HEAD, "[Unit]", f"Description={about}", "", "[Timer]", *(f"{key}={value}" for key, value in when.items())]
    return File(f"{UNITS}/{name}.timer", "\n".join([*lines, "", "[Install]", "WantedBy=timers.target", ""]))


def sandbox(**changes: str | None) -> str:
    """Return the lines of a [Service] section that keep a service from what it has no use for.

    changes: by directive, what the service needs instead; None leaves a directive out.
    """
    return "\n".join(f"{name}={value}" for name, value in {**SANDBOX, **changes}.items() if value is not None)

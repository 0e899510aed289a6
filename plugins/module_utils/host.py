# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is like: one read-only look, for the site model."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import platform
import re
import socket
import ssl

from ansible.module_utils.basic import AnsibleModule

CA_FILE = "/etc/postamt/tls/ca.pem"
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroup v2, v1
STATE = "/var/lib/postamt"
RECORD = f"{STATE}/ldap/applied.json"  # names accounts where this host's directory takes changes
ARRIVING = f"{STATE}/ldap/arriving.json"  # a directory that was brought here and is to be taken up
MAILBOXES = "/var/vmail"
# What a program reads, by its name here
CONFIGURATIONS = {
    "ldap": "/etc/ldap/slapd.d",
    "sasl": "/etc/pam.d/smtp",
    "dovecot": "/etc/dovecot/dovecot.conf",
    "clamav": "/etc/clamav/clamd.conf",
    "amavis": "/etc/amavis/conf.d",
    "postfix": "/etc/postfix/main.cf",
}
PACKAGES = {"postfix": "postfix", "dovecot-core": "dovecot", "slapd": "slapd"}


def output(module: AnsibleModule, *command: str) -> str:
    """Return what a command prints, whatever its exit code (dpkg-query complains of unknown packages); else nothing."""
    return str(module.run_command([*command], environ_update={"LC_ALL": "C"}, handle_exceptions=False)[1])


def release() -> str:
    """Return VERSION_CODENAME on Debian, else ID and VERSION_ID (os-release(5))."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    if system.get("ID") == "debian":
        return system.get("VERSION_CODENAME", "")
    return " ".join(filter(None, [system.get("ID"), system.get("VERSION_ID")]))


def upstream(version: str) -> str:
    """Return a Debian version without its epoch and revision (deb-version(7))."""
    number = version.partition(":")[2] if ":" in version else version
    return re.split(r"[-+~]", number, maxsplit=1)[0]


def versions(module: AnsibleModule) -> dict[str, str]:
    """Return the versions of the installed mail programs."""
    asked = "${db:Status-Status} ${Package} ${Version}\n"
    lines = [line.split(" ") for line in output(module, "dpkg-query", "-W", "-f", asked, *PACKAGES).splitlines()]
    return {PACKAGES[package]: upstream(version) for status, package, version in lines if status == "installed"}


def addresses(module: AnsibleModule) -> list[str]:
    """Return the addresses of all interfaces, as hostname(1) lists them: no loopback, no link-local IPv6."""
    found = [ipaddress.ip_address(word) for word in output(module, "hostname", "-I").split()]
    useful = [address for address in found if not address.is_loopback and not address.is_link_local]
    return [str(address) for address in sorted(useful, key=lambda address: address.version)]


def memory(kind: str) -> int:
    """Return MemTotal or SwapTotal in bytes (proc_meminfo(5)); memory no more than a container's limit."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        found = next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))
    for path in LIMITS if kind == "MemTotal" else ():
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            found = min(found, int(file.read()))
    return found


def ipv6() -> bool:
    """Tell whether a socket of IPv6 can be bound: sysctl, kernel parameter and build all show here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def ca() -> str:
    """Return the SHA-256 of the site's CA that this host trusts, in hexadecimal."""
    try:
        with open(CA_FILE, encoding="ascii") as file:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest().upper()
    except (OSError, ValueError):
        return ""


def unclaimed() -> list[str]:
    """Return the programs that are configured here and that this collection has never set up."""
    return [
        program
        for program, path in CONFIGURATIONS.items()
        if os.path.exists(path) and not os.path.exists(f"{STATE}/{program}/manifest.json")
    ]


def holds() -> list[str]:
    """Return what this host has that a site would miss: the directory that takes changes, and mailboxes."""
    found = []
    with contextlib.suppress(OSError), open(RECORD, "rb") as file:
        found += ["directory"] if b'"accounts"' in file.read() else []
    found += ["arriving"] if os.path.exists(ARRIVING) else []
    with contextlib.suppress(OSError), os.scandir(MAILBOXES) as entries:
        found += ["mailboxes"] if any(one.is_dir() and not one.name.startswith(".") for one in entries) else []
    return found


def carry_out(module: AnsibleModule) -> None:
    """Return the look; ends the module."""
    module.exit_json(
        changed=False,
        look={
            "release": release(),
            "architecture": output(module, "dpkg", "--print-architecture").strip() or platform.machine(),
            "memory": memory("MemTotal"),
            "swap": memory("SwapTotal"),
            "cores": len(os.sched_getaffinity(0)),
            "addresses": addresses(module),
            "ipv6": ipv6(),
            "ca": ca(),
            "unclaimed": unclaimed(),
            "holds": holds(),
            "versions": versions(module),
        },
    )

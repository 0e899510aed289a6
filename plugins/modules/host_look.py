#!/usr/bin/python
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_look
short_description: See what a mail host is like
version_added: 0.1.0
description:
  - Looks at a host once, fast and read-only, and returns what the site model needs to know of it.
  - It asks much less than M(ansible.builtin.setup) and also the versions of the installed mail programs.
author: the postamt.mail authors (@postamt)
options: {}
attributes:
  check_mode:
    description: Can run in check mode and then returns the same.
    support: full
  diff_mode:
    description: Returns what changed when run in diff mode.
    support: none
    details: The module changes nothing.
"""

EXAMPLES = r"""
- name: See what the host is like
  postamt.mail.host_look:
  register: seen
"""

RETURN = r"""
look:
  description: What was seen.
  returned: success
  type: dict
  contains:
    release:
      description: Code name of the Debian release, or identifier and version of another system.
      type: str
      sample: trixie
    architecture:
      description: Debian's name of the architecture.
      type: str
      sample: amd64
    memory:
      description: Main memory in bytes.
      type: int
    cores:
      description: Processors that this host may use.
      type: int
    addresses:
      description: Addresses that are neither loopback nor link-local, those of IPv4 first.
      type: list
      elements: str
      sample: ["192.0.2.25", "2001:db8::25"]
    ipv6:
      description: Whether the kernel speaks IPv6.
      type: bool
    ca:
      description: >-
        SHA-256 of the certificate of the site's own CA that the host trusts, empty where it has none yet. A controller
        that has another CA must not go on.
      type: str
    versions:
      description: >-
        Upstream versions of the installed ones among C(postfix), C(dovecot) and C(slapd). What is not installed is
        absent.
      type: dict
      sample: {postfix: 3.10.13, dovecot: 2.4.1, slapd: 2.6.10}
"""

import hashlib
import ipaddress
import os
import platform
import re
import socket
import ssl

from ansible.module_utils.basic import AnsibleModule

CA_FILE = "/etc/postamt/tls/ca.pem"
PACKAGES = {"postfix": "postfix", "dovecot-core": "dovecot", "slapd": "slapd"}


def output(module, *command):
    """Return what a command prints, whatever its exit code (dpkg-query complains of unknown packages); else nothing."""
    return module.run_command([*command], environ_update={"LC_ALL": "C"}, handle_exceptions=False)[1]


def release():
    """Return VERSION_CODENAME on Debian, else ID and VERSION_ID (os-release(5))."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    if system.get("ID") == "debian":
        return system.get("VERSION_CODENAME", "")
    return " ".join(filter(None, [system.get("ID"), system.get("VERSION_ID")]))


def upstream(version):
    """Return a Debian version without its epoch and revision (deb-version(7))."""
    number = version.partition(":")[2] if ":" in version else version
    return re.split(r"[-+~]", number, maxsplit=1)[0]


def versions(module):
    """Return the versions of the installed mail programs."""
    asked = "${db:Status-Status} ${Package} ${Version}\n"
    lines = [line.split(" ") for line in output(module, "dpkg-query", "-W", "-f", asked, *PACKAGES).splitlines()]
    return {PACKAGES[package]: upstream(version) for status, package, version in lines if status == "installed"}


def addresses(module):
    """Return the addresses of all interfaces, as hostname(1) lists them: no loopback, no link-local IPv6."""
    found = [ipaddress.ip_address(word) for word in output(module, "hostname", "-I").split()]
    useful = [address for address in found if not address.is_loopback and not address.is_link_local]
    return [str(address) for address in sorted(useful, key=lambda address: address.version)]


def memory():
    """Return MemTotal in bytes (proc_meminfo(5))."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))


def ipv6():
    """Tell whether a socket of IPv6 can be bound: sysctl, kernel parameter and build all show here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def ca():
    """Return the SHA-256 of the site's CA that this host trusts, in hexadecimal."""
    try:
        with open(CA_FILE, encoding="ascii") as file:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest().upper()
    except (OSError, ValueError):
        return ""


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(
        changed=False,
        look={
            "release": release(),
            "architecture": output(module, "dpkg", "--print-architecture").strip() or platform.machine(),
            "memory": memory(),
            "cores": len(os.sched_getaffinity(0)),
            "addresses": addresses(module),
            "ipv6": ipv6(),
            "ca": ca(),
            "versions": versions(module),
        },
    )


if __name__ == "__main__":
    main()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is like: one read-only look, for the site model."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import ipaddress
import json
import os
import platform
import pwd
import re
import socket
import ssl
import stat
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, rivals

CA_FILE = "/etc/postamt/tls/ca.pem"
INTERFACES = "/sys/class/net"
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroup v2, v1
STATE = "/var/lib/postamt"
RECORD = f"{STATE}/ldap/applied.json"  # names accounts where this host's directory takes changes
ARRIVING = f"{STATE}/ldap/arriving.json"  # a directory that was brought here and is to be taken up
MAILBOXES = "/var/vmail"
FSCK = "lost+found"  # where a file system begins
UNITS = "/etc/systemd/system"
OWN_TABLE = "inet postamt"
# Tables and chains of runtimes of containers and virtual machines, and of fail2ban and sshguard
FOREIGN_CHAINS = re.compile(r"(?i)(netavark|cni|docker|kube|cali|flannel|libvirt|lxc|lxd|incus|f2b|sshguard)")


def output(module: AnsibleModule, *command: str) -> str:
    """Return what a command prints, whatever its exit code (dpkg-query complains of unknown packages).

    Nothing where there is no such command: a host without nft has no rules of nft.
    """
    with contextlib.suppress(FileNotFoundError):
        return str(module.run_command([*command], environ_update={"LC_ALL": "C"}, handle_exceptions=False)[1])
    return ""


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


def versions(module: AnsibleModule, packages: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the mail programs that are installed; packages: the programs by their packages."""
    if not packages:
        return {}
    asked = "${db:Status-Status} ${Package} ${Version}\n"
    lines = [line.split(" ") for line in output(module, "dpkg-query", "-W", "-f", asked, *packages).splitlines()]
    return {packages[package]: upstream(version) for status, package, version in lines if status == "installed"}


def addresses(module: AnsibleModule) -> list[str]:
    """Return the addresses of the interfaces, as hostname(1) lists them: no loopback, no link-local IPv6.

    What containers and virtual machines of this host call it is no address of it, as long as there is another one.
    """
    found = [ipaddress.ip_address(word) for word in output(module, "hostname", "-I").split()]
    useful = [address for address in found if not address.is_loopback and not address.is_link_local]
    inner = inside(output(module, "ip", "-json", "address"))
    outer = [address for address in useful if str(address) not in inner] or useful
    return [str(address) for address in sorted(outer, key=lambda address: address.version)]


def inside(listed: str) -> set[str]:
    """Return the addresses of bridges that lead nowhere but to this host's own guests; listed: what ip(8) says."""
    found: set[str] = set()
    with contextlib.suppress(ValueError):
        for interface in json.loads(listed):
            place = f"{INTERFACES}/{interface['ifname']}"
            if files.exists(f"{place}/bridge") and not any(map(leads_out, files.names(f"{place}/brif"))):
                found |= {address["local"] for address in interface["addr_info"]}
    return found


def leads_out(name: str) -> bool:
    """Tell whether an interface is a network card, several, or a part of one: guests have none of these."""
    place = f"{INTERFACES}/{name}"
    return (
        files.exists(f"{place}/device")
        or files.exists(f"{place}/bonding")
        or "DEVTYPE=vlan" in files.text(f"{place}/uevent")
    )


def memory(kind: str) -> int:
    """Return MemTotal or SwapTotal in bytes (proc_meminfo(5)); memory no more than a container's limit."""
    lines = files.text("/proc/meminfo").splitlines()
    found = next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))
    for path in LIMITS if kind == "MemTotal" else ():
        with contextlib.suppress(ValueError):  # none, or "max"
            found = min(found, int(files.text(path)))
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
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(files.text(CA_FILE))).hexdigest().upper()
    except ValueError:
        return ""


def unclaimed(configurations: Mapping[str, str], mail_servers: Iterable[str] = ()) -> list[str]:
    """Return the programs that are configured here and that this collection has never set up.

    configurations: by program, a path that is there then; mail_servers: programs to which it falls to take over what
    another mail server does.
    """
    found = [program for program in configurations if not files.exists(f"{STATE}/{program}/manifest.json")]
    there = {program for program in found if files.exists(configurations[program])}
    waiting = set(mail_servers) & set(found) - there
    if waiting and rivals.found():
        there |= waiting
    return [program for program in found if program in there]


def in_the_way(name: str, number: int) -> list[str]:
    """Return what keeps a user and its group from being made with a number: who has it, or their own other number."""
    found = []
    with contextlib.suppress(KeyError):
        if (user := pwd.getpwuid(number).pw_name) != name:
            found.append(f"user {user} has {number}")
    with contextlib.suppress(KeyError):
        if (other := pwd.getpwnam(name).pw_uid) != number:
            found.append(f"user {name} has {other}")
    with contextlib.suppress(KeyError):
        if (group := grp.getgrgid(number).gr_name) != name:
            found.append(f"group {group} has {number}")
    with contextlib.suppress(KeyError):
        if (other := grp.getgrnam(name).gr_gid) != number:
            found.append(f"group {name} has {other}")
    return found


def masked() -> list[str]:
    """Return the units that somebody has masked, whether they are installed or not (systemctl(1))."""
    return [name for name in files.names(UNITS) if files.readlink(f"{UNITS}/{name}") == "/dev/null"]


def claimed() -> list[str]:
    """Return the programs of which this collection has files here, or a change under way."""
    found = []
    for name in files.names(STATE):
        with contextlib.suppress(OSError):
            if files.load(f"{STATE}/{name}/manifest.json").get("files"):
                found.append(name)
                continue
        if files.exists(f"{STATE}/{name}/pending/mark.json"):
            found.append(name)
    return found


def firewall(module: AnsibleModule) -> list[str]:
    """Return what else than this collection decides on this host which packets come in, by name or by its tables.

    A rule counts in a chain at the hook for input, and so does that chain's policy; not what runtimes of containers and
    virtual machines and fail2ban put there, which let in more or keep single addresses out. Empty chains do not count.
    """
    found = []
    if re.search(r"(?mi)^ENABLED\s*=\s*\"?yes", files.text("/etc/ufw/ufw.conf")):
        found.append("ufw")
    if files.exists("/sys/fs/cgroup/system.slice/firewalld.service"):
        found.append("firewalld")
    if found:
        return found
    with contextlib.suppress(ValueError):
        listed = json.loads(output(module, "nft", "--terse", "--json", "list", "ruleset"))["nftables"]
        found += [f"rules of nftables in table {table}" for table in deciding(listed)]
    for protocol, command in (("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")):
        with contextlib.suppress(OSError):
            tables = files.text(f"/proc/net/{protocol}_tables_names").split()
            if "filter" in tables and _decides(output(module, command, "-t", "filter")):
                found.append(f"rules of {command.removesuffix('-save')}")
    return found


def deciding(listed: list[dict[str, Any]]) -> list[str]:
    """Return the tables, other than ours, that decide on packets for the host; listed: what nft(8) says in JSON."""

    def table(item: Mapping[str, str]) -> str:
        return f"{item['family']} {item['table']}"

    chains = [item["chain"] for item in listed if item.get("chain", {}).get("hook") == "input"]
    chains = [chain for chain in chains if table(chain) != OWN_TABLE and chain.get("type") == "filter"]
    watched = {(table(chain), chain["name"]) for chain in chains}
    found = [table(chain) for chain in chains if chain.get("policy") == "drop"]
    for rule in (item["rule"] for item in listed if "rule" in item):
        jumps = [one[verb]["target"] for one in rule["expr"] for verb in ("jump", "goto") if verb in one]
        if (table(rule), rule["chain"]) in watched and not (
            FOREIGN_CHAINS.match(rule["table"]) or any(map(FOREIGN_CHAINS.match, jumps))
        ):
            found.append(table(rule))
    return list(dict.fromkeys(found))


def _decides(saved: str) -> bool:
    """Tell it of what iptables-save(8) prints of a filter table."""
    rules = [line.split() for line in saved.splitlines() if line.startswith(("-A INPUT ", ":INPUT DROP"))]
    return any(words[0] != "-A" or not FOREIGN_CHAINS.match(words[-1]) for words in rules)


def holds() -> list[str]:
    """Return what this host has that a site would miss: the directory that takes changes, and mailboxes."""
    found = []
    found += ["directory"] if '"accounts"' in files.text(RECORD) else []
    found += ["arriving"] if files.exists(ARRIVING) else []
    mailboxes = (
        files.status(f"{MAILBOXES}/{name}") for name in files.names(MAILBOXES) if name[0] != "." and name != FSCK
    )
    found += ["mailboxes"] if any(one and stat.S_ISDIR(one.st_mode) for one in mailboxes) else []
    return found


def look(module: AnsibleModule) -> dict[str, Any]:
    """Return what the site model has to know of this host."""
    request = module.params["request"]
    owner = request.get("owner")
    return {
        "release": release(),
        "architecture": output(module, "dpkg", "--print-architecture").strip() or platform.machine(),
        "memory": memory("MemTotal"),
        "swap": memory("SwapTotal"),
        "cores": len(os.sched_getaffinity(0)),
        "addresses": addresses(module),
        "ipv6": ipv6(),
        "ca": ca(),
        "clock": round(time.time()),
        "unclaimed": unclaimed(request.get("configurations", {}), request.get("mail_servers", ())),
        "claimed": claimed(),
        "firewall": firewall(module) if request.get("firewall") else [],
        "holds": holds(),
        "in_the_way": in_the_way(*owner) if owner else [],
        "masked": masked(),
        "versions": versions(module, request.get("versions", {})),
    }

#!/usr/bin/env python3
"""Container hosts with real systemd and sshd, for the demo and for the tests.

A *set* is one network (IPv4 and IPv6, names resolve) with one container per
host name.  Ansible reaches the hosts over ssh like any machine, so that what
is tested is what a user runs.  Podman needs root for this: systemd inside,
addresses that are reachable from this machine.

    tools/hosts.py up SET --release trixie mail.example.test
    tools/hosts.py up SET --image test --inventory FILE mail.example.test old.example.test=bookworm
    tools/hosts.py name-server SET --zones FOLDER
    tools/hosts.py cut-off CONTAINER
    tools/hosts.py away CONTAINER stopped
    tools/hosts.py back CONTAINER stopped
    tools/hosts.py mount CONTAINER -- --rbind -o ro /etc /etc
    tools/hosts.py run CONTAINER tools/world/KIND
    tools/hosts.py down SET
    tools/hosts.py image test --release bookworm

Images are built once for each release: `base` is what a fresh Debian server
has, `test` has the mail packages too, installed and never started.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache"
IMAGES = REPOSITORY / "tools" / "images"
KEY = CACHE / "ssh" / "id_ed25519"
RELEASES = ("trixie", "bookworm")
# Several checkouts on one machine keep their containers apart by it.
PREFIX = os.environ.get("LAB_PREFIX", "postamt")
NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ssh": "openssh-client",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
}
# Host keys of these containers are as short-lived as the containers.
SSH_ARGS = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


TARGET = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"
SUITES = ("trixie", "bookworm", "stable", "oldstable", "testing", "sid", "unstable")


class Mirrors(NamedTuple):
    """Where packages come from, and where their security updates come from."""

    packages: str
    security: str


DEBIAN = Mirrors("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


def mirrors(*options: str) -> Mirrors:
    """Return the mirrors to use: $DEBIAN_MIRROR, else apt's own, else Debian's for everybody.

    options: further words for apt-get(8). Security updates are beside $DEBIAN_MIRROR, under the usual name.
    """
    if wish := os.environ.get("DEBIAN_MIRROR"):
        return Mirrors(wish, f"{wish}-security")
    found: dict[str, str] = {}
    # apt knows who publishes a suite once its lists are fetched; before that, the names have to do
    for option, ours in (
        ("--release-info", lambda site, suite, origin: origin == "Debian"),
        ("--no-release-info", lambda site, suite, origin: suite in SUITES and "/debian" in site),
    ):
        for line in _targets(option, *options):
            site, suite, component, origin = (*line.split(" ", 3), "")[:4]
            suite, _, kind = suite.partition("-")
            # a plain image has neither certificates for https:// nor a list of mirrors
            if component == "main" and site.startswith("http://") and ours(site, suite, origin):
                found.setdefault("security" if kind == "security" else "packages", site)
    return DEBIAN._replace(**found)


def _targets(*options: str) -> list[str]:
    """Return a line for each index of packages that apt would fetch; none where apt is missing or misconfigured."""
    try:
        command = ["apt-get", *options, "indextargets", "--format", TARGET, "Created-By: Packages"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []


def say(text: str) -> None:
    """Progress goes to standard error; standard output is for data."""
    print(f"hosts: {text}", file=sys.stderr, flush=True)


def root(*command: str, check: bool = True, quiet: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as root, by sudo where this user is somebody else."""
    words = list(command)
    if words[0] == "podman":
        words = ["env", f"CONTAINERS_CONF={CACHE / 'containers.conf'}", *words]
    if os.geteuid() != 0:
        words = ["sudo", *words]
    if quiet:
        options.update(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.run(words, check=check, text=True, **options)


def answer(*command: str) -> str:
    """What a root command prints."""
    return root(*command, stdout=subprocess.PIPE).stdout.strip()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """One at a time, among all processes that use this repository."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def environment() -> None:
    """Podman, its settings and an ssh key; says what it installs before it does."""
    with lock("environment"):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        missing = [package for program, package in NEEDED.items() if not shutil.which(program, path=path)]
        if missing:
            say(f"installing from Debian: {' '.join(missing)}")
            root("apt-get", "-q", "update", stdout=sys.stderr)
            apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-install-recommends")
            root(*apt, "install", *missing, stdout=sys.stderr)
        # runc runs systemd on every kernel seen so far, crun does not.  Podman's own
        # limits are refused where this machine's are lower, and so is a number of
        # processes above the kernel's.
        wanted = (("nofile", resource.RLIMIT_NOFILE, 1048576), ("nproc", resource.RLIMIT_NPROC, 32768))
        ulimits = []
        for name, number, most in wanted:
            hard = resource.getrlimit(number)[1]
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            ulimits.append(f"{name}={value}:{value}")
        settings = (
            '[engine]\nruntime = "runc"\n\n'
            f'[containers]\ndefault_ulimits = {json.dumps(ulimits)}\nbase_hosts_file = "none"\n'
        )
        (CACHE / "containers.conf").write_text(settings, encoding="utf-8")
        # Each systemd takes some ten of root's inotify(7) instances, and many kernels have 128 of them.
        if int(Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii")) < 1024:
            root("sysctl", "-qw", "fs.inotify.max_user_instances=1024", check=False, quiet=True)
        if not KEY.exists():
            KEY.parent.mkdir(parents=True, exist_ok=True)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "postamt", "-f", str(KEY)]
            subprocess.run(command, check=True)


def exists(kind: str, name: str) -> bool:
    """Whether Podman knows this image, container or network."""
    return root("podman", kind, "exists", name, check=False).returncode == 0


def image(kind: str, release: str) -> str:
    """The name of an image, which is built from the one below it if it is not there."""
    with lock(f"image-{release}"):
        return _image(kind, release)


def _image(kind: str, release: str) -> str:
    name = _name(kind, release)
    if not exists("image", name):
        _build(kind, release, name, _debian(release) if kind == "base" else _image("base", release))
    return name


def _name(kind: str, release: str) -> str:
    """What the image of a Containerfile is called: one that was changed makes another image."""
    below = "" if kind == "base" else _name("base", release)
    content = (IMAGES / f"{kind}.containerfile").read_text(encoding="utf-8") + below
    return f"localhost/postamt-{kind}:{release}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _build(kind: str, release: str, name: str, below: str) -> None:
    """One Containerfile on top of an image; downloaded packages are kept between builds."""
    start = time.monotonic()
    say(f"building the {kind} image of {release} ...")
    packages = CACHE / "apt" / release
    packages.mkdir(parents=True, exist_ok=True)
    packages_from, security_from = mirrors()
    root(
        *("podman", "build", "-q", "--pull=never", "--format=docker", "-f", str(IMAGES / f"{kind}.containerfile")),
        *("--build-arg", f"BELOW={below}", "--build-arg", f"RELEASE={release}"),
        *("--build-arg", f"MIRROR={packages_from}", "--build-arg", f"SECURITY={security_from}"),
        *("--volume", f"{packages}:/var/cache/apt/archives"),
        *("-t", name, str(IMAGES)),
        stdout=sys.stderr,
    )
    say(f"built the {kind} image of {release} in {time.monotonic() - start:.0f} s")


def _debian(release: str) -> str:
    """Plain Debian: from a registry if one answers, else made here by debootstrap."""
    name = f"localhost/postamt-debian:{release}"
    if exists("image", name):
        return name
    public = f"docker.io/library/debian:{release}"
    with contextlib.suppress(subprocess.TimeoutExpired):
        if root("podman", "pull", "-q", public, check=False, quiet=True, timeout=60).returncode == 0:
            root("podman", "tag", public, name)
            return name
    say(f"no registry answers; making {release} with debootstrap ...")
    tree = CACHE / f"debootstrap-{release}"
    root("rm", "-rf", "--one-file-system", str(tree))
    with open(CACHE / f"debootstrap-{release}.log", "w", encoding="utf-8") as log:
        root(
            "debootstrap",
            "--variant=minbase",
            release,
            str(tree),
            mirrors().packages,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    packed = CACHE / f"debootstrap-{release}.tar"
    root("tar", "-C", str(tree), "--exclude=./var/cache/apt/archives/*.deb", "-cf", str(packed), ".")
    root("podman", "import", "-q", str(packed), name, stdout=sys.stderr)
    root("rm", "-rf", "--one-file-system", str(tree), str(packed))
    return name


def up(name: str, kind: str, release: str, hosts: list[str], memory: str | None = None) -> dict[str, Any]:
    """Start what is not running yet, wait until it answers, return the inventory; hosts: NAME or NAME=RELEASE."""
    environment()
    releases = {host.partition("=")[0]: host.partition("=")[2] or release for host in hosts}
    images = {one: image(kind, one) for one in dict.fromkeys(releases.values())}
    network = f"{PREFIX}-{name}"
    with lock("network"):  # Podman picks free subnets, and two at once would get the same
        if not exists("network", network):
            root("podman", "network", "create", "--ipv6", network, quiet=True)
    inventory: dict[str, Any] = {}
    subnets = [item["subnet"] for item in json.loads(answer("podman", "network", "inspect", network))[0]["subnets"]]
    for index, (host, its_release) in enumerate(releases.items()):
        container = f"{network}-{host}"
        if not exists("container", container):
            # fixed, so that a host has its addresses again after a reboot
            addresses = [str(ipaddress.ip_network(subnet)[10 + index]) for subnet in subnets]
            _run(container, network, addresses, host, images[its_release], its_release, memory)
        elif answer("podman", "inspect", "-f", "{{.State.Running}}", container) != "true":
            root("podman", "start", container, quiet=True)
        found = json.loads(answer("podman", "inspect", container))[0]["NetworkSettings"]["Networks"][network]
        inventory[host] = {
            "ansible_host": found["IPAddress"],
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(KEY),
            "ansible_ssh_common_args": SSH_ARGS,
            "ansible_ssh_pipelining": True,
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_ipv4": found["IPAddress"],
            "lab_ipv6": found["GlobalIPv6Address"],
            "lab_container": container,
        }
    for data in inventory.values():
        _wait(data)
    # Nobody here reaches servers of the world.
    lab = {"mail_authentication": False, "mail_dane": False, "mail_mta_sts_check": False}
    return {"all": {"hosts": inventory, "vars": lab}}


def _run(
    container: str, network: str, addresses: list[str], host: str, source: str, release: str, memory: str | None
) -> None:
    """A container that is as much a machine as the tests need."""
    packages = CACHE / "apt" / release
    packages.mkdir(parents=True, exist_ok=True)
    root(
        *("podman", "run", "--detach", "--name", container, "--hostname", host),
        *("--network", network, "--network-alias", host, "--network-alias", host.split(".")[0]),
        *(word for one in addresses for word in ("--ip6" if ":" in one else "--ip", one)),
        # Debian 12's init script of slapd looks at other users' processes; a host has a firewall of its own; without
        # the right to mount, systemd passes over what a unit says of namespaces (ProtectSystem= and others), in silence
        *("--systemd=always", "--cap-add", "SYS_PTRACE", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN"),
        # memory and swap together, so there is no swap
        *(("--memory", memory, "--memory-swap", memory) if memory else ()),
        # packages that a build has downloaded; what the host adds stays its own
        *("--volume", f"{packages}:/var/cache/apt/archives:O"),
        *("--volume", f"{KEY}.pub:/root/.ssh/authorized_keys:ro"),
        *(source, "/sbin/init"),
        quiet=True,
    )


def _wait(data: dict[str, Any], seconds: float = 60) -> None:
    """Until ssh lets us in and systemd has nothing more to start."""
    command = ["ssh", *SSH_ARGS.split(), "-i", str(KEY), "-o", "ConnectTimeout=3", f"root@{data['ansible_host']}"]
    # the test image's first boot ends before the mail services, later ones do not
    booted = (
        f"timeout {seconds:.0f} systemctl is-system-running --wait && rm -f /etc/systemd/system/default.target; "
        "systemctl --failed --no-legend --plain"
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked = subprocess.run([*command, booted], capture_output=True, text=True, check=False)
        state = asked.stdout.partition("\n")[0]
        if state == "running":
            return
        if state == "degraded":
            break
        time.sleep(0.3)
    raise SystemExit(f"hosts: {data['lab_container']} is not ready: {asked.stdout}{asked.stderr}")


def name_server(name: str, zones: Path, release: str) -> None:
    """Serve the zone files FOLDER/DOMAIN.zone to a set by a real name server, which all of its hosts then ask.

    It answers everything else too, by the network's own.
    """
    network, container = f"{PREFIX}-{name}", f"{PREFIX}-{name}-ns"
    (subnet, *_ipv6) = json.loads(answer("podman", "network", "inspect", network))[0]["subnets"]
    address, forward = str(ipaddress.ip_network(subnet["subnet"])[5]), subnet["gateway"]
    parts = [
        "server:",
        *("  interface: 0.0.0.0", "  access-control: 0.0.0.0/0 allow", '  module-config: "iterator"', '  chroot: ""'),
        *("forward-zone:", '  name: "."', f"  forward-addr: {forward}"),
    ]
    folder = CACHE / "zones" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in zones.glob("*.zone"):
        apex = f"ns.{file.stem}."
        head = f"{file.stem}. 300 IN SOA {apex} hostmaster.{file.stem}. 1 3600 600 86400 300\n"
        head += f"{file.stem}. 300 IN NS {apex}\n{apex} 300 IN A {address}\n"
        (folder / file.name).write_text(head + file.read_text(encoding="utf-8"), encoding="utf-8")
        parts += ["auth-zone:", f'  name: "{file.stem}"', f"  zonefile: /zones/{file.name}"]
    (folder / "unbound.conf").write_text("\n".join([*parts, ""]), encoding="utf-8")
    root("podman", "rm", "--force", "--time", "0", "--ignore", container, quiet=True)
    served = ("--volume", f"{folder}:/zones:ro", image("test", release), "unbound", "-d", "-c", "/zones/unbound.conf")
    root("podman", "run", "--detach", "--name", container, "--network", network, "--ip", address, *served, quiet=True)
    for host in answer("podman", "ps", "-q", "--filter", f"network={network}").split():
        root("podman", "exec", host, "sh", "-c", f"echo nameserver {address} > /etc/resolv.conf")


def cut_off(container: str) -> None:
    """End a host as a power failure does, and start it again."""
    root("podman", "kill", container, quiet=True)
    root("podman", "start", container, quiet=True)
    (network,) = json.loads(answer("podman", "inspect", container))[0]["NetworkSettings"]["Networks"].values()
    _wait({"ansible_host": network["IPAddress"], "lab_container": container})


UNPLUGGED = """table inet unplugged {
    chain in { type filter hook input priority -300; policy drop; iif lo accept; }
    chain out { type filter hook output priority -300; policy drop; oif lo accept; }
}"""
# how a host can be away -> what makes it so, and what ends it
OUTAGES = {
    "stopped": (("podman", "stop", "--time", "10", "{}"), ("podman", "start", "{}")),
    "paused": (("podman", "pause", "{}"), ("podman", "unpause", "{}")),
    "unplugged": (
        ("podman", "exec", "--privileged", "{}", "nft", UNPLUGGED.replace("{", "{{").replace("}", "}}")),
        ("podman", "exec", "--privileged", "{}", "nft", "delete table inet unplugged"),
    ),
}


def outage(action: str, container: str, how: str) -> None:
    """Let a host be away in one of the ways of OUTAGES, or back; a stopped one is back when its programs are."""
    command = OUTAGES[how][action == "back"]
    root(*(word.format(container) for word in command), quiet=True)
    if action == "back" and how == "stopped":
        (network,) = json.loads(answer("podman", "inspect", container))[0]["NetworkSettings"]["Networks"].values()
        _wait({"ansible_host": network["IPAddress"], "lab_container": container})


def mount(container: str, *words: str) -> None:
    """Run mount(8) or umount(8) in a host, which its own root may not, as on no machine that is a container."""
    root("podman", "exec", "--privileged", container, *words)


def run(container: str, script: Path) -> None:
    """Run a script in a host, with rights that its own root may not have."""
    with open(script, encoding="utf-8") as text:
        root("podman", "exec", "--interactive", "--privileged", container, "sh", "-s", stdin=text, stdout=sys.stderr)


def down(name: str) -> None:
    """Remove the set: containers with their volumes, then the network."""
    if not shutil.which("podman"):
        return
    environment()
    network = f"{PREFIX}-{name}"
    containers = answer("podman", "ps", "-aq", "--filter", f"network={network}").split()
    if containers:
        root("podman", "rm", "--force", "--time", "0", "--volumes", *containers, quiet=True)
    if exists("network", network):
        root("podman", "network", "rm", network, quiet=True)


ACTIONS = ("up", "down", "name-server", "cut-off", "away", "back", "mount", "umount", "run", "image", "environment")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("name", nargs="?", help="the set; with `image`: base or test; else a container")
    parser.add_argument(
        "hosts",
        nargs="*",
        help="names of the hosts; `mount` and `umount`: their own words; `away` and `back`: how; `run`: a script",
    )
    parser.add_argument("--release", choices=RELEASES, default=os.environ.get("RELEASE", RELEASES[0]))
    parser.add_argument("--image", choices=("base", "test"), default="base")
    parser.add_argument("--memory", help="with `up`: limit of a new host, such as 2g, without swap")
    parser.add_argument("--inventory", type=Path, help="write the inventory here instead of printing it")
    parser.add_argument("--zones", type=Path, help="with `name-server`: the folder of zone files")
    asked = parser.parse_intermixed_args()
    if asked.action == "environment":
        environment()
    elif asked.action == "image":
        environment()
        print(image(asked.name, asked.release))
    elif asked.action == "down":
        down(asked.name)
    elif asked.action == "name-server":
        name_server(asked.name, asked.zones, asked.release)
    elif asked.action == "cut-off":
        cut_off(asked.name)
    elif asked.action in ("away", "back"):
        outage(asked.action, asked.name, *asked.hosts)
    elif asked.action == "run":
        run(asked.name, Path(*asked.hosts))
    elif asked.action in ("mount", "umount"):
        mount(asked.name, asked.action, *asked.hosts)
    else:
        text = json.dumps(up(asked.name, asked.image, asked.release, asked.hosts, asked.memory), indent=2)
        if asked.inventory:
            asked.inventory.parent.mkdir(parents=True, exist_ok=True)
            asked.inventory.write_text(text + "\n", encoding="utf-8")
        else:
            print(text)


if __name__ == "__main__":
    main()

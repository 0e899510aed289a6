#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure how runs grow with accounts, and how deriving grows with hosts; a figure beyond its limit is an error.

    tools/bench_scale.py              all, about six minutes
    tools/bench_scale.py accounts     10, 1,000 and 20,000 accounts, each on a host of its own, removed afterwards
    tools/bench_scale.py hosts        1, 10, 100 and 1,000 hosts that nobody connects to

Of each time the least of three rounds is taken, since others may use the machine. RELEASE=bookworm is heeded.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
ROUNDS = 3
ACCOUNTS = (10, 1000, 20000)
HOSTS = (1, 10, 100, 1000)
SET, HOST = "bench-scale", "mail.example.org"
SITE = "postamt.mail.site"
MORE = {"second run": 2.0, "one changed": 6.0}  # seconds more than with the smallest site
DERIVED = 10.0  # seconds for the largest site
UNITS = {
    "slapd": ("slapd.service",),
    "postfix": ("postfix.service", "postfix@-.service"),
    "dovecot": ("dovecot.service",),
}
# Memory that a process has for itself, and its part of what it shares (PSS, proc_pid_smaps(5)), by unit, in MB.
MEMORY = r"""
import glob, json, re
found = {}
for path in glob.glob("/proc/[0-9]*"):
    try:
        unit = re.search(r"/([^/\n]+\.service)", open(path + "/cgroup").read())
        size = re.search(r"(?m)^Pss: *(\d+)", open(path + "/smaps_rollup").read())
    except OSError:
        continue
    if unit and size:
        found[unit[1]] = found.get(unit[1], 0) + int(size[1]) / 1024
print(json.dumps(found))
"""


@dataclasses.dataclass
class Ran:
    """One run of ansible-playbook: seconds, what it changed, and the memory of all its processes at most, in MB."""

    seconds: float
    output: str
    memory: float = 0


def run(inventory: Path, playbook: str, *arguments: str, watch: bool = False) -> Ran:
    """Run a playbook; a failed one ends the benchmark. watch: whether to look at its memory, which takes time."""
    command = ["ansible-playbook", "-i", str(inventory), playbook, *arguments]
    with tempfile.TemporaryFile("w+") as output:
        start = time.monotonic()
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
            most = [0.0]
            if watch:
                threading.Thread(target=lambda: look(process, most), daemon=True).start()
            code = process.wait()
        seconds = time.monotonic() - start
        output.seek(0)
        text = output.read()
    if code:
        sys.exit(text[-5000:])
    return Ran(seconds, text, most[0])


def look(process: subprocess.Popen[Any], most: list[float]) -> None:
    """See what memory a process and its children have, until it ends."""
    while process.poll() is None:
        most[0] = max(most[0], sum(map(proportional, family(process.pid))))
        time.sleep(0.2)


def family(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").iterdir():
            for child in (path / "children").read_text(encoding="ascii").split():
                yield from family(int(child))


def proportional(pid: int) -> float:
    """Return the memory of a process in MB, of what is shared its part."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def unchanged(ran: Ran) -> float:
    """Return the seconds of a run that must not change anything."""
    if " changed=0 " not in ran.output:
        sys.exit(f"a second run changed something:\n{ran.output}")
    return ran.seconds


# --- accounts


def people(count: int) -> list[dict[str, Any]]:
    """Return accounts: each fifth has an alias, and each fiftieth forwards its mail."""
    accounts: list[dict[str, Any]] = []
    for number in range(count):
        account: dict[str, Any] = {
            "address": f"user{number:05}@example.org",
            "name": f"User Number {number}",
            "quota": "2G",
        }
        if number % 5 == 0:
            account["aliases"] = [f"alias{number:05}@example.org"]
        if number % 50 == 0:
            account.update(forward=[f"user{(number + 1) % count:05}@example.org"], keep_copy=True)
        accounts.append(account)
    return accounts


def inventory_of(folder: Path, variables: dict[str, Any]) -> Path:
    """Write an inventory of the one host; returns its folder."""
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    listed = json.loads((folder.parent / "connection.json").read_text(encoding="utf-8"))
    (folder / "hosts.json").write_text(json.dumps({"mail": listed["all"]}), encoding="utf-8")
    own = {
        "mail_domains": ["example.org"],
        "mail_state_dir": str(folder.parent / "state"),
        "mail_content_filter": "before_queue",
        "mail_clamav_official": False,
        "mail_clamav_signatures": [str(REPOSITORY / "examples" / "files" / "eicar.ndb")],
    }
    (folder / "group_vars" / "mail.json").write_text(json.dumps({**own, **variables}), encoding="utf-8")
    return folder


def exported(folder: Path, kind: str, accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Write accounts as another system would export them; returns the variables that read them.

    The file is not in the inventory's folder, where Ansible would take it for another inventory.
    """
    path = folder / f"people.{kind}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            names = ("address", "name", "quota", "aliases", "forward", "keep_copy")
            table = csv.DictWriter(file, names)
            table.writeheader()
            for account in accounts:
                lists = {name: " ".join(account.get(name, ())) for name in ("aliases", "forward")}
                table.writerow({**account, **lists})
        elif kind == "json":
            json.dump(accounts, file)
        else:
            yaml.dump(accounts, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    return {"mail_accounts_source": {"file": str(path)}}


@contextlib.contextmanager
def a_host(folder: Path) -> Iterator[Any]:
    """Bring up a host that has the packages and nothing else; gives a way to run a command there."""
    connection = folder / "connection.json"
    up = ["tools/hosts.py", "up", SET, "--image", "test", "--inventory", str(connection), HOST]
    subprocess.run(up, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    data = json.loads(connection.read_text(encoding="utf-8"))["all"]["hosts"][HOST]
    login = ["ssh", *data["ansible_ssh_common_args"].split(), "-i", data["ansible_ssh_private_key_file"]]
    login.append(f"{data['ansible_user']}@{data['ansible_host']}")

    def ask(*command: str, text: str = "") -> str:
        return subprocess.run([*login, *command], input=text, check=True, capture_output=True, text=True).stdout

    try:
        yield ask
    finally:
        subprocess.run(["tools/hosts.py", "down", SET], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)


def with_accounts(count: int) -> dict[str, Any]:
    """Measure a site of so many accounts."""
    accounts = people(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with a_host(folder) as ask:
            place = inventory_of(folder / "inventory", {"mail_accounts": accounts})
            first = run(place, SITE, watch=True)
            second, changed = [], []
            for number in range(ROUNDS):
                second.append(unchanged(run(place, SITE)))
                accounts[7]["quota"] = f"{3 + number}G"
                inventory_of(folder / "inventory", {"mail_accounts": accounts})
                ran = run(place, SITE)
                if "changed account: user00007@example.org" not in ran.output:
                    sys.exit(f"the run did not change the account:\n{ran.output}")
                changed.append(ran.seconds)
            other = {}
            for kind in ("csv", "json", "yml"):
                place = inventory_of(folder / kind, exported(folder, kind, accounts))
                other[kind] = min(unchanged(run(place, SITE)) for _round in range(ROUNDS))
            listed = len(ask("doveadm user '*'").split())
            if listed != count:
                sys.exit(f"Dovecot lists {listed} of {count} accounts")
            sizes = json.loads(ask("python3 -", text=MEMORY))
    return {
        "first run": first.seconds,
        "second run": min(second),
        "one changed": min(changed),
        **other,
        "controller": first.memory,
        **{name: sum(sizes.get(unit, 0) for unit in units) for name, units in UNITS.items()},
    }


def accounts() -> list[str]:
    """Print the table of accounts; returns what is beyond its limit."""
    columns = ("first run", "second run", "one changed", "csv", "json", "yml")
    sizes = ("controller", *UNITS)
    print(f"{'':10}{'seconds':66}megabytes")
    print("accounts  " + "".join(f"{column:>11}" for column in (*columns, *sizes)), flush=True)
    found = {}
    for count in ACCOUNTS:
        found[count] = with_accounts(count)
        times = "".join(f"{found[count][column]:11.1f}" for column in columns)
        print(f"{count:<10}{times}" + "".join(f"{found[count][size]:11.0f}" for size in sizes), flush=True)
    bad = []
    for count, row in found.items():
        for column in ("second run", "one changed", "csv", "json", "yml"):
            kind = column if column in MORE else "second run"  # with accounts from a file
            more = row[column] - found[ACCOUNTS[0]][kind]
            if more > MORE[kind]:
                bad.append(f"{count} accounts: {column} takes {more:.1f} s more than {ACCOUNTS[0]} do")
    print(
        f"limits, more than with {ACCOUNTS[0]} accounts: second run, also from a file, {MORE['second run']:.0f} s; "
        f"one changed account {MORE['one changed']:.0f} s\n"
    )
    return bad


# --- hosts


def placed(count: int) -> dict[str, dict[str, Any]]:
    """Return the groups of a site of so many hosts: most are other servers, which hand their mail to it."""
    if count == 1:
        groups = ["mail"]
    else:
        twentieth, fiftieth = max(1, count // 20), max(1, count // 50)
        servers = {"mail_store": 1, "mail_mx": twentieth, "mail_submission": fiftieth}
        servers.update(mail_filter=twentieth, mail_directory=fiftieth)
        groups = [group for group, number in servers.items() for _each in range(number)]
        groups += ["mail_client"] * (count - len(groups))
    found: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(groups, 1):
        addresses = [f"10.0.{number >> 8}.{number & 255}", f"2001:db8::{number:x}"]
        found.setdefault(group, {})[f"host{number}.example.org"] = {"mail_host_addresses": addresses}
    return found


def with_hosts(count: int) -> Ran:
    """Measure a run of ansible-playbook that derives everything for so many hosts, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play = folder / "play.json"
        task = {"name": "Derive", SITE: {}, "run_once": True}
        play.write_text(json.dumps([{"name": "Site", "hosts": "mail", "gather_facts": False, "tasks": [task]}]))
        groups = placed(count)
        whole: dict[str, Any] = {"hosts": groups.pop("mail", {})}
        whole["children"] = {group: {"hosts": hosts} for group, hosts in groups.items()}
        whole["vars"] = {
            "mail_domains": ["example.org"],
            "mail_accounts": people(10),
            "mail_content_filter": "before_queue",
            "mail_state_dir": f"{name}/state",
        }
        place = folder / "hosts.json"
        place.write_text(json.dumps({"mail": whole}), encoding="utf-8")
        watched = run(place, str(play), watch=True)  # makes the passwords too
        return dataclasses.replace(watched, seconds=min(run(place, str(play)).seconds for _round in range(ROUNDS)))


def hosts() -> list[str]:
    """Print the table of hosts; returns what is beyond its limit."""
    print("hosts     " + "".join(f"{column:>13}" for column in ("seconds", "ms a host", "megabytes")), flush=True)
    ran = Ran(0, "")
    for count in HOSTS:
        ran = with_hosts(count)
        print(f"{count:<10}{ran.seconds:13.1f}{ran.seconds / count * 1000:13.1f}{ran.memory:13.0f}", flush=True)
    print(f"limit: {DERIVED:.0f} s for {HOSTS[-1]} hosts; the start of ansible-playbook is in all of these\n")
    return [f"{HOSTS[-1]} hosts take {ran.seconds:.1f} s to derive"] if ran.seconds > DERIVED else []


def main() -> None:
    parts = {"hosts": hosts, "accounts": accounts}
    asked = sys.argv[1:] or list(parts)
    if set(asked) - set(parts):
        sys.exit(str(__doc__))
    os.environ["ANSIBLE_CONFIG"] = str(REPOSITORY / "examples" / "ansible.cfg")
    os.environ["ANSIBLE_NOCOLOR"] = "1"
    bad = [problem for name, part in parts.items() if name in asked for problem in part()]
    if bad:
        sys.exit("\n".join(["beyond its limit:", *bad]))


if __name__ == "__main__":
    main()

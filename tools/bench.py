#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure runs over the demo's host against plays of pings, taken in turns, and print the medians of five rounds.

Needs the host of `make demo`, and the machine for itself. The site is left as it was found.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INVENTORY = REPOSITORY / ".demo" / "inventory"
ROUNDS = 5
SITE = "postamt.mail.site"
# measure -> the number of pings that it may take
LIMITS = {
    "first run": 80,
    "second run": 7,
    "check run": 7,
    "each further program": 0.15,
    "full check": 25,
    "one changed setting": 15,
    "one added account": 20,
}


def pings(count: int) -> str:
    """Return the path of a play of so many ping tasks."""
    tasks = [{"name": f"Ping {number}", "ansible.builtin.ping": {}} for number in range(count)]
    play = [{"name": "Pings", "hosts": "mail", "become": True, "gather_facts": False, "tasks": tasks}]
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(play, file)
    return file.name


def ran(playbook: str, *arguments: str, inventory: str = str(INVENTORY)) -> tuple[float, str]:
    """Run a playbook and return seconds and what it prints; a failed one ends the benchmark."""
    command = ["ansible-playbook", "-i", inventory, playbook, *arguments]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout)
    return time.monotonic() - start, done.stdout


def seconds(playbook: str, *arguments: str, inventory: str = str(INVENTORY)) -> float:
    """Run a playbook and return the seconds."""
    return ran(playbook, *arguments, inventory=inventory)[0]


def first_run(ping: str) -> float:
    """Measure the run over a host that has the packages and nothing else, with a state of its own."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(REPOSITORY / "examples" / "single-host", folder, dirs_exist_ok=True)
        up = ["tools/hosts.py", "up", "bench", "--image", "test", "--inventory", f"{folder}/connection.json"]
        subprocess.run([*up, "mail.example.org"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
        try:
            seconds(ping, inventory=folder)  # the first login is no part of it
            signatures = REPOSITORY / "examples" / "files" / "eicar.ndb"
            own = {
                "mail_state_dir": f"{folder}/state",
                "mail_clamav_official": False,
                "mail_clamav_signatures": [str(signatures)],
            }
            return seconds(SITE, "-e", json.dumps(own), inventory=folder)
        finally:
            subprocess.run(["tools/hosts.py", "down", "bench"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    if not INVENTORY.exists():
        sys.exit("bench: no demo host; run `make demo` first")
    os.environ["ANSIBLE_CONFIG"] = str(REPOSITORY / "examples" / "ansible.cfg")
    listed = subprocess.run(["ansible-inventory", "-i", str(INVENTORY), "--list"], check=True, stdout=subprocess.PIPE)
    host = next(iter(json.loads(listed.stdout)["_meta"]["hostvars"].values()))
    # An added account stays in the directory, disabled, so each round adds the same one and takes it back.
    added = {"mail_accounts": [*host["mail_accounts"], {"address": f"bench@{host['mail_domains'][0]}"}]}
    plays = {count: pings(count) for count in (1, 12)}
    found: dict[str, list[float]] = {}

    def measure(name: str, playbook: str, *arguments: str) -> None:
        found.setdefault(name, []).append(seconds(playbook, *arguments))

    seconds(SITE)
    programs = ran(SITE)[1].count("TASK [postamt.mail.")  # those that the host does not have cost something, too
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS} ...", flush=True)
        measure("1 ping", plays[1])
        measure("12 pings", plays[12])
        found.setdefault("first run", []).append(first_run(plays[1]))
        measure("second run", SITE)
        measure("one program", SITE, "--tags", "sasl")
        measure("full check", SITE, "-e", "mail_full_check=true")
        measure("check run", SITE, "--check", "--diff")
        measure("one changed setting", SITE, "-e", json.dumps({"mail_message_size_limit": f"{40 + number}M"}))
        seconds(SITE)
        measure("one added account", SITE, "-e", json.dumps(added))
        seconds(SITE)
    for path in plays.values():
        os.unlink(path)
    medians = {name: statistics.median(values) for name, values in found.items()}
    ping = (medians["12 pings"] - medians["1 ping"]) / 11
    start = medians["1 ping"] - ping
    worth = {name: (median - start) / ping for name, median in medians.items()}
    worth["each further program"] = (medians["second run"] - medians["one program"]) / ping / (programs - 1)
    print(f"\n{'':22}{'median':>8}{'least':>8}{'most':>8}{'pings':>8}{'limit':>8}")
    for name, pings_worth in worth.items():
        values = found.get(name)
        times = f"{medians[name]:8.2f}{min(values):8.2f}{max(values):8.2f}" if values else " " * 24
        print(f"{name:22}{times}{pings_worth:8.2f}{LIMITS.get(name, ''):>8}")
    beyond = [f"{name} takes {worth[name]:.2f} pings" for name, limit in LIMITS.items() if worth[name] > limit]
    if beyond:
        sys.exit(f"beyond its limit: {'; '.join(beyond)}")


if __name__ == "__main__":
    main()

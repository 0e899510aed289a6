# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that have fallen, in real runs: the interpreter of each prints what an intruder would have it answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

LOOK = {
    "release": "trixie", "architecture": "amd64", "memory": 2 << 30, "swap": 0, "cores": 2, "addresses": ["192.0.2.1"],
    "ipv6": True, "ca": "", "unclaimed": [], "claimed": [], "firewall": [], "holds": [], "versions": {},
}  # fmt: skip
EVIL = {"mail_relayhost": {"host": "relay.evil.example", "tls": "encrypt"}, "mail_domains": ["evil.example"]}
HONEST = {"changed": False, "look": LOOK}
HOSTILE: dict[str, tuple[object, str]] = {
    "facts": ({**HONEST, "ansible_facts": EVIL}, "ansible_facts is no key that it may have"),
    "scope": (
        {**HONEST, "look": {**LOOK, "addresses": ["fe80::1%x\nwelcomelist_from *@evil.example"]}},
        "look.addresses[0] is",
    ),
    "more": ({**HONEST, "look": {**LOOK, **EVIL}}, "look.mail_relayhost: is not known"),
    "number": ({**HONEST, "look": {**LOOK, "memory": [1]}}, "look.memory is [1]: must be a whole number"),
    "adds": ({**HONEST, "add_host": {"host_name": "evil", "groups": ["mail"]}}, "add_host is no key"),
    "none": ({"changed": False}, "look is missing"),
}


def run(tmp_path: Path, playbook: str, hosts: dict[str, object], *words: str) -> str:
    """Run a playbook on hosts that each answer one thing; returns what is printed, warnings too."""
    members: dict[str, t.Any] = {}
    for name, answer in hosts.items():
        script = tmp_path / f"{name}.sh"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
        script.chmod(0o755)
        members[f"{name}.example.org"] = {"ansible_python_interpreter": str(script)}
    groups: dict[str, t.Any] = {
        "mail_mx": {"hosts": dict.fromkeys(members, {})},
        "mail_store": {"hosts": {next(iter(members)): {}}},
    }
    said = {
        "ansible_connection": "local", "ansible_become": False, "mail_domains": ["example.org"],
        "mail_state_dir": str(tmp_path / "state"),
    }  # fmt: skip
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"mail": {"hosts": members, "children": groups, "vars": said}}))
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(inventory), playbook]
    command += words
    environment = {
        **os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "ANSIBLE_FORKS": "8", "ANSIBLE_NOCOLOR": "1"
    }  # fmt: skip
    both = subprocess.STDOUT
    return subprocess.run(command, env=environment, text=True, check=False, stdout=subprocess.PIPE, stderr=both).stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What postamt.mail.show prints of one honest host among hostile ones."""
    hosts = {"honest": HONEST, **{name: answer for name, (answer, _said) in HOSTILE.items()}}
    return run(tmp_path_factory.mktemp("hosts"), "postamt.mail.show", hosts)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_host_fails_alone_and_is_named_with_its_key(shown: str, name: str) -> None:
    recap = shown.partition("PLAY RECAP")[2]
    assert f"host {name}.example.org answered wrongly: {HOSTILE[name][1]}" in shown
    assert [line for line in recap.splitlines() if line.startswith(f"{name}.example.org") and "failed=1" in line]


def test_the_other_hosts_go_on_and_get_nothing_of_it(shown: str) -> None:
    recap = shown.partition("PLAY RECAP")[2]
    assert [line for line in recap.splitlines() if line.startswith("honest.example.org") and "failed=0" in line]
    overview = shown.partition("What the host would get")[2].partition("PLAY RECAP")[0]
    assert "myhostname = honest.example.org" in overview
    assert "evil" not in overview


@pytest.mark.parametrize(
    ("fact", "playbook"),
    [
        ({"mail_relayhost": {"host": "relay.evil.example"}}, "show"),
        ({"inventory_hostname": "other.example.org"}, "show"),  # it would get what is the other one's
        ({"state": "purged"}, "account"),
    ],
)
def test_facts_that_another_play_took_decide_nothing(tmp_path: Path, fact: dict[str, object], playbook: str) -> None:
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: first.example.org\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.set_fact: {json.dumps({**fact, 'cacheable': True})}\n"
        f"- ansible.builtin.import_playbook: postamt.mail.{playbook}\n"
    )
    said = run(tmp_path, str(play), {"first": HONEST, "other": HONEST})
    assert re.search(rf"{next(iter(fact))} of host \S+: is among the host's facts", said)
    assert "What the host would get" not in said


@pytest.mark.parametrize("name", ["pick", "query"])
def test_a_part_of_what_a_host_gets_can_be_picked(tmp_path: Path, name: str) -> None:
    """By the older name too, which newer releases of Ansible have reserved."""
    said = run(tmp_path, "postamt.mail.show", {"first": HONEST}, "-e", f"{name}=postfix.adopt")
    assert re.search('__mail_shown.host"?: false', said), said  # YAML, or JSON
    assert name == "query" or "WARNING" not in said, said

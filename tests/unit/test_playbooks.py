# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that Ansible would call a success, or that another ansible.cfg would end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted((REPOSITORY / "playbooks").glob("*.yml"))
PLAYBOOKS = [path.stem for path in FILES]
EMPTY, MISNAMED = "mail: {vars: {mail_domains: [example.org]}}", "mails: {hosts: {a.example.org: }}"


@pytest.mark.parametrize(("playbook", "inventory"), [*((name, EMPTY) for name in PLAYBOOKS), ("site", MISNAMED)])
def test_an_empty_group_ends_the_run(tmp_path: Path, playbook: str, inventory: str) -> None:
    (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), f"postamt.mail.{playbook}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode != 0 and "group mail holds no host" in done.stdout, done.stdout


@pytest.mark.parametrize("playbook", FILES, ids=PLAYBOOKS)
def test_a_strategy_of_ansible_cfg_changes_no_play(playbook: Path) -> None:
    """With free Ansible refuses what is done once for all hosts."""
    plays = [play for play in yaml.safe_load(playbook.read_text(encoding="utf-8")) if play.get("hosts") == "mail"]
    assert plays and [play["strategy"] for play in plays] == ["linear"] * len(plays)


@pytest.mark.parametrize("inventory", ["mail:\n  hosts:\n\ta.example.org:\n", "mail:\n  hosts:\n vars: {}\n"])
def test_with_the_examples_settings_a_broken_inventory_ends_the_run(tmp_path: Path, inventory: str) -> None:
    (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), "postamt.mail.show"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "examples" / "ansible.cfg")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "failed to parse inventory" in done.stderr, done.stderr


@pytest.mark.parametrize("failing", ["", "a"])
def test_programs_stay_while_a_host_that_may_ask_them_has_failed(tmp_path: Path, failing: str) -> None:
    """Host c was not reached from the start, and keeps nobody from what the run does."""
    site = yaml.safe_load((REPOSITORY / "playbooks" / "site.yml").read_text(encoding="utf-8"))[1]
    (task,) = (task for task in site["tasks"] if "ansible.builtin.include_tasks" in task)
    (tmp_path / "tasks").symlink_to(REPOSITORY / "playbooks" / "tasks")
    said = {"reached": ["a", "b"], "leaving": {"a": [], "b": ["example"], "c": ["example"]}}
    play = {
        "hosts": "a,b,c",
        "gather_facts": False,
        "strategy": "linear",
        "connection": "local",
        "vars": {"__mail_site": said},
        "tasks": [
            {"ansible.builtin.fail": {"msg": "x"}, "when": f"inventory_hostname in ['c', '{failing}']"},
            task,
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    command = ["ansible-playbook", "-i", "a,b,c", str(tmp_path / "play.yml")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    tasks = yaml.safe_load((REPOSITORY / "playbooks" / "tasks" / "leaving.yml").read_text(encoding="utf-8"))
    assert "included: " in done.stdout and "for b\n" in done.stdout, done.stdout
    assert f"TASK [{tasks[-1]['name']}]" in done.stdout, "it goes on to the end"
    kept = "b keeps what is no longer wanted of example, since the run has failed on a:" in done.stdout
    assert kept == bool(failing), done.stdout

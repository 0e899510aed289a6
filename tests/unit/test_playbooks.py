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

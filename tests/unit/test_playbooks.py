# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that Ansible would call a success, or that another ansible.cfg would end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
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


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., str]:
    """Have programs go as at the end of playbook site, where they are only named, and return what Ansible says.

    before, meanwhile: hosts that fail before any program goes, and while the first of theirs goes.
    """

    def ran(leaving: dict[str, list[str]], reached: list[str], before: str, meanwhile: str = "") -> str:
        site = yaml.safe_load((REPOSITORY / "playbooks" / "site.yml").read_text(encoding="utf-8"))[1]
        (task,) = (task for task in site["tasks"] if "ansible.builtin.include_tasks" in task)
        tasks = tmp_path / "tasks"
        shutil.copytree(REPOSITORY / "playbooks" / "tasks", tasks)
        programs = yaml.safe_load((tasks / "leaving.yml").read_text(encoding="utf-8"))
        for program in programs:
            del program[f"postamt.mail.{program['tags']}"]
            program["ansible.builtin.assert"] = {"that": f"inventory_hostname not in {[*meanwhile]}"}
        (tasks / "leaving.yml").write_text(yaml.safe_dump(programs), encoding="utf-8")
        failing = {"ansible.builtin.fail": {"msg": "x"}, "when": f"inventory_hostname in {[*before]}"}
        said = {"__mail_site": {"reached": reached, "leaving": leaving}}
        play = {"hosts": "all", "gather_facts": False, "connection": "local", "vars": said, "tasks": [failing, task]}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        command = ["ansible-playbook", "-i", ",".join([*leaving, ""]), str(tmp_path / "play.yml")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert (done.returncode != 0) == bool(before or meanwhile), done.stdout
        return done.stdout

    return ran


@pytest.mark.parametrize("failing", ["", "a"])
def test_programs_stay_while_a_host_that_may_ask_them_has_failed(leave: Callable[..., str], failing: str) -> None:
    """Host c was not reached from the start, and keeps nobody from what the run does."""
    said = leave({"a": [], "b": ["amavis"], "c": ["amavis"]}, ["a", "b"], "c" + failing)
    kept = "b keeps what is no longer wanted of amavis, since the run has failed on a:" in said
    assert kept == bool(failing), said
    assert ("ok: [b]" in said.partition("of amavis]")[2]) != kept, said


def test_a_host_that_fails_while_its_programs_go_keeps_those_of_no_other(leave: Callable[..., str]) -> None:
    said = leave({"a": ["amavis"], "b": ["haproxy"]}, ["a", "b"], "", meanwhile="a")
    assert "fatal: [a]" in said.partition("of amavis]")[2], said
    assert "ok: [b]" in said.partition("of HAProxy]")[2], said

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ansible-doc shows: examples that run."""

from __future__ import annotations

import functools
import json
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted(f"postamt.mail.{path.stem}" for path in (REPOSITORY / "plugins" / "modules").glob("*.py"))
FILTERS = sorted(f"postamt.mail.{path.stem}" for path in (REPOSITORY / "plugins" / "filter").glob("*.yml"))


@functools.cache
def documented(kind: str) -> dict[str, t.Any]:
    """Return what ansible-doc shows of all plugins of a kind, by name."""
    names = {"module": MODULES, "filter": FILTERS}[kind]
    command = ["ansible-doc", "--json", "--type", kind, *names]
    found: dict[str, t.Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def examples(kind: str, name: str) -> list[dict[str, t.Any]]:
    tasks: list[dict[str, t.Any]] = yaml.safe_load(documented(kind)[name]["examples"])
    return tasks


def play(tasks: list[dict[str, t.Any]], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Have Ansible run tasks on this machine, as host mail.example.org of group mail."""
    inventory, playbook = folder / "hosts.yml", folder / "play.yml"
    host = {"mail.example.org": {"ansible_connection": "local"}}
    inventory.write_text(json.dumps({"mail": {"children": {"mail_store": {"hosts": host}}}}), encoding="utf-8")
    playbook.write_text(json.dumps([{"hosts": "mail", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    command = ["ansible-playbook", "-i", str(inventory), *options, str(playbook)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_examples_give_options_that_it_has(module: str) -> None:
    used = [name for task in examples("module", module) for name in task if name.startswith("postamt.mail.")]
    assert module in used
    for task in examples("module", module):
        assert task["name"]
        for name, given in task.items():
            if name.startswith("postamt.mail."):
                options = documented("module")[name]["doc"].get("options", {})
                known = ("type", "choices", "required", "elements")
                spec = {option: {key: said[key] for key in known if key in said} for option, said in options.items()}
                assert ArgumentSpecValidator(spec).validate(given or {}).error_messages == []


def test_ansible_reads_the_modules_examples(tmp_path: Path) -> None:
    done = play([task for module in MODULES for task in examples("module", module)], tmp_path, "--syntax-check")
    assert done.returncode == 0, done.stdout


def test_the_filters_examples_run(tmp_path: Path) -> None:
    tasks = [task for name in FILTERS for task in examples("filter", name)]
    assert {name for name in FILTERS if name in json.dumps(tasks)} == set(FILTERS)
    done = play(tasks, tmp_path)
    assert done.returncode == 0, done.stdout

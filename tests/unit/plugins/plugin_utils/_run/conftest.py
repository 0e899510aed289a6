# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a run, with Ansible's own variables and templates and without a host."""

from __future__ import annotations

import json
import types
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State

Task = tuple[t.Any, dict[str, t.Any]]  # an action and the variables of its task


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "laptop"))


@pytest.fixture
def task_in(tmp_path: Path) -> Callable[..., Task]:
    """Return a task of a play over all hosts, as its action gets it on one of them.

    hosts: variables by host, all in group mail; of several, the last one has the mailboxes and the others take mail.
    functions: hosts by group, where it is otherwise. play: the play's own variables. extra: those of the command line.
    on: the task's host, by default the first one.
    """

    def made(
        hosts: dict[str, dict[str, t.Any]],
        play: dict[str, t.Any] | None = None,
        extra: dict[str, t.Any] | None = None,
        on: str = "",
        action: str = "postamt.mail.site",
        check_mode: bool = False,
        functions: dict[str, list[str]] | None = None,
    ) -> Task:
        loader = DataLoader()
        *first, last = hosts
        usual = {"mail_mx": first, "mail_submission": first, "mail_store": [last]} if first else {}
        groups = {
            group: {"hosts": dict.fromkeys(names)} for group, names in {"mail": hosts, **(functions or usual)}.items()
        }
        source, playbook = tmp_path / "hosts.yml", tmp_path / "playbook.yml"
        source.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
        task = {"ansible.builtin.meta": "noop", "check_mode": check_mode}
        playbook.write_text(json.dumps([{"hosts": "all", "vars": play or {}, "tasks": [task]}]))
        known = InventoryManager(loader, sources=[str(source)])
        variables = VariableManager(loader=loader, inventory=known)
        variables._extra_vars = loader.load(json.dumps(extra or {}))
        HostVars(known, variables, loader)
        (read,) = loader.load_from_file(str(playbook), trusted_as_template=True)
        block = Play.load(read, variable_manager=variables, loader=loader).compile()[1]
        block.block[0].action = action
        name = on or next(iter(hosts))
        its = variables.get_vars(play=block._play, host=known.get_host(name), task=block.block[0])
        templar = Templar(loader=loader, variables=its)
        return types.SimpleNamespace(_loader=loader, _task=block.block[0], _templar=templar), its

    return made


@pytest.fixture
def derived(task_in: Callable[..., Task]) -> Callable[..., Site]:
    """Return the site of one host as a task derives it; folder: the state's."""

    def made(folder: Path, check_mode: bool = False, **variables: t.Any) -> Site:
        said = {"mail_domains": ["example.org"], "mail_state_dir": str(folder), **variables}
        action, task_vars = task_in({"mail.example.org": said}, check_mode=check_mode)
        return inventory.derive(action, task_vars, {})

    return made

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action of every program's module: meta/runtime.yml sends them here, and the task's name says which it is."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import exchange_of
from ansible_collections.postamt.mail.plugins.plugin_utils._run.inventory import left_here
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Result = dict[str, t.Any]

compose.concerns()  # Ansible imports an action before it forks for the task: found here, each fork has them
for _name in compose.programs():
    exchange_of(_name)


def seen() -> dict[str, t.Any]:
    """Return the forms of what programs may say in a look of what they have there, by their names (answers.py)."""
    return {name: exchange_of(name).seen for name in compose.programs()}


class ActionModule(ActionBase):
    """The options of a task are the program's own variables."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        variables = task_vars or {}
        name = self._task.action.rpartition(".")[2]
        if name not in compose.programs():  # the module itself
            return {**result, **self._execute_module(task_vars=variables)}
        self._load_name = self._task.action  # which module a message about its options is of
        options = compose.programs()[name].PROGRAM.options
        self.validate_argument_spec({option: {"type": "dict", "default": {}} for option in options})
        try:
            answer = self._as_left(variables, name)
            if answer is None:
                answer = self._applied(variables, name)
                if answer.get("changed") or answer.get("failed"):
                    handover.unsettle(variables)
            result.update(answer)
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        for line in exchange_of(name).tell(result):
            self._display.display(f"{variables.get('inventory_hostname')}: {name}: {line}")
        return result

    def _as_left(self, variables: Result, name: str) -> Result | None:
        """Return the answer of a host that is as the last run left it; None where the plan has to be applied."""
        if not handover.settled(variables, name, self._task.args):
            return None
        if not compose.programs()[name].PROGRAM.expires:
            notes = left_here(variables, "notes").get(name, [])
            return {"changed": False, "actions": [], "diff": [], **({"notes": notes} if notes else {})}
        seen = left_here(variables, "seen").get(name)
        if seen is None:
            return None
        handed = handover.plan_for(self, variables, name, self._task.args)
        return exchange_of(name)(name, self, variables, handed).as_left(handed.plan, seen)

    def _applied(self, variables: Result, name: str) -> Result:
        handed = handover.plan_for(self, variables, name, self._task.args)
        return exchange_of(name)(name, self, variables, handed).apply(handed.plan)

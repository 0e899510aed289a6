# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils.program_action import ProgramAction, Result
from ansible_collections.postamt.mail.plugins.plugin_utils.programs import certificates
from ansible_collections.postamt.mail.plugins.plugin_utils.run import controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils.state import State


class ActionModule(ProgramAction):
    """The module is called as often as the exchange with the controller needs: once where nothing is to do."""

    program = "certificates"
    options = ()

    def _apply(self, plan: Plan) -> Result:
        check_mode = bool(self._task.check_mode)
        given = self._given = certificates.supplied(plan, lambda path: controller_file(self, self._vars, path))
        state = State(plan["state_dir"], self._loader._vault)
        seen = self._call(state="seen", packages=plan["packages"])
        if seen.get("failed"):
            return seen
        actions: list[str] = []
        if seen["missing"]["packages"] and check_mode:
            actions.append(f"would install packages {', '.join(seen['missing']['packages'])}")
        elif failure := self._packages(seen["missing"], actions):
            return failure
        answer = certificates.bring(plan, state, given, seen, self._call, check_mode=check_mode)
        actions += answer.get("actions", [])
        return {**answer, "actions": actions, "changed": bool(actions)}

    def _call(self, **arguments: t.Any) -> Result:
        return self._on_host(arguments, [file.key for file in self._given.values()])

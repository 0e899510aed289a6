# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

# Ansible imports an action before it forks for its task, but not the one to which meta/runtime.yml sends the programs'
# tasks: imported here, it need not be imported in each of their forks.
from ansible_collections.postamt.mail.plugins.action import apply_plan
from ansible_collections.postamt.mail.plugins.plugin_utils._run import remote


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec({"port_25": {"type": "bool", "default": False}})
        result.update(remote.look_at(self, task_vars or {}, apply_plan.seen(), port_25=given["port_25"]))
        return result

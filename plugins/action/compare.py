# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stop a run, before anything is touched, on a host whose mail configuration is somebody else's."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import DIFFERENCES, refusal
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover, inventory, remote
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Result = dict[str, t.Any]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        variables = task_vars or {}
        result: Result = super().run(tmp, variables)
        try:
            plans = self._plans(variables)
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        if not plans:
            return {**result, "changed": False}
        secrets = [secret for plan in plans.values() for secret in plan["secrets"]]
        answer = remote.on_host(self, variables, "compare", {"plans": plans}, secrets)
        if answer.get("failed"):
            return {**result, **answer}
        for note in answer["notes"]:
            self._display.display(f"{variables['inventory_hostname']}: {note}")
        result["changed"] = False
        if (answer["what"] or answer["rivals"]) and not all(plan["adopt"] for plan in plans.values()):
            told = [answer["rivals"]] if answer["rivals"] else []
            if answer["what"]:
                # here and not in the message, which Ansible shows twice
                self._display.display(f"{variables['inventory_hostname']}: {DIFFERENCES}\n{answer['difference']}")
                told.append(f"{refusal(answer['what'])} The differences are shown above.")
            return {**result, "failed": True, "msg": "\n".join(told)}
        if answer["problems"]:
            return {**result, "failed": True, "msg": "\n".join(["Nothing was changed:", *answer["problems"]])}
        return result

    def _plans(self, variables: Result) -> dict[str, compose.Plan]:
        host = str(variables["inventory_hostname"])
        unclaimed = inventory.left_here(variables, "look").get("unclaimed", ())
        # what has no task there is not compared; where the site's task has not run, each plan tells
        due = (variables.get(handover.SITE_RESULT) or {}).get("due", {}).get(host, compose.programs())
        asked = [name for name in compose.programs() if name in unclaimed and name in due]
        plans = {name: handover.plan_for(self, variables, name).plan for name in asked}
        for plan in plans.values():
            plan.pop("entries", None)  # thousands, perhaps, and none is compared
        return {name: plan for name, plan in plans.items() if plan["wanted"] or plan["units"]}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action of a role: derive the plan, bring what is missing with stock modules, run the program's module."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import packages
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan, concerns
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._run.handover import plan_for
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remote import on_host, stock
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Result = dict[str, t.Any]

concerns()  # Ansible imports an action before it forks for the task: found here, they need not be found in each fork

FRESH = 86400  # seconds for which the host's package lists count as fresh


class ProgramAction(ActionBase):
    """A subclass names its program and the task's options, which are the program's own variables."""

    program = ""
    options: tuple[str, ...] = ("settings",)
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        self._vars: Result = {**(task_vars or {}), "ansible_no_target_syslog": True}
        self.validate_argument_spec({option: {"type": "dict", "default": {}} for option in self.options})
        try:
            self._handed = plan_for(self, self._vars, self.program, self._task.args)
            result.update(self._apply(self._handed.plan))
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        self._tell(result)
        return result

    def _apply(self, plan: Plan) -> Result:
        answer = self._module(plan)
        missing = answer.get("missing") or {}
        if answer.get("failed") or not missing or self._task.check_mode:
            return answer
        actions: list[str] = list(answer["actions"])
        for provide in (self._packages, self._users):
            failure = provide(missing, actions)
            if failure:
                return {**failure, "changed": bool(actions), "actions": actions}
        answer = self._module(plan)
        remaining = answer.get("missing")
        if remaining and not answer.get("failed"):
            users = [user["name"] for user in remaining.get("users", [])]
            names = ", ".join([*remaining.get("packages", []), *users, *remaining.get("groups", [])])
            answer.update(failed=True, msg=f"still missing on the host after they were installed: {names}")
        return {**answer, "changed": True, "actions": [*actions, *answer.get("actions", [])]}

    def _module(self, plan: Plan) -> Result:
        return self._on_host({"plan": plan}, plan["secrets"])

    def _on_host(self, request: Result, secrets: t.Iterable[str]) -> Result:
        return on_host(self, self._vars, self.program, request, secrets)

    def _stock(self, name: str, arguments: Result) -> Result:
        return stock(self, self._vars, name, arguments)

    def _packages(self, missing: Result, actions: list[str]) -> Result | None:
        names = missing.get("packages")
        if not names:
            return None
        # Status 101 of policy-rc.d: nothing starts with the package's own configuration.
        wish = {"name": names, "policy_rc_d": 101, "install_recommends": False}
        # Alone: one of the administrator's own sources that does not answer is no reason to install nothing.
        fetch = {"update_cache": True, "update_cache_retries": 1}  # apt itself tries more often
        lists = self._stock("ansible.builtin.apt", {**fetch, "cache_valid_time": FRESH})
        answer = self._stock("ansible.builtin.apt", wish)
        if answer.get("failed") and not (lists.get("failed") or lists.get("changed")):
            # Lists that look fresh may be empty, or name a version that the mirror has dropped.
            lists = self._stock("ansible.builtin.apt", fetch)
            answer = self._stock("ansible.builtin.apt", wish)
        if answer.get("failed"):
            said = f"cannot install {', '.join(names)}: {str(answer.get('msg')).strip()}"
            if lists.get("failed"):
                said += "; the host could not fetch all package lists: apt-get update there says why"
            return {"failed": True, "msg": said + self._started_again(missing, actions)}
        actions.append(f"installed {packages(names)}")
        return None

    def _started_again(self, missing: Result, actions: list[str]) -> str:
        """Start a mail server again that was stopped for packages that do not come; returns what was in the way."""
        said = ""
        for name in missing.get("stopped", []):
            answer = self._stock("ansible.builtin.systemd_service", {"name": name, "state": "started"})
            if answer.get("failed"):
                said += f"; {name}, which was stopped for it, does not start: {answer.get('msg')}"
            else:
                actions.append(f"started {name} again")
        return said

    def _users(self, missing: Result, actions: list[str]) -> Result | None:
        for user in missing.get("users", []):
            name, number = user["name"], {"uid": user["uid"]} if user["uid"] is not None else {}
            group = {"name": name, "system": True, **({"gid": user["uid"]} if number else {})}
            account = {
                "name": name, "group": name, "groups": list(user["groups"]), "append": True, "home": user["home"],
                "create_home": False, "shell": "/usr/sbin/nologin", "system": True, **number,
            }  # fmt: skip
            for module, wish in (("group", group), ("user", account)):
                answer = self._stock(f"ansible.builtin.{module}", wish)
                if answer.get("failed"):
                    return {"failed": True, "msg": f"cannot create {module} {name}: {answer.get('msg')}"}
            actions.append(f"created user {name}")
        return None

    def _tell(self, result: Result) -> None:
        """Say in one line what was done; the stock callbacks show nothing of a task that went well."""
        done = result.get("actions") or ([] if result.get("failed") else ["nothing to do"])
        if done:
            self._display.display(f"{self._vars.get('inventory_hostname')}: {self.program}: {sentence(done)}")


def sentence(actions: list[str]) -> str:
    """Return actions as one sentence: those that do the same to several things share their verb."""
    shared: list[list[str]] = []
    for action in actions:
        verb, slash, path = action.partition(" /")
        if slash and shared and shared[-1][0].startswith(f"{verb} /"):
            shared[-1].append(f"/{path}")
        else:
            shared.append([action])
    return "; ".join(
        ", ".join(group).replace(" folder /", " folders /" if group[1:] else " folder /") for group in shared
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.ldap import applied_passwords
from ansible_collections.postamt.mail.plugins.plugin_utils._run.program_action import ProgramAction, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._run.run import handed, site_for, wrongly
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State


class ActionModule(ProgramAction):
    program = "ldap"

    def _apply(self, plan: Plan) -> Result:
        """Run the module, and once more with the passwords that it asks for: fingerprints travel, passwords seldom."""
        answer = super()._apply(plan)
        names = answer.pop("passwords_needed", None)
        if not answer.get("failed") and not self._task.check_mode:
            self._forget_former_names(plan)
        if answer.get("failed") or not names:
            return answer
        known = set((plan.get("entries") or {}).get("fingerprints", {}))
        strange = sorted(set(names) - known)
        if strange:
            wrong = f"passwords_needed has {strange[0]}, which is no account or service of its directory"
            return {**answer, **wrongly(self, self._vars, wrong)}
        given = self._passwords(names)
        secrets = [word for known in given.values() for word in known.values()]
        again = self._on_host({"plan": plan, "passwords": given}, secrets)
        again.pop("passwords_needed", None)
        return {
            **again,
            "changed": True,
            "actions": [*answer.get("actions", []), *again.get("actions", [])],
            "diff": [*answer.get("diff", []), *again.get("diff", [])],
        }

    def _passwords(self, names: list[str]) -> dict[str, dict[str, str]]:
        left = handed(self._vars, "passwords")
        if left is None:
            return applied_passwords(site_for(self, self._vars), names)
        return {name: left[name] for name in names}

    def _forget_former_names(self, plan: Plan) -> None:
        """Forget generated passwords by the names of before: whoever gets such an address next gets a new one."""
        entries = plan.get("entries") or {}
        former = {item["from"] for item in entries.get("renamed", {}).values()} - set(entries.get("accounts", {}))
        if not former:
            return
        state = State(self._state_dir, self._loader._vault)
        gone = former & set(state.known_secrets())
        if gone:
            state.set_secrets(dict.fromkeys(gone))

    def _users(self, missing: Result, actions: list[str]) -> Result | None:
        """Let the package's own user join a group."""
        for group in missing.get("groups", []):
            wish = {"name": "openldap", "groups": [group], "append": True}
            answer = self._stock("ansible.builtin.user", wish)
            if answer.get("failed"):
                return {"failed": True, "msg": f"cannot add openldap to group {group}: {answer.get('msg')}"}
            actions.append(f"added user openldap to group {group}")
        return None

    def _tell(self, result: Result) -> None:
        super()._tell(result)
        for note in result.get("notes") or []:
            self._display.display(f"{self._vars.get('inventory_hostname')}: {self.program}: {note}")

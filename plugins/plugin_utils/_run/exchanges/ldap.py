# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""slapd: passwords go to the host only where it asks for them; fingerprints tell it for whom."""

from __future__ import annotations

import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import applied_passwords
from ansible_collections.postamt.mail.plugins.plugin_utils._run import answers, exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import Result
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remote import wrongly
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State


class Exchange(exchange.Exchange):
    answers: t.ClassVar = {"notes": [answers.line], "passwords_needed": [answers.line]}
    grows = True

    @staticmethod
    def beside(site: Site, plan: Plan) -> t.Any:
        """Return the passwords of all that the directory's entries are made of, by name."""
        names = list((plan.get("entries") or {}).get("fingerprints", ()))
        return applied_passwords(site, names) if names else None

    @staticmethod
    def settles_with(site: Site, host: str, plan: Plan) -> list[str] | None:
        """A replica is compared with the provider, and whoever has a new name has a password by the former one here."""
        if (plan.get("entries") or {}).get("renamed"):
            return None
        provider = site.provider.inventory_name if plan["wanted"] and site.provider else host
        return [provider] if provider != host else []

    def apply(self, plan: Plan) -> Result:
        """Run the module, and once more with the passwords that it asks for: fingerprints travel, passwords seldom."""
        answer = super().apply(plan)
        names = answer.pop("passwords_needed", None)
        if not answer.get("failed") and not self._task.check_mode:
            self._forget_former_names(plan)
        if answer.get("failed") or not names:
            return answer
        known = set((plan.get("entries") or {}).get("fingerprints", {}))
        strange = sorted(set(names) - known)
        if strange:
            wrong = f"passwords_needed has {strange[0]}, which is no account or service of its directory"
            return {**answer, **wrongly(self._action, self._vars, wrong)}
        passwords = self._handed.beside()
        given = {name: passwords[name] for name in names}
        secrets = [word for known in given.values() for word in known.values()]
        again = self._on_host({"plan": plan, "passwords": given}, secrets)
        again.pop("passwords_needed", None)
        return {
            **again,
            "changed": True,
            "actions": [*answer.get("actions", []), *again.get("actions", [])],
            "diff": [*answer.get("diff", []), *again.get("diff", [])],
        }

    def _forget_former_names(self, plan: Plan) -> None:
        """Forget generated passwords by the names of before: whoever gets such an address next gets a new one."""
        entries = plan.get("entries") or {}
        former = {item["from"] for item in entries.get("renamed", {}).values()} - set(entries.get("accounts", {}))
        if not former:
            return
        state = State(self._handed.state_dir, self._action._loader._vault)
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

    @staticmethod
    def tell(result: Result) -> t.Iterable[str]:
        yield from exchange.Exchange.tell(result)
        yield from result.get("notes") or []

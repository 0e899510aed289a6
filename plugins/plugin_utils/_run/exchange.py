# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What passes between the controller and a host while a program's plan is applied there.

A program with more to exchange than plan and answer has a subclass in `exchanges/`, in a file of the program's name.
"""

from __future__ import annotations

import functools
import importlib
import pathlib
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import packages
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remote import on_host, stock

if t.TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.plugin_utils._run.handover import Handed

Result = dict[str, t.Any]

FOLDER = pathlib.Path(__file__).parent / "exchanges"
PACKAGE = "ansible_collections.postamt.mail.plugins.plugin_utils._run.exchanges"
FRESH = 86400  # seconds for which the host's package lists count as fresh


class Exchange:
    """Bring what is missing with stock modules, and have the plan applied.

    answers: what a host may say beside what hosts say of all programs (answers.py); required: the keys that it has.
    seen: what its look may say of what is there. grows: whether its plan grows with the site's accounts, so that it is
    not left for a task that has nothing to do; should that have something to do after all, it derives the plan anew.
    """

    answers: t.ClassVar[Mapping[str, t.Any]] = {}
    seen: t.ClassVar[t.Any] = {}
    required: t.ClassVar[tuple[str, ...]] = ("changed", "actions")
    grows: t.ClassVar[bool] = False

    def __init__(self, program: str, action: t.Any, task_vars: Mapping[str, t.Any], handed: Handed) -> None:
        self._program, self._action, self._handed = program, action, handed
        self._vars: Result = {**task_vars, "ansible_no_target_syslog": True}
        self._task = action._task

    @staticmethod
    def beside(site: Site, plan: Plan) -> t.Any:
        """Return what the exchange needs of the site beside the plan, as plain data; None where it needs nothing."""
        return None

    @staticmethod
    def settles_with(site: Site, host: str, plan: Plan) -> list[str] | None:
        """Return the hosts that have to be as the last run left them, too, so that this one has nothing to do.

        None where there always is something to do. host: its inventory name.
        """
        return []

    def as_left(self, plan: Plan, seen: Mapping[str, t.Any]) -> Result | None:
        """Return the answer of a host that is as the last run left it, by the same plan; None takes the long way.

        For a program that `expires`, whose class on the host says what it has seen.
        """
        return None

    def apply(self, plan: Plan) -> Result:
        """Return what was done, or would be."""
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

    def _on_host(self, request: Result, secrets: Iterable[str]) -> Result:
        return on_host(self._action, self._vars, self._program, request, secrets, self.answers, self.required)

    def _stock(self, name: str, arguments: Result) -> Result:
        return stock(self._action, self._vars, name, arguments)

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

    @staticmethod
    def tell(result: Result) -> Iterable[str]:
        """Yield what a run shows: in one line what was done; stock callbacks show nothing of a task that went well."""
        done = result.get("actions") or ([] if result.get("failed") else ["nothing to do"])
        if done:
            yield sentence(done)


@functools.cache
def exchange_of(program: str) -> type[Exchange]:
    """Return the class for a program: its own, in a file of its name, or the plain one."""
    if not (FOLDER / f"{program}.py").is_file():
        return Exchange
    own: type[Exchange] = importlib.import_module(f"{PACKAGE}.{program}").Exchange
    return own


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

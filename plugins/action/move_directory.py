# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Move the directory: this task runs on all hosts, once a step, and each host does its own part.

What travels is on the controller for as long as the run, in its private temporary folder, and in no result.
"""

from __future__ import annotations

import os
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.topology import directory_holders
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, remote
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Result = dict[str, t.Any]
STEPS = ("take", "bring", "close")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _validated, given = self.validate_argument_spec(
            {"step": {"type": "str", "choices": list(STEPS), "required": True}}
        )
        try:
            looks = inventory.seen(self._vars)
            site = inventory.derive(self, self._vars, looks, keep=False, moving=True)
            way = way_of(site, looks)
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        if isinstance(way, str):
            return {**result, "failed": True, "msg": way}
        return {**result, "changed": False, **self._step(given["step"], site, *way)}

    def _step(self, step: str, site: Site, source: Host, goal: Host) -> Result:
        here = site.hosts[str(self._vars["inventory_hostname"])]
        if source == goal:
            return self._say(f"the directory is on {goal.name} already") if (here, step) == (goal, "take") else {}
        if here != (goal if step == "bring" else source):
            return {"skipped": True, "skip_reason": f"step {step} is for another host"}
        if self._task.check_mode:
            said = f"would move the directory to {goal.name}; its database would stay here"
            return {**(self._say(said) if step == "take" else {}), "changed": True}
        request: Result = {"step": step, "suffix": site.suffix, "name": here.name}
        if step == "bring":
            with open(_parcel(), encoding="ascii") as file:
                request["data"] = file.read()
        answer = remote.on_host(self, self._vars, "move_directory", request)
        data = answer.pop("data", None)
        if answer.get("failed"):
            return answer
        if step == "take":
            for key, value in (("data", data), ("accounts", answer.get("accounts"))):
                if value is None:
                    return remote.wrongly(self, self._vars, f"{key} is missing")
            with open(_parcel(), "w", encoding="ascii", opener=_private) as file:
                file.write(data)
            said = f"took the directory, {answer['accounts']} accounts, for {goal.name}; no changes are taken here now"
        elif step == "bring":
            said = f"brought the directory from {source.name}, for slapd to take it up"
        else:
            said = f"moved the directory to {goal.name}; the database here stays in /var/lib/ldap-mail"
        return {**answer, **self._say(said)}

    def _say(self, text: str) -> Result:
        self._display.display(f"{self._vars.get('inventory_hostname')}: {text}")
        return {"actions": [text]}


def way_of(site: Site, looks: t.Collection[str]) -> tuple[Host, Host] | str:
    """Return from which host the directory goes to which, or why it cannot."""
    goal = site.provider
    if goal is None:
        return "the site's accounts are users of the host: there is no directory"
    away = sorted(set(site.hosts) - set(looks))
    if away:
        return (
            f"{', '.join(away)} cannot be reached, and may hold the directory: run again when it can, without --limit"
        )
    holders = directory_holders(site)
    if not holders:
        return f"no host of the site holds a directory: run postamt.mail.site, which makes one on {goal.name}"
    if len(holders) > 1:
        names = ", ".join(host.name for host in holders)
        return f"{names} each hold accounts: postamt.mail.site says what to do"
    return holders[0], goal


def _parcel() -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, "postamt-directory")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

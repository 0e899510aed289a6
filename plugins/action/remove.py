# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take the collection away from a host, and say what stays there."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._run import remote
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import sentence


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        programs = compose.ordered()
        stays = {what: path for program in programs.values() for what, path in program.stays.items()}
        request = {"order": [*reversed(programs)], "stays": stays}
        result.update(remote.on_host(self, variables, "remove", request))
        name = variables.get("inventory_hostname")
        if actions := result.get("actions"):
            self._display.display(f"{name}: {sentence(actions)}")
        elif not result.get("failed"):
            self._display.display(f"{name}: nothing of this collection is here")
        for what, path in (result.get("stays") or {}).items():
            self._display.display(f"{name}: left in place: {what}: {path}")
        if ran := result.get("ran"):
            self._display.display(
                f"{name}: units that ran before are not started again: run systemctl enable --now {' '.join(ran)}"
            )
        return result

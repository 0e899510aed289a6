# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List what the content filter keeps, and release what the user names."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import QUARANTINE
from ansible_collections.postamt.mail.plugins.plugin_utils._run import remote


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        spec = {"release": {"type": "list", "elements": "str", "default": []}}
        _validated, given = self.validate_argument_spec(spec)
        variables = task_vars or {}
        request = {"folder": QUARANTINE, "release": given["release"]}
        result.update(remote.on_host(self, variables, "quarantine", request))
        for mail in result.get("mails") or []:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(mail["time"])))
            words = (
                f"{mail['id']}  {when}  {mail['reason']}  {mail['sender']} -> {mail['recipients']}  {mail['subject']}"
            )
            self._display.display(f"{variables.get('inventory_hostname')}: {words}")
        for said in [*(result.get("notes") or []), *(result.get("actions") or [])]:
            self._display.display(f"{variables.get('inventory_hostname')}: {said}")
        return result

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Show what a host would get, and write the zone files; nothing is touched."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._run import inventory, show, zone_files
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError

Result = dict[str, t.Any]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        variables = task_vars or {}
        result: Result = super().run(tmp, variables)
        try:
            return {**result, "changed": False, **self._show(variables)}
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}

    def _show(self, variables: Result) -> Result:
        site = inventory.site_for(self, variables, keep=False)
        name = str(variables["inventory_hostname"])
        found: t.Any = show.overview(site, site.hosts[name], inventory.overrides_of(self, variables, name))
        zones = zone.zones(site)
        query = self._task.args.get("query")
        if query:
            found = _searched(str(query), found)
        folder = site.of(Variables).mail_zone_dir
        if folder:
            zone_files.write(folder, zones)
            for sentence in zone.warnings(site):
                self._display.warning(sentence)
        return {"host": found, "zones": {name: text.splitlines() for name, text in zones.items()}}


def _searched(query: str, data: t.Any) -> t.Any:
    try:
        import jmespath
    except ImportError:
        raise SiteError([Problem("query", query, "needs the Python package jmespath on the controller")]) from None
    try:
        return jmespath.search(query, data)
    except jmespath.exceptions.JMESPathError as error:
        raise SiteError([Problem("query", query, f"is no JMESPath expression: {str(error).splitlines()[0]}")]) from None

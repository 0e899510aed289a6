# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""tlsrpt-reporter: the wheel lies on the controller; the host gets its files, which no plan holds."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import tlsrpt_reporter
from ansible_collections.postamt.mail.plugins.plugin_utils._run import exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import Result


class Exchange(exchange.Exchange):
    def apply(self, plan: Plan) -> Result:
        """Bring the program that lies on the controller along."""
        files = DataFiles.of(self._vars)
        brought = tlsrpt_reporter.supplied(plan, lambda path: controller_file(self._action, files, path))
        return super().apply({**plan, "files": [*plan["files"], *map(dataclasses.asdict, brought)]})

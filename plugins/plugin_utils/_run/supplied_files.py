# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that lie on the controller: they are files of a host's plan, which does not hold them."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._run import exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file


class SuppliedFiles(exchange.Exchange):
    """Brings along what the program's `supplied` returns, whose file is in `_programs/`."""

    def apply(self, plan: compose.Plan) -> exchange.Result:
        files, module = DataFiles.of(self._vars), compose.programs()[self._program]
        brought = module.supplied(plan, lambda path: controller_file(self._action, files, path))
        return super().apply({**plan, "files": [*plan["files"], *map(dataclasses.asdict, brought)]})

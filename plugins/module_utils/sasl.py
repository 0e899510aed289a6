# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How saslauthd takes a new configuration up: it has neither a checker nor a reload."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils.program import Contents, Program, run


class Sasl(Program):
    name = "sasl"
    title = "saslauthd"

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        return True


def carry_out(module: AnsibleModule) -> None:
    """Carry out the plan of the module's request; ends the module."""
    run(Sasl(), module)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How nft checks this collection's table, and whether somebody has flushed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils import files, units
from ansible_collections.postamt.mail.plugins.module_utils.program import Program, run

CONFIGURATION = "/etc/postamt/nftables.conf"
TABLE = "postamt"


class Nftables(Program):
    name = "nftables"
    title = "the firewall"
    checker = "/usr/sbin/nft"
    last = (CONFIGURATION,)

    def check(self, stage: str) -> list[str]:
        found = units.output(self.checker, "-c", "-f", stage + CONFIGURATION, check=False)
        return [line for line in found.stderr.splitlines() if "rror:" in line] if found.returncode else []

    def lacking(self, plan: Mapping[str, Any]) -> list[str]:
        """Find out whether somebody has flushed all tables since the unit was started."""
        if not files.exists(CONFIGURATION):
            return []
        found = units.output(self.checker, "list", "chain", "inet", TABLE, "links", check=False)
        return [f"table inet {TABLE}"] if found.returncode else []

    def make(self, what: str) -> None:
        units.output(self.checker, "-f", CONFIGURATION)


def carry_out(module: AnsibleModule) -> None:
    """Carry out the plan of the module's request; ends the module."""
    units.serve(module)
    run(Nftables(), module)

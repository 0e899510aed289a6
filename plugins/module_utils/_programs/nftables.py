# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How nft checks this collection's table, and when its daemon has to be started anew."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program

CONFIGURATION = "/etc/postamt/nftables.conf"
TABLE = "postamt"


class Nftables(Program):
    def staged(self, path: str, content: str) -> str:
        """Return the rules for a table of another name: nobody but its owner, the daemon, may even try the real one."""
        return (
            content.replace(f"table inet {TABLE} ", f"table inet {TABLE}_tried ") if path == CONFIGURATION else content
        )

    def check(self, stage: str, dry: bool) -> list[str]:
        found = units.output(self.checker, "-c", "-f", stage + CONFIGURATION, check=False)
        return [line for line in found.stderr.splitlines() if "rror:" in line] if found.returncode else []

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """A reload is for the rules."""
        return any(path != CONFIGURATION for path in new)

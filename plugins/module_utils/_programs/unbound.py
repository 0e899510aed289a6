# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Unbound checks a staged configuration."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program

CONFIGURATION = "/etc/unbound/postamt.conf"
UNIT = "postamt-resolver.service"
ANCHOR = "/var/lib/postamt-resolver/root.key"  # Unbound keeps it up to date
SHIPPED_ANCHOR = "/usr/share/dns/root.key"
DEBIANS_UNIT = "unbound.service"
DEBIANS_FOLDER = "/etc/unbound/unbound.conf.d"
DEBIANS_FILES = ("remote-control.conf", "root-auto-trust-anchor-file.conf", "qname-minimisation.conf")


class Unbound(Program):
    def displaced_units(self) -> tuple[str, ...]:
        """Return Debian's own unit, which the package enables, unless an administrator uses it."""
        used = units.states([DEBIANS_UNIT])[DEBIANS_UNIT].active or _configured()
        return (DEBIANS_UNIT,) if files.exists(self.checker) and not used else ()

    def check(self, stage: str, dry: bool) -> list[str]:
        """Have Unbound read the configuration; its own copy of the root's key comes with its first start."""
        path = stage + CONFIGURATION
        seen = files.see(path)
        text = seen.content.decode() if seen else ""
        files.write(path, text.replace(f'"{ANCHOR}"', f'"{SHIPPED_ANCHOR}"').encode())
        found = units.output(self.checker, path, check=False)
        if found.returncode == 0:
            return []
        said = [line for line in (found.stderr + found.stdout).splitlines() if line.strip()]
        return [line.replace(stage, "") for line in said][:5] or [f"exit code {found.returncode}"]


def _configured() -> bool:
    """Tell whether an administrator has written a configuration of Debian's Unbound."""
    return bool(set(files.names(DEBIANS_FOLDER)) - {*DEBIANS_FILES})

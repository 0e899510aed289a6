# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Rspamd checks a staged configuration, and takes a new one up."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program

CONFIGURATION = "/etc/rspamd/postamt.conf"
UNIT = "postamt-rspamd.service"
DEBIANS_UNIT = "rspamd.service"
# Where an administrator configures Debian's; the package of Debian 13 has examples there.
ETC = "/etc/rspamd"
OWN = ("local.d", "lua.local.d", "modules.local.d", "override.d")
OWN_FILES = ("rspamd.conf.local", "rspamd.conf.override")
NOISE = ("has no score registered", "no symbol groups defined")


class Rspamd(Program):
    def displaced_units(self) -> tuple[str, ...]:
        """Return Debian's own unit, which the package enables, unless an administrator uses it."""
        used = units.states([DEBIANS_UNIT])[DEBIANS_UNIT].active or _configured()
        return (DEBIANS_UNIT,) if files.exists(self.checker) and not used else ()

    def check(self, stage: str, dry: bool) -> list[str]:
        """Have Rspamd read the configuration, with its files from the stage; it writes into its folder as it does."""
        path = stage + CONFIGURATION
        seen = files.see(path)
        text = seen.content.decode() if seen else ""
        for file in self.plan["files"]:
            text = text.replace(f'"{file["path"]}"', f'"{stage}{file["path"]}"')
        files.write(path, text.encode())
        limits = ("ProtectSystem=strict", "PrivateTmp=yes", "PrivateNetwork=yes", "RuntimeMaxSec=60")
        words = [f"--property={limit}" for limit in limits]
        command = (self.checker, "configtest", "-c", path)
        found = units.output("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *words, *command, check=False)
        if found.returncode == 0:
            return []
        said = [line for line in (found.stdout + found.stderr).splitlines() if line.strip()]
        return [line for line in said if not line.endswith(NOISE) and "skip its check" not in line][:5]

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """A reload reads everything but its unit."""
        return any(path.endswith(UNIT) for path in new)

    def reload(self, names: list[str]) -> None:
        """Have the main process start a worker with what is new; it starts none where it cannot read that."""
        units.reload_workers(UNIT, self.patience, "rspamd_proxy")


def _configured() -> bool:
    """Tell whether an administrator has written a configuration of Debian's Rspamd."""
    named = [name for folder in OWN for name in files.names(f"{ETC}/{folder}") if not name.endswith(".example")]
    return bool(named) or any(files.exists(f"{ETC}/{name}") for name in OWN_FILES)

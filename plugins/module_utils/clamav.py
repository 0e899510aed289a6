# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How clamd checks a staged configuration, and takes a new one up."""

from __future__ import annotations

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils import files, units
from ansible_collections.postamt.mail.plugins.module_utils.program import Contents, Program, run

MAIN = "/etc/clamav/clamd.conf"
UPDATER = "/etc/clamav/freshclam.conf"
SIGNATURES = "/var/lib/clamav/"


class Clamav(Program):
    name = "clamav"
    title = "ClamAV"
    checker = "/usr/sbin/clamd"
    last = (MAIN,)
    reads_folders = True
    patience = 300.0  # for the official signatures, which it may have to fetch before

    def check(self, stage: str) -> list[str]:
        """Have clamconf read the options, and clamscan load the signatures that are new."""
        problems = []
        names = {os.path.basename(path): path for path in (MAIN, UPDATER) if files.exists(stage + path)}
        found = units.output("clamconf", f"--config-dir={stage}{os.path.dirname(MAIN)}", check=False)
        for line in (found.stdout + found.stderr).splitlines():
            if re.search(r"(?i)\bERROR\b|unknown option|requires", line):
                name = next((name for name in names if name in line), "")
                problems.append(line.replace(stage, "").strip() or name)
        folder = stage + SIGNATURES
        for name in files.names(folder):
            tried = units.output("clamscan", "--no-summary", f"--database={folder}{name}", "/etc/hostname", check=False)
            if tried.returncode == 2:
                said = (tried.stderr or tried.stdout).replace(stage, "").strip().splitlines()
                problems.append(f"{SIGNATURES}{name}: {said[0] if said else 'cannot be read'}")
        return problems

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """A reload of clamd reads signatures only."""
        return any(path in (MAIN, UPDATER) for path in new)

    def reload(self, names: list[str]) -> None:
        units.act("reload", "clamav-daemon.service")


def carry_out(module: AnsibleModule) -> None:
    """Carry out the plan of the module's request; ends the module."""
    run(Clamav(), module)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How clamd checks a staged configuration, and takes a new one up."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program

MAIN = "/etc/clamav/clamd.conf"
UPDATER = "/etc/clamav/freshclam.conf"
SIGNATURES = "/var/lib/clamav/"
TEST = f"{SIGNATURES}postamt-test.ndb"  # which alone is no scanner
UPDATES = "clamav-freshclam.service"
FIRST = "a first set of signatures"
FETCHING = 400  # seconds that freshclam may take
WAYS_OUT = (
    "Until there are signatures, mail_antivirus_failure says what happens to mail: by default it waits at its senders. "
    "Run again when this host reaches database.clamav.net, or name a mirror that it reaches (mail_clamav_mirror), or "
    "use other signatures (mail_clamav_official: false with mail_clamav_signatures or mail_clamav_urls), or none "
    "(mail_antivirus: false)"
)


class Clamav(Program):
    def check(self, stage: str, dry: bool) -> list[str]:
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

    def missing_artifacts(self, leaving: Collection[str]) -> list[str]:
        """Signatures, without which clamd does not start, where they are to be fetched."""
        there = signatures()
        brought = {file["path"] for file in self.plan["files"] if file["path"].startswith(SIGNATURES)}
        fetched = any(unit["name"] == UPDATES and unit["running"] for unit in self.plan["units"])
        return [FIRST] if fetched and not (there - {*leaving}) | (brought - {TEST}) else []

    def evidence(self) -> dict[str, Any]:
        return {"that there are signatures": bool(signatures())}

    def create(self, what: str) -> None:
        """Fetch them now, since clamd's own unit would try for ever, and say less of it."""
        words = ("timeout", str(FETCHING), "freshclam", "--stdout")
        found = units.as_user("clamav", *words, check=False)
        if found.returncode:
            raise units.Failed(f"{reason(found.stdout + found.stderr)}. {WAYS_OUT}")

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """A reload of clamd reads signatures only."""
        return any(path in (MAIN, UPDATER) for path in new)

    def reload(self, names: list[str]) -> None:
        units.act("reload", "clamav-daemon.service")


def signatures() -> set[str]:
    """Return the files of signatures on this host, but for the one by which the filter is tested."""
    # Not below it, where freshclam downloads, and leaves what it had when it was killed.
    found = (f"{SIGNATURES}{name}" for name in files.names(SIGNATURES) if not name.endswith(".dat"))
    return {path for path in found if (status := files.status(path)) and stat.S_ISREG(status.st_mode)} - {TEST}


def reason(said: str) -> str:
    """Return why freshclam did not fetch, in its own words."""
    lines = [line for line in said.splitlines() if line.startswith("ERROR") or "Message:" in line]
    words = dict.fromkeys(re.sub(r"^.*(?:ERROR|WARNING):\s*(?:Message:\s*)?", "", line).strip(" .") for line in lines)
    return f"freshclam cannot fetch signatures: {'; '.join(words) or f'nothing came within {FETCHING} seconds'}"

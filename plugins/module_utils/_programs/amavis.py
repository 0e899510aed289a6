# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How amavis and SpamAssassin check a staged configuration, and take a new one up."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program

MAIN = "/etc/amavis/conf.d/60-postamt"
RULES = "/etc/spamassassin/postamt.cf"
MAILNAME = "/etc/mailname"
SOCKETS = ("$inet_socket", "$unix_socketname", "@listen_sockets")  # begin the names of what says where it listens
SHIPPED = ("/usr/share/amavis/conf.d", "/etc/amavis/conf.d")  # as Debian's amavisd reads them


class Amavis(Program):
    def superseded_files(self) -> list[str]:
        """Return what is read before this collection's file, which has the last word."""
        return [path for path in _numbered(SHIPPED[1]) if path != MAIN]

    def missing_artifacts(self, leaving: Collection[str]) -> list[str]:
        """Debian's own part of the configuration reads the host's mail name, which the package of Postfix makes."""
        return [] if files.exists(MAILNAME) else [MAILNAME]

    def create(self, what: str) -> None:
        files.write(what, f"{self.plan['mailname']}\n".encode(), 0o644)

    def check(self, stage: str, dry: bool) -> list[str]:
        return [*self._settings(stage), *self._rules(stage)]

    def _settings(self, stage: str) -> list[str]:
        """Have amavisd read all its files, ours from the stage, as its own user: it refuses files it could write."""
        with files.temporary("postamt-amavis.") as folder:  # no secret is in it
            ours = os.path.join(folder, os.path.basename(MAIN))
            files.copy(stage + MAIN, ours, 0o644)
            named = {path for place in SHIPPED for path in _numbered(place)} - {MAIN}
            read = sorted(named, key=lambda path: (SHIPPED.index(os.path.dirname(path)), path))
            words = [word for path in sorted([*read, ours], key=os.path.basename) for word in ("-c", path)]
            found = units.as_user("amavis", self.checker, *words, "test-config", check=False)
        if found.returncode == 0:
            return []
        lines = (found.stderr + found.stdout).strip().splitlines() or [f"amavisd: exit code {found.returncode}"]
        return [f"amavis: {line.replace(folder, os.path.dirname(MAIN))}" for line in lines[:5]]

    def _rules(self, stage: str) -> list[str]:
        """Have SpamAssassin check its rules, ours from the stage (spamassassin(1), --lint)."""
        now = files.see(RULES)
        staged = files.see(stage + RULES)
        if now and staged and now.content == staged.content:
            return []
        with files.temporary("postamt-rules.") as site:
            here = os.path.dirname(RULES)
            for name, status in files.tree(here):
                if status.st_uid == 0:  # not the keys of SpamAssassin's own user
                    files.make_folder(os.path.dirname(f"{site}/{name}"))
                    files.copy(f"{here}/{name}", f"{site}/{name}")
            files.copy(stage + RULES, f"{site}/{os.path.basename(RULES)}", 0o644)
            # as nobody, since it makes folders in the home of whoever asks
            found = units.as_user(
                *("nobody", "spamassassin", "--nocreate-prefs", "--lint"),
                *("--cf=use_bayes 0", f"--siteconfigpath={site}"),
                check=False,
                HOME="/nonexistent",
            )
        if found.returncode == 0:
            return []
        said = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        lines = [re.sub(r"^.*?warn: ", "", line) for line in said if "warn:" in line] or said[-1:]
        return [f"SpamAssassin: {line}" for line in lines[:5]]

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """A reload runs it anew over the same sockets; others need a restart."""
        sockets = "|".join(map(re.escape, SOCKETS))
        return (
            MAIN in new
            and dict(re.findall(rf"(?m)^((?:{sockets})\w*) = (.*);$", old.get(MAIN) or "")) != (self.plan["sockets"])
        )


def _numbered(folder: str) -> list[str]:
    """Return the files of a folder that amavisd reads, in order."""
    return [f"{folder}/{name}" for name in files.names(folder) if name[0].isdigit()]

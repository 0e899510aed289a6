# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reload the programs that show another certificate than the one on disk.

Which program shows a certificate at which ports, and how it is reloaded, is in its manifest, kept by the run that
configured it (/var/lib/postamt/PROGRAM/manifest.json: title, serves, reload, workers; plugin_utils/_compose/program.py
says what they are). A host has this file as /usr/local/lib/postamt/reload.py.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls import commands
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.shown import (
    PATIENCE,
    Serves,
    behind,
    listening,
    settled,
    unusable,
)

STATE = "/var/lib/postamt"
# What the manifests of versions before 1.0 do not say; each program's next run writes its own anew.
_UNSAID: dict[str, dict[str, Any]] = {
    "dovecot": {"title": "Dovecot", "reload": ["systemctl", "reload", "dovecot.service"]},
    "haproxy": {"title": "HAProxy", "reload": ["systemctl", "reload", "postamt-links.service"]},
    "ldap": {"title": "slapd", "reload": ["/usr/local/lib/postamt/reload-slapd"]},
    "postfix": {
        "title": "Postfix",
        "reload": ["postfix", "reload"],
        "workers": {"pid_file": "/var/spool/postfix/pid/master.pid", "names": ["smtpd", "tlsproxy"]},
    },
}


@dataclasses.dataclass
class Program:
    """A program that shows certificates, as its manifest has it."""

    name: str
    path: str
    manifest: dict[str, Any]

    @property
    def title(self) -> str:
        return str(self.manifest.get("title", self.name))

    @property
    def serves(self) -> list[Serves]:
        return self.manifest.get("serves") or []

    @property
    def watch(self) -> dict[str, str]:
        return self.manifest.get("watch") or {}

    def behind(self) -> list[str]:
        """Return what of it does not use the certificates on disk."""
        return behind(self.serves, self.watch, self.manifest.get("workers") or {})

    def reload(self) -> None:
        """Have it read its certificates again, connections being kept; raises CertificateError."""
        commands.call(*self.manifest["reload"])

    def shows(self, chain: str) -> bool:
        """Tell whether it listens, and shows the certificate in this file."""
        return any(chain in item["certificates"] and listening(item["port"]) for item in self.serves)

    def remember(self) -> None:
        """Note that it has read its files, unless it does not run."""
        watch = {name: files.digest(name) for name in self.watch}
        if watch != self.watch and any(listening(item["port"]) for item in self.serves):
            files.save(self.path, {**self.manifest, "watch": watch})


def programs(state: str = STATE) -> list[Program]:
    """Return the programs of this host that show certificates."""
    paths = {name: f"{state}/{name}/manifest.json" for name in files.names(state)}
    found = [Program(name, path, {**_UNSAID.get(name, {}), **files.load(path)}) for name, path in paths.items()]
    return [program for program in found if program.serves]


def serve(state: str = STATE) -> tuple[dict[str, str], list[str]]:
    """Reload exactly the programs that do not use the certificates on disk; return why by title, and what is wrong.

    The caller holds the lock.
    """
    done: dict[str, str] = {}
    problems, fine = [], []
    for program in programs(state):
        late = program.behind()
        bad = unusable(program.serves) if late else []
        if bad:
            problems.append(f"{program.title} was not reloaded, since {'; '.join(bad)}")
            continue
        try:
            if late:
                program.reload()
                done[program.title] = f"{', '.join(late)} had another certificate than the one on disk"
            fine.append(program)
        except CertificateError as error:
            problems.append(f"{program.title} cannot be reloaded: {error}")
    until = time.monotonic() + PATIENCE
    for program in fine:
        left = settled(program.serves, until - time.monotonic()) if program.title in done else []
        if left:
            problems.append(f"{program.title} still shows another certificate than the one on disk: {', '.join(left)}")
        else:
            program.remember()
    return done, problems

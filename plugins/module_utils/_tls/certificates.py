# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the plan of the certificates: what lies there, signing requests, new ones served; files and units."""

from __future__ import annotations

import grp
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, program, units
from ansible_collections.postamt.mail.plugins.module_utils._tls import reload
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import CA, CHAIN, FOLDER, GROUP, KEY, Store

ACME = "postamt-acme.service"


class Upkeep(program.Program):
    """What tells that the certificates are as a run left them."""

    def evidence(self) -> dict[str, Any]:
        """Return digests of each certificate's chain and key, and of the site's CA."""
        places = {name: f"{FOLDER}/{name}" for name in _store().names()}
        pairs = {name: [f"{place}/{part}" for part in (CHAIN, KEY)] for name, place in places.items()}
        found = {f"certificate {name}": [*map(files.digest, paths)] for name, paths in pairs.items()}
        return {**found, "the site's CA": files.digest(f"{FOLDER}/{CA}")}


def _store() -> Store:
    """Return the certificates of this host."""
    try:
        gid = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        gid = -1  # its package is missing yet
    return Store(FOLDER, gid, units.run)


def seen() -> dict[str, Any]:
    """Return what lies here, where the evidence is that of a run which has found that keys and chains match."""
    return _store().seen(matched=True)


class Transaction(program.Transaction):
    """One call of the module. Its request's `state` says which.

    seen: apply the plan's files and units, and return which certificates are there. requested: make missing keys,
    return signing requests. installed: take chains with their keys, and have them served.
    """

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(Upkeep, module)
        self.store = _store()
        self.result: dict[str, Any] = {}

    def apply(self) -> None:
        state = self.request["state"]
        try:
            if state == "seen":
                super().apply()
                self.result = self.store.seen()
                if self.dry:
                    self.result["shown_by"] = self.shown_by()
            elif state == "requested":
                self.result = {"requests": self.store.requested(self.request["certificates"])}
            else:
                self.store.installed(self.request["ca"], self.request["certificates"], self.request["removed"])
                reloaded, left = reload.serve()
                self.keep_evidence()
                # What is left is for the roles of the programs, which come later and say more.
                self.result = {"reloaded": sorted(reloaded), "left": left}
        except CertificateError as error:
            raise units.Failed(str(error)) from None

    def applied(self) -> dict[str, Any]:
        fine = all(one["matches"] and one["guarded"] for one in self.store.seen()["served"].values())
        return super().applied() if fine else {}

    def keep_evidence(self) -> None:
        """Have the next look at this host expect the certificates that were installed now."""
        manifest = files.load(self.manifest_file)
        if manifest.get("last"):
            manifest["last"]["evidence"] = self.program.evidence()
            files.save(self.manifest_file, manifest)

    def shown_by(self) -> dict[str, list[str]]:
        """Return by certificate the titles of the programs that would be reloaded for it."""
        chains = {name: f"{FOLDER}/{name}/{CHAIN}" for name in self.store.names()}
        known = reload.programs()
        return {name: [p.title for p in known if p.shows(chain)] for name, chain in chains.items()}

    def look_at_units(self) -> None:
        super().look_at_units()
        if self.take_up_verb == "reload":
            self.take_up_verb = ""  # the command is read whenever it starts

    def exit(self) -> None:
        self.module.exit_json(
            changed=self.changed, actions=self.actions, diff=self.diffs, missing=self.missing, **self.result
        )


def obtain(module: AnsibleModule) -> None:
    """Have the ACME client try now; ends the module. The lock stays free for the command that it calls."""
    since = f"@{int(time.time())}"
    try:
        units.output("systemctl", "start", ACME)
        module.exit_json(changed=True, obtained=True)
    except units.Failed:
        units.output("journalctl", "--sync", check=False)
        logged = units.output("journalctl", "-q", "-o", "cat", "-u", ACME, "--since", since, check=False).stdout
        lines = [line for line in logged.splitlines() if line and not line.startswith((ACME, "Starting ", "Failed "))]
        module.exit_json(changed=False, obtained=False, why=" ".join(lines[-6:]) or f"see journalctl -u {ACME}")


def apply(module: AnsibleModule) -> None:
    """Do what the module's request says; ends the module."""
    if module.params["request"]["state"] == "obtain":
        obtain(module)
    program.execute(Transaction(module))

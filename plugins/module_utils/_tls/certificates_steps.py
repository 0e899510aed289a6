# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the plan of the certificates: what lies there, signing requests, new ones served; files and units."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import manifest, transaction, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._tls import reload
from ansible_collections.postamt.mail.plugins.module_utils._tls.certificates import Certificates, store_here
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import CHAIN, FOLDER, Store

ACME = "postamt-acme.service"


def answered(program: Program, request: dict[str, Any], store: Store, report: Report) -> dict[str, Any]:
    """Do what a request's `state` says; returns what the module answers. Raises units.Failed.

    seen: apply the plan's files and units, and return which certificates are there. requested: make missing keys,
    return signing requests. installed: take chains with their keys, and have them served.
    """
    try:
        if request["state"] == "seen":
            missing = transaction.apply(program, report)
            shown = {"shown_by": shown_by(store)} if report.dry else {}
            return {"missing": missing, **store.seen(), **shown}
        if request["state"] == "requested":
            return {"missing": {}, "requests": store.requested(request["certificates"])}
        store.installed(request["ca"], request["certificates"], request["removed"])
        reloaded, left = reload.serve()
        _keep_evidence(program)
        # What is left is for the roles of the programs, which come later and say more.
        return {"missing": {}, "reloaded": sorted(reloaded), "left": left}
    except CertificateError as error:
        raise units.Failed(str(error)) from None


def _keep_evidence(program: Program) -> None:
    """Have the next look at this host expect the certificates that were installed now."""
    home = HOST.of(program.name)
    record = dict(manifest.load(home).manifest)
    if record.get("last"):
        record["last"]["evidence"] = program.evidence()
        manifest.keep(home, record)


def shown_by(store: Store) -> dict[str, list[str]]:
    """Return by certificate the titles of the programs that would be reloaded for it."""
    chains = {name: f"{FOLDER}/{name}/{CHAIN}" for name in store.names()}
    known = reload.programs()
    return {name: [p.title for p in known if p.shows(chain)] for name, chain in chains.items()}


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
    request = module.params["request"]
    if request["state"] == "obtain":
        obtain(module)
    program, store = Certificates(request["plan"]), store_here()
    transaction.execute(program, module, lambda report: answered(program, request, store, report))

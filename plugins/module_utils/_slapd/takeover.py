# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entries of another host: those that were brought here, and those of the provider that a new replica follows."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, host, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, offline, replica
from ansible_collections.postamt.mail.plugins.module_utils._slapd.configure import configure
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import CONFIG_FILTER, Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import CONFIG, PID_FILE
from ansible_collections.postamt.mail.plugins.module_utils._slapd.process import UNIT, text_of
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Run

FOLLOWS = ("olcSyncrepl", "olcUpdateRef")  # what makes a database a replica


def take_over(run: Run) -> None:
    """Have the database hold what was brought here, or all that the provider has before it follows the provider.

    A replica that filled while it serves would deny accounts that have not come yet. Where the provider does not
    answer, the replica follows with what it has: without entries nobody can log in to ask it.
    """
    is_replica, record = bool(run.plan["replica"]), run.record
    if is_replica and "accounts" in record.applied:
        raise Failed("this host holds accounts and passwords that are changed here: run postamt.mail.move_directory")
    arrived = {} if is_replica or "accounts" in record.applied else files.load(host.ARRIVING)
    if not arrived and (not is_replica or _follows(run)) and not record.applied.get("loading"):
        return
    where = f"brought from {arrived['from']}" if arrived else f"of {run.plan['provider']}"
    ldif = arrived.get("ldif", "")
    if is_replica and not ldif:
        try:
            ldif = replica.as_ldif(provider(run.plan), run.suffix)
        except Failed:
            if not record.applied.get("loading"):
                return
    if run.dry:
        run.report.did("took up", "take up", f"the directory {where}")
        return
    alone = {name: values for name, values in run.plan["config"]["database"].items() if name not in FOLLOWS}
    configure(run, {**run.plan["config"], "database": alone})
    try:
        load(run, ldif)
    except (Failed, OSError) as error:
        raise Failed(f"{error}; slapd is not started before a run has loaded the directory: run again") from None
    record.applied.update(arrived.get("record", {}))
    record.applied.pop("loading", None)
    record.keep()
    if arrived:
        files.remove(host.ARRIVING)
    if ldif:
        run.report.did("took up", "take up", f"the directory {where}")


def _follows(run: Run) -> bool:
    """Tell whether the database follows a provider already."""
    tree = run.connection.search(config.GLOBAL, "subtree", CONFIG_FILTER)
    return any("olcSyncrepl" in entry for entry in tree.values() if entry.get("olcSuffix") == [run.suffix])


def provider(plan: Mapping[str, Any]) -> Connection:
    """Return a connection to the provider; raises Failed where it does not answer."""
    login = plan["replica"]
    return Connection(login["socket"], 1.0, (login["dn"], login["password"]))


def load(run: Run, ldif: str) -> None:
    """Have the database hold these entries, or again what it held where there are none; slapd stops meanwhile.

    What it held stays in a folder beside it.
    """
    folder = run.plan["config"]["database"]["olcDbDirectory"][0]
    before = f"{folder}.before"
    pid = text_of(PID_FILE).strip()
    if not run.record.applied.get("loading"):  # noted while slapd runs: a full disk must not keep it stopped
        files.remove_tree(before)
        run.record.applied["loading"] = True
        run.record.keep()
    units.act("stop", UNIT)
    until = time.monotonic() + 10
    while pid and files.exists(f"/proc/{pid}"):  # Debian 12's init script may say too early that it did
        if time.monotonic() > until:
            raise Failed("slapd was stopped, but its process goes on: stop it by hand")
        time.sleep(0.1)
    if not files.exists(before):
        files.rename(folder, before)
    files.remove_tree(folder)
    if ldif:
        offline.make_folder(folder)
        offline.as_slapd("slapadd", "-q", "-F", CONFIG, "-b", run.suffix, data=ldif)
    else:
        files.rename(before, folder)
    os.sync()
    units.act("start", UNIT)
    run.connection.open()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A replica that is not in step with its provider."""

from __future__ import annotations

import time

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, host
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import replica
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Run
from ansible_collections.postamt.mail.plugins.module_utils._slapd.takeover import load, provider

PATIENCE = 30  # seconds for a new replica to have all entries; 20,000 take about half as long


def lag(run: Run) -> list[str]:
    """Return what is to be said where a replica lacks changes after a while; it catches up without this run.

    Takes all entries anew where they differ though it is in step.
    """
    name = run.plan["provider"]
    if run.dry and run.report.changed:
        return []
    try:
        at_provider = provider(run.plan)
        goal = replica.state(at_provider, run.suffix)
    except Failed:
        return [f"the provider {name} does not answer: changes come when it answers again"]
    end = time.monotonic() + (PATIENCE if run.report.changed else 2)
    while replica.state(run.connection, run.suffix) < goal:
        if time.monotonic() > end:
            return [f"the directory here lacks changes of {name} still; it goes on fetching them"]
        time.sleep(0.1)
    if not run.dry and files.exists(host.ARRIVING):
        files.remove(host.ARRIVING)  # of a move that was taken back
    compare_entries(run, at_provider)
    return []


def compare_entries(run: Run, at_provider: Connection) -> None:
    """Have the replica take all entries anew where they differ though it is at the same change as the provider.

    A change that the provider makes while its clock is behind counts as an old one, and is sent to nobody.
    """
    suffix = run.suffix
    for _again in range(3):  # a change may come in between
        at = replica.state(at_provider, suffix)
        theirs, ours = replica.changes_of(at_provider, suffix), replica.changes_of(run.connection, suffix)
        if theirs == ours:
            return
        if replica.state(at_provider, suffix) == at == replica.state(run.connection, suffix):
            break
        time.sleep(0.5)
    else:
        return
    differ = sum(theirs.get(dn) != ours.get(dn) for dn in {**theirs, **ours})
    many = "1 entry" if differ == 1 else f"{differ} entries"
    if run.report.did("took", "take", f"the directory of {run.plan['provider']} anew ({many} differed)"):
        ldif = replica.as_ldif(at_provider, suffix)
        try:
            load(run, ldif)
        except (Failed, OSError) as error:  # a full disk, perhaps; few entries that differ are better than none
            load(run, "")
            raise Failed(f"{error}; it serves with the entries that it had") from None
        run.record.applied.pop("loading", None)
        run.record.keep()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the plan of slapd: its process, cn=config and the entries, asked and changed over one LDAP connection.

slapd has no files that are swapped and taken back as a whole, so its steps are its own. It shares with other programs
what is missing, folders, units, and the manifest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    files,
    folders,
    journal,
    manifest,
    needs,
    observe,
    take_up,
    transaction,
    unit_changes,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import Comparison
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import Missing
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST, Home
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, offline, strangers
from ansible_collections.postamt.mail.plugins.module_utils._slapd.configure import configure
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.fill import fill, set_passwords
from ansible_collections.postamt.mail.plugins.module_utils._slapd.follow import lag
from ansible_collections.postamt.mail.plugins.module_utils._slapd.ldap import Slapd
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import DEFAULTS, USER
from ansible_collections.postamt.mail.plugins.module_utils._slapd.process import (
    UNIT,
    refuse_taken_ports,
    run_slapd,
)
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record, Run
from ansible_collections.postamt.mail.plugins.module_utils._slapd.takeover import take_over


def apply(module: AnsibleModule) -> None:
    """Apply the plan of the module's request; ends the module."""
    request = module.params["request"]
    program = Slapd(request["plan"])

    def work(report: Report) -> dict[str, Any]:
        return applied(program, report, request.get("passwords"), bool(module._diff))

    transaction.execute(program, module, work)


def compare(plan: Mapping[str, Any]) -> Comparison:
    """Say what changes for databases of somebody else: ours comes beside them, but they share cn=config."""
    return strangers.compare(plan)


def applied(
    program: Program, report: Report, passwords: Mapping[str, Mapping[str, str]] | None, shows: bool
) -> dict[str, Any]:
    """Go the whole way; returns what the module answers. Raises Failed or OSError.

    passwords: those that this run's own first call asked for, None in that call. shows: whether a diff is wanted.
    """
    answer: dict[str, Any] = {"notes": [], "missing": look_for_missing(program.plan, report), "passwords_needed": []}
    if answer["missing"] and not report.dry:
        return answer  # the action installs it and calls again
    change = look(program, report, answer["missing"], HOST.of(program.name))
    record = Record(dry=report.dry)
    made: list[str] = []  # folders
    shared = list(change.seen.records.manifest.get("shared", []))
    if not program.enabled:
        if record.applied:  # else it is a directory of somebody else; the data of ours stays
            take_up.activate(program, change.units, (), (), report)
        _keep_claim(change, made, shared, settled=bool(record.applied))
        return answer
    if record.under_way and passwords is None:
        report.did("finished", "finish", "a change that an earlier run left half done")
    refuse_absent(change)
    refuse_taken_ports(change)
    folders.make(change.seen.folders, report, made)
    restarted = run_slapd(change, record, made)
    run = Run(change, record, connect(change), restarted)
    before = dict(record.applied)
    if not before and not report.dry:  # cn=config as it was, for whoever wants it back
        if strangers.foreign_suffixes(run.suffix, offline.Files().search(config.GLOBAL, "subtree")):
            shared = [UNIT]  # it runs for somebody else too
        was = files.Seen(offline.slapcat("-n", "0").encode(), 0o600, 0, 0)
        journal.keep_original(change.home, "/cn=config.ldif", was)
    take_over(run)
    there = configure(run, run.plan["config"])
    if run.plan["entries"] is None:  # a replica
        answer["notes"] = lag(run) if there else []
    else:
        result = fill(run, there, shows)
        answer["notes"] = result.notes
        answer["passwords_needed"] = set_passwords(run, result.needed, passwords or {})
    if record.applied != before or record.under_way:
        record.under_way = bool(answer["passwords_needed"])
        record.keep()
    in_step = run.plan["entries"] is not None or not answer["notes"]  # a replica that lacks changes is looked at again
    _keep_claim(change, made, shared, settled=in_step and not record.under_way, notes=answer["notes"])
    return answer


def look_for_missing(plan: Mapping[str, Any], report: Report) -> Missing:
    """Return what the action has to bring first, with the group that slapd's user has to join."""
    found = needs.missing(plan, report)
    group = plan.get("key_group", "")
    if group and not needs.in_group(USER, group):
        found["groups"] = [group]
        if report.dry:
            report.did("added", "add", f"user {USER} to group {group}")
    return found


def look(program: Program, report: Report, missing: Missing, home: Home) -> Change:
    """Look at slapd's unit, its drop-ins, its folders and its certificate."""
    plan, records = program.plan, manifest.load(home)
    changes = unit_changes.look(program, Observation(records), paths=home.paths)
    if missing.get("packages"):
        changes = dataclasses.replace(changes, enables=())  # its package does that
    if not program.enabled:
        return Change(program, home, report, Observation(records), changes, missing=missing)
    targets = observe.targets(program, records)
    seen = Observation(
        records,
        targets=targets,
        changes=[target for target in targets if not target.right],
        folders=[one for one in folders.planned(plan, sorted(records.folders)) if not folders.right(one)],
        watched={path: files.digest(path) for path in plan["watch"]},
    )
    return Change(program, home, report, seen, changes, missing=missing)


def refuse_absent(change: Change) -> None:
    """Stop where there is no certificate to start with."""
    watched = change.seen.watched
    absent = [path for path, digest in watched.items() if digest == "absent"]
    if absent and change.seen.records.watched != watched and not change.report.dry:
        raise Failed(f"{', '.join(absent)} is not there: run the role certificates on this host first")


def connect(change: Change) -> Connection:
    """Return a connection to slapd; in check mode to its files where it cannot be asked."""
    absent = change.missing.get("packages", [])
    if not change.report.dry or (change.units.running and "python3-ldap" not in absent):
        return Connection()
    if absent:
        change.report.note(f"the new configuration was not checked: not installed are {', '.join(absent)}")
    return offline.Files()


def _keep_claim(change: Change, made: list[str], shared: list[str], settled: bool, notes: Sequence[str] = ()) -> None:
    """Write the manifest where it is to be another one.

    settled: whether this run has nothing left to do. notes: what is to be told as long as nothing changes.
    """
    seen = change.seen
    if change.report.dry:
        return
    if change.program.enabled:
        digests = {**seen.digests, DEFAULTS: files.digest(DEFAULTS)}
    else:
        digests = {path: files.digest(path) for path in seen.records.manifest.get("files", ())}
    made_ever = {*seen.records.folders, *made}
    claim = manifest.claim(change.program, digests, made_ever, change.units, seen.watched)
    claim |= {"shared": shared, "last": {**claim["last"], "notes": list(notes)} if settled and claim["last"] else {}}
    if claim != files.load(change.home.manifest):
        manifest.keep(change.home, claim)

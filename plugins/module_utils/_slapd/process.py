# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""slapd's process: on which addresses it listens, in which group it runs, and the drop-ins of its unit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, journal, take_up, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import DEFAULTS, PID_FILE
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record

UNIT = "slapd.service"


def text_of(path: str) -> str:
    """Return the text of a file, empty where there is none; raises OSError for one that cannot be read."""
    seen = files.see(path)
    return seen.content.decode("utf-8", "replace") if seen else ""


def services(text: str) -> str:
    """Return the line of a defaults file that says where slapd listens."""
    found = re.search(r"(?m)^SLAPD_SERVICES=.*$", text)
    return found[0] if found else ""


def listens_as(listen: str) -> str:
    """Return the line that the defaults file shall have."""
    return f'SLAPD_SERVICES="{listen}"'


def places(listen: str) -> list[tuple[str, int]]:
    """Return address (empty for all) and port of what slapd is told to listen on (slapd(8), -h)."""
    found = []
    for url in map(urlsplit, listen.split()):
        port = url.port or {"ldap": 389, "ldaps": 636}.get(url.scheme)
        hosts = ("127.0.0.1", "::1") if url.hostname == "localhost" else (url.hostname or "",)
        found += [(host, port) for host in hosts if port and url.scheme != "ldapi"]
    return found


def refuse_taken_ports(change: Change) -> None:
    """Stop where somebody has a port: slapd starts without it, and who asks there would ask somebody else."""
    listen = change.program.plan["listen"]
    if change.units.starts or services(text_of(DEFAULTS)) != listens_as(listen):
        taken = units.taken(places(listen), (UNIT,))
        if taken:
            raise Failed(f"{'; '.join(taken)}; nothing was changed")


def run_slapd(change: Change, record: Record, made: list[str]) -> bool:
    """Have slapd listen as the plan says and run in the group that may read its key.

    made: takes folders that were not there. Returns whether it was started, or in check mode would be.
    """
    plan, report = change.program.plan, change.report
    _write_defaults(change, record)
    new_unit = _write_drop_ins(change, record, made)
    why = ""
    if change.units.running:
        why = outdated(plan["listen"], plan["key_group"]) or new_unit
    if why and report.did("restarted", "restart", f"slapd ({why})"):
        record.begin()
        _restart(change)
        if outdated(plan["listen"], plan["key_group"]):  # Debian 12's init script says it did
            raise Failed("slapd was restarted, but the old process goes on: stop it by hand")
    if change.units.starts or change.units.enables:
        record.begin()
    take_up.activate(change.program, change.units, change.seen.changed_paths, (), report, change.home.paths)
    return bool(why or change.units.starts)


def _write_defaults(change: Change, record: Record) -> None:
    """Write where slapd listens into the file that its unit reads; the rest of that file stays."""
    listen, report = change.program.plan["listen"], change.report
    seen, before = files.see(DEFAULTS), text_of(DEFAULTS)
    after, count = re.subn(r"(?m)^SLAPD_SERVICES=.*$", lambda _: listens_as(listen), before)
    after = after if count else f"{before}{listens_as(listen)}\n"
    if before == after:
        return
    report.diffs.append({"before_header": DEFAULTS, "after_header": DEFAULTS, "before": before, "after": after})
    if report.did("wrote", "write", f"{DEFAULTS} (listens on {listen})"):
        record.begin()
        if seen and DEFAULTS not in change.seen.records.files:
            journal.keep_original(change.home, DEFAULTS, seen)
        mode, uid, gid = (seen.mode, seen.uid, seen.gid) if seen else (0o644, 0, 0)
        files.replace(DEFAULTS, after.encode(), mode, uid, gid)


def _write_drop_ins(change: Change, record: Record, made: list[str]) -> str:
    """Write the drop-ins of slapd's unit; returns why a running slapd has to be restarted for them, or nothing."""
    for target in change.seen.changes:
        change.report.diffs.append(target.difference())
        if change.report.did("wrote", "write", target.path):
            record.begin()
            made += files.make_folder(os.path.dirname(target.path))
            files.replace(target.path, target.content, target.mode, 0, 0)
    take_up.read_unit_files(change.seen.changed_paths, "", change.report, change.home.paths)
    # What the manifest says was written before slapd was restarted last.
    known = change.seen.records.manifest.get("files", {})
    return "its unit has changed" if any(known.get(t.path) != t.digest for t in change.seen.targets) else ""


def _restart(change: Change) -> None:
    """Restart slapd; where it does not start with a new drop-in, the old one comes back."""
    manifest = change.seen.records.manifest
    try:
        units.act("restart", UNIT)
    except Failed as error:
        if not change.seen.changes:
            raise
        _put_back(change.seen.changes)
        take_up.read_unit_files(change.seen.changed_paths, "", change.report, change.home.paths)
        units.act("restart", UNIT)
        raise Failed(f"{error}; its old unit is back, and slapd serves with it") from None
    if manifest:  # a run that fails later restarts it no more
        files.save(
            change.home.manifest, {**manifest, "files": {**change.seen.digests, DEFAULTS: files.digest(DEFAULTS)}}
        )


def _put_back(targets: Iterable[Target]) -> None:
    for target in targets:
        if target.seen:
            files.replace(target.path, target.seen.content, target.seen.mode, target.seen.uid, target.seen.gid)
        else:
            files.remove(target.path)


def outdated(listen: str, group: str) -> str:
    """Return why the running process has to be restarted, empty where it has not; group: in which it shall run."""
    try:
        pid = int(files.text(PID_FILE))
        binary = files.readlink(f"/proc/{pid}/exe")
    except ValueError:
        return "its process is not to be found"
    if binary.endswith(" (deleted)"):  # proc(5): what it would load from now on is of another package
        return "its package came while it ran"
    words = files.text(f"/proc/{pid}/cmdline").split("\0")
    groups = re.search(r"(?m)^Groups:[ \t]*(.*)$", files.text(f"/proc/{pid}/status"))
    if "-h" not in words or words[words.index("-h") + 1] != listen:
        return "it listens elsewhere"
    numbers = {int(number) for number in (groups[1] if groups else "").split()}
    return "" if files.gid_of(group) in numbers else "it has a new group"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of a change under way: whatever happens, the next run finishes the change or takes it back.

It is a file in the folder `pending`, beside the old copies of the files that change. A run that finds one knows what
the program answered before, and how it has to take up the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change, Journal
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Home
from ansible_collections.postamt.mail.plugins.module_utils._engine.stage import Built
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed


def begin(change: Change, built: Built, made: Iterable[str], answers: Mapping[str, Mapping[str, Any]]) -> Journal:
    """Keep the old copies and say that a change is under way; returns the journal.

    One that is there keeps its older copies. made: folders that were not there. answers: of the program before the
    change, by health check.
    """
    home, seen = change.home, change.seen
    files.private_folder(home.folder)
    files.private_folder(home.pending, empty=not seen.records.journal)
    entries = list(seen.records.journal.get("files", ()))
    marked = {entry["path"] for entry in entries}
    for target in seen.changes:
        if target.seen and target.path not in seen.records.files:
            place = keep_original(home, target.path, target.seen)
            if target.foreign:
                change.report.note(f"kept the original of {target.path} in {place}")
        for path in target.paths():
            if path not in marked:
                entries.append(_kept(home, path, str(len(entries))))
    known = {target.path: target.content for target in seen.changes} | {**built}
    journal = {
        "files": entries,
        "folders": sorted({*seen.records.folders, *made}),
        "digests": {path: hashlib.sha256(content).hexdigest() for path, content in known.items()},
        "units": list(dict.fromkeys([*seen.records.journal.get("units", ()), *change.units.ours])),
        "ran": change.units.ran,
        "served": change.units.served,
        "reread": change.units.verb,
        "answers": answers,
    }
    files.save(home.journal, journal)
    return journal


def _kept(home: Home, path: str, name: str) -> dict[str, Any]:
    """Keep the old copy of a file in pending/ and return its entry of the journal."""
    seen = files.see(path)
    if seen is None:
        return {"path": path, "copy": ""}
    files.write(os.path.join(home.pending, name), seen.content, uid=os.geteuid(), gid=os.getegid())
    return {"path": path, "copy": name, "mode": seen.mode, "uid": seen.uid, "gid": seen.gid}


def keep_original(home: Home, path: str, seen: files.Seen) -> str:
    """Keep a file that this collection did not write; returns where."""
    place = f"{home.originals}{path}"
    files.make_folder(os.path.dirname(place))
    files.replace(place, seen.content, seen.mode, seen.uid, seen.gid)
    return place


def restore(home: Home, journal: Journal, age: float) -> list[str]:
    """Bring the old files back and return their paths; raises Failed where a copy is lost.

    age: seconds by which they look older.
    """
    entries = journal["files"]
    for entry in reversed(entries):
        if entry["copy"]:
            seen = files.see(os.path.join(home.pending, entry["copy"]))
            if seen is None:
                raise Failed(f"{home.pending}/{entry['copy']}, the old copy of {entry['path']}, is not there")
            files.replace(entry["path"], seen.content, entry["mode"], entry["uid"], entry["gid"], age)
        else:
            files.remove(entry["path"])
    paths = [entry["path"] for entry in entries]
    files.settle(paths)
    return paths


def clear(home: Home) -> None:
    """Say that no change is under way any more."""
    files.remove(home.journal)
    files.remove_tree(home.pending)

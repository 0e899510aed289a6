# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders of a plan: which are there with their mode and owner, and making the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed

Folder = Mapping[str, str]  # path, mode, owner, group, as in a plan


def planned(plan: Mapping[str, Any], made: Iterable[str]) -> list[Folder]:
    """Return the folders of the plan, and those that earlier runs made for its files: everybody may read these."""
    known = {folder["path"] for folder in plan["directories"]}
    there = (path for path in made if path not in known and files.folder(path))
    above = [path for path in there if any(file["path"].startswith(f"{path}/") for file in plan["files"])]
    plain = {"mode": "0755", "owner": "root", "group": "root"}
    return [*({"path": path, **plain} for path in above), *plan["directories"]]


def right(folder: Folder) -> bool:
    """Tell whether a folder is there, with its mode and owner; raises files.Refused."""
    uid = files.uid_of(folder["owner"])
    status = files.folder(folder["path"], uid)
    if status is None:
        return False
    expected = (int(folder["mode"], 8), uid, files.gid_of(folder["group"]))
    return files.rights(status) == expected


def make(wrong: Iterable[Folder], report: Report, made: list[str]) -> None:
    """Make folders, or give them their mode and owner; made: takes the paths of those that were not there."""
    for folder in wrong:
        there = files.folder(folder["path"])
        done, do = ("corrected owner and mode of", "correct owner and mode of") if there else ("created", "create")
        if report.did(done, do, f"folder {folder['path']}"):
            uid, gid = number(files.uid_of, folder["owner"]), number(files.gid_of, folder["group"])
            made += files.make_folder(folder["path"], int(folder["mode"], 8), uid, gid)


def number(lookup: Callable[[str], int | None], name: str) -> int:
    """Return the number of a user or group that must exist by now; raises Failed."""
    found = lookup(name)
    if found is None:
        raise Failed(f"there is no {'user' if lookup is files.uid_of else 'group'} {name} on this host")
    return found

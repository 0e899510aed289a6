# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take away from a host what this collection brought: by the records that each program left there, and by nothing else.

Only files that the collection wrote go, and those that it replaced come back. Mail, directory, keys and packages stay.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.locks import alone
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import RUNTIME, STATE, UNIT_FILES
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed

CONFIG = "/cn=config.ldif"  # among slapd's originals, and no file of its own


class Removal:
    """One program's share, from what its manifest says and the journal of a change that was left half done."""

    def __init__(self, program: str, dry: bool) -> None:
        self.home = os.path.join(STATE, program)
        self.stage = os.path.join(RUNTIME, f"{program}.stage")
        self.dry = dry
        self.actions: list[str] = []
        self.manifest = files.load(os.path.join(self.home, "manifest.json"))
        self.journal = files.load(os.path.join(self.home, "pending", "mark.json"))
        known = self.manifest.get("files", {})
        later = self.journal.get("digests", {})
        marked = [entry["path"] for entry in self.journal.get("files", ())]
        self.digests = {path: {known.get(path), later.get(path)} for path in {*known, *marked}}
        self.units = Records(self.manifest, self.journal).units
        self.ran: list[str] = self.manifest.get("ran", self.journal.get("ran", []))
        self.shared: list[str] = self.manifest.get("shared", [])
        self.folders: list[str] = sorted({*self.manifest.get("folders", ()), *self.journal.get("folders", ())})
        place = f"{self.home}/originals"
        self.originals = {f"/{name}": f"{place}/{name}" for name, _status in files.tree(place)}
        self.originals.pop(CONFIG, None)

    def did(self, done: str, do: str, what: str) -> bool:
        """Note an action, or what it would be; tells whether to do it."""
        self.actions.append(f"would {do} {what}" if self.dry else f"{done} {what}")
        return not self.dry

    def execute(self) -> None:
        """Stop, delete, put back, forget: whatever is interrupted is taken up again by the next call."""
        self.stop()
        for path in sorted({*self.digests, *self.originals}):
            self.unless(files.Refused, self.take_away, path)
        for path in sorted(self.folders, key=len, reverse=True):
            self.unless(OSError, self.remove_folder, path)
        if not self.dry:
            self.forget()

    def unless(self, what: type[OSError], do: Callable[[str], None], path: str) -> None:
        """Leave what a service has put in the place of ours: it must not keep the rest from going."""
        try:
            do(path)
        except what as error:
            self.actions.append(f"left {path}, since {error}")

    def stop(self) -> None:
        """Stop and disable the units, those first that were started last."""
        names = [name for name in self.units if name not in self.shared]
        seen = units.states(names)
        if self.shared:
            self.actions.append(f"{', '.join(self.shared)} goes on, for databases of somebody else")
        for name in reversed(names):
            if seen[name].active and self.did("stopped", "stop", name):
                units.act("stop", name)
        for name in names:
            if seen[name].enabled and "@" not in name and self.did("disabled", "disable", name):
                units.act("disable", name)

    def take_away(self, path: str) -> None:
        """Put the original of a file back, or delete the file; what somebody has changed since is kept aside."""
        if not self.dry:
            files.remove(files.beside(path))
        there = files.status(path) is not None
        known = {*self.digests.get(path, ()), *self.old_copies(path)}
        known |= {files.digest(self.originals[path])} if path in self.originals else set()
        if there and files.digest(path) not in known and (found := files.see(path)):
            aside = f"{self.home}/changed{path}"
            if self.did("kept", "keep", f"{path}, which somebody has changed, in {aside}"):
                files.make_folder(os.path.dirname(aside))
                files.replace(aside, found.content, found.mode, os.geteuid(), os.getegid())
        if path in self.originals:
            if self.did("put", "put", f"the original of {path} back"):
                seen = files.see(self.originals[path])
                if seen:
                    files.make_folder(os.path.dirname(path))
                    files.replace(path, seen.content, seen.mode, seen.uid, seen.gid)
                    files.settle([path])
        elif there and self.did("removed", "remove", path):
            files.remove(path)

    def old_copies(self, path: str) -> list[str]:
        """Return the digest of a file before a change that was left half done."""
        copies = [entry["copy"] for entry in self.journal.get("files", ()) if entry["path"] == path and entry["copy"]]
        return [files.digest(os.path.join(self.home, "pending", copy)) for copy in copies]

    def remove_folder(self, path: str) -> None:
        """Remove a folder that this collection made, where nothing of anybody else's is in it."""
        if files.folder(path) is None:
            return
        gone = {*self.digests, *self.folders} - set(self.originals) if self.dry else set()
        inside = [os.path.join(path, name) for name in files.names(path)]
        if not all(one in gone or _of_a_process(one) for one in inside):
            return
        if self.did("removed", "remove", f"folder {path}"):
            for one in inside:
                files.remove(one)
            files.remove_folder(path)

    def forget(self) -> None:
        """Remove the records; what is kept aside or needed for another install stays."""
        if any(path.startswith(UNIT_FILES) for path in self.digests):
            units.output("systemctl", "daemon-reload")
        for path in (f"{self.home}/pending", self.stage):
            files.remove_tree(path)
        files.remove(f"{self.home}/manifest.json")
        for path in self.originals.values():  # only now: without them a second call would delete what it put back
            files.remove(path)
        files.remove_empty(self.home)


def claimed(order: Sequence[str]) -> list[str]:
    """Return the programs of which there is a record, in the order in which they go; unknown ones come last."""
    records = ("manifest.json", "pending/mark.json")
    found = {name for name in files.names(STATE) if any(files.exists(f"{STATE}/{name}/{one}") for one in records)}
    return [*(name for name in order if name in found), *sorted(found - set(order))]


def places(known: Mapping[str, str]) -> dict[str, str]:
    """Return what stays on the host, and where it lies; known: what may stay."""
    places_of = (f"{STATE}/{name}/changed" for name in files.names(STATE))
    changed = ", ".join(path for path in places_of if files.exists(path))
    there = {what: path for what, path in known.items() if path and (not path.startswith("/") or _full(path))}
    return {**there, "files that somebody has changed": changed} if changed else there


def _of_a_process(path: str) -> bool:
    """Tell whether a file means nothing any more once its process has ended."""
    status = files.status(path)
    if status is None or stat.S_ISDIR(status.st_mode):
        return False
    return stat.S_ISSOCK(status.st_mode) or path.endswith((".pid", ".accept", ".lock"))


def _full(path: str) -> bool:
    try:
        mode = files.mode(path)
        return bool(files.names(path)) if stat.S_ISDIR(mode) else bool(mode)
    except files.Refused:  # a service has put something else in its place
        return True


def apply(module: AnsibleModule) -> None:
    """Take everything away; ends the module. The request says in which order, and what may stay."""
    request = module.params["request"]
    actions: list[str] = []
    ran: list[str] = []
    programs = claimed(request["order"])
    try:
        for program in programs:
            with alone(program):
                removal = Removal(program, module.check_mode)
                try:
                    removal.execute()
                finally:
                    actions += removal.actions
                    ran += removal.ran
    except (Failed, OSError) as error:
        module.fail_json(msg=f"{error}; run it again to go on", changed=bool(actions), actions=actions)
    if programs and not module.check_mode:
        files.remove_tree(RUNTIME)
        files.remove_empty(STATE)
    stays = places(request["stays"]) if programs else {}
    module.exit_json(changed=bool(programs), actions=actions, stays=stays, ran=sorted(set(ran)))

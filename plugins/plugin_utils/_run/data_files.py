# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with the site's data on the controller: exported accounts, certificates, keys, signatures.

Ansible reads each file in a folder that is its inventory, and in group_vars and host_vars, before this collection hears
of it. A line break in a cell of a table can begin a section of variables there, which Ansible takes for its
administrator's own words and templates. So data never lies in such a folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

_WHY = (
    "where Ansible reads every file as inventory or variables, so that the text of this one could set variables and "
    "run commands on this machine"
)


@dataclasses.dataclass(frozen=True)
class DataFiles:
    """base: what relative paths are relative to. read: the folders that Ansible reads. inside: the inventory itself."""

    base: str
    read: tuple[str, ...]
    inside: str = ""

    @classmethod
    def of(cls, task_vars: Mapping[str, t.Any]) -> DataFiles:
        """Return the places of a run: relative paths begin beside the inventory, be that a file or a folder."""
        sources = [os.path.abspath(source) for source in task_vars.get("ansible_inventory_sources") or () if source]
        folders = [source for source in sources if os.path.isdir(source)]
        here = os.path.abspath(str(task_vars.get("inventory_dir") or "."))
        inside = next((folder for folder in folders if _below(here, folder)), "")
        beside = [os.path.dirname(source) for source in sources if source not in folders]
        beside += [here, os.path.abspath(str(task_vars.get("playbook_dir") or here))]
        variables = [os.path.join(place, kind) for place in beside for kind in ("group_vars", "host_vars")]
        base = os.path.dirname(inside) if inside else here
        return cls(base, tuple(dict.fromkeys([*folders, *variables])), inside)

    def path(self, given: str) -> str:
        """Return the full path of a file; raises Refused where Ansible would read it."""
        if any(ord(letter) < 32 for letter in given):
            raise Refused("must be text on one line")
        name = os.path.expanduser(given)
        path = os.path.normpath(os.path.join(self.base, name))
        once = os.path.normpath(os.path.join(self.inside, name))  # where relative paths of a folder once began
        if self.inside and not os.path.exists(path) and os.path.exists(once):
            path = once
        for folder in self.read:
            if _below(path, folder):
                inside = path if _plainly_below(path, folder) else os.path.realpath(path)
                beside = folder if inside == path else os.path.realpath(folder)
                away = os.path.join(os.path.dirname(folder), os.path.relpath(inside, beside))
                raise Refused(f"lies in {folder}, {_WHY}: move it out, such as to {away}")
        if os.path.exists(path):
            status = os.stat(path)
            if twin := self._files.get((status.st_dev, status.st_ino)):
                raise Refused(f"is {twin}, too, {_WHY}: remove that link")
        return path

    @functools.cached_property
    def _files(self) -> dict[tuple[int, int], str]:
        """What Ansible reads, links followed as it follows them: paths by device and number."""
        found: dict[tuple[int, int], str] = {}
        places, seen = list(self.read), set()
        while places:
            place = places.pop()
            with contextlib.suppress(OSError):  # there is none, a link leads nowhere, or nobody may read it
                status = os.stat(place)
                found.setdefault((status.st_dev, status.st_ino), place)
                real = os.path.realpath(place)
                if os.path.isdir(place) and real not in seen:
                    seen.add(real)
                    places += [os.path.join(place, name) for name in os.listdir(place)]
        return found


def _plainly_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _below(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder, by its own name or by where links lead."""
    return _plainly_below(path, folder) or _plainly_below(os.path.realpath(path), os.path.realpath(folder))


def controller_file(action: t.Any, files: DataFiles, path: str) -> bytes:
    """Return a file's content, decrypted where ansible-vault encrypted it; path: as in the inventory.

    Raises Refused where it cannot be read, or lies where Ansible would read it as inventory.
    """
    place = files.path(path)
    folder, name = os.path.split(place)
    try:
        content = State(folder, action._loader._vault).read(name)
    except StateError as error:
        raise Refused(f"cannot be used: {error}") from None
    if content is None:
        where = "relative to the folder that holds the inventory"
        raise Refused(f"must be a file on the controller, {where}; there is no {place}")
    return content

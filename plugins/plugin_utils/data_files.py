# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with the site's data on the controller: exported accounts, certificates, keys, signatures.

Ansible reads each file in a folder that is its inventory, and in group_vars and host_vars, before this collection hears
of it. A line break in a cell of a table can begin a section of variables there, which Ansible takes for its
administrator's own words and templates. So data never lies in such a folder.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Refused


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
        name = os.path.expanduser(given)
        path = os.path.normpath(os.path.join(self.base, name))
        once = os.path.normpath(os.path.join(self.inside, name))  # where relative paths of a folder once began
        if self.inside and not os.path.exists(path) and os.path.exists(once):
            path = once
        for folder in self.read:
            if _below(path, folder):
                away = os.path.join(os.path.dirname(folder), os.path.relpath(path, folder))
                raise Refused(
                    f"lies in {folder}, where Ansible reads every file as inventory or variables, so that the text of "
                    f"this one could set variables and run commands on this machine: move it out, such as to {away}"
                )
        return path


def _below(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder, by its own name or by where links lead."""
    plain = os.path.commonpath([path, folder]) == folder
    real = os.path.realpath(folder)
    return plain or os.path.commonpath([os.path.realpath(path), real]) == real

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program is: each file of _programs/ says it in PROGRAM, and its plan carries it to the host."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Program:
    """What the engine on a host has to know of a program, beside what a plan wants of it.

    title: as in sentences. checker: the command that checks a new configuration, empty where there is none; without
    it nothing can be checked yet. last: files that make the others take effect; they are swapped last, in this order.
    restarts: whether any change of a file needs a restart. reads_folders: whether the program uses whatever files lie
    in a folder, so that a removed one means a reload. patience: seconds after which it should answer once it was
    started. age: seconds by which the modification time of its files is set back. expires: whether what a run brought
    may have to be renewed though nobody has changed it.
    """

    title: str
    checker: str = ""
    last: tuple[str, ...] = ()
    restarts: bool = False
    reads_folders: bool = False
    patience: float = 5.0
    age: float = 0.0
    expires: bool = False

    def for_host(self, name: str) -> dict[str, t.Any]:
        """Return it as plain data; name: of the program's file, as in paths and results."""
        return {"name": name, **dataclasses.asdict(self), "last": list(self.last)}

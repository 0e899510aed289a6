# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs from program to program: the hooks that the engine calls (transaction.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import units
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Target, superseded_text

Contents = Mapping[str, "str | None"]  # texts by path, None for no file


class Program:
    """A program that is configured by files; these hooks suit one that has no checker of its own.

    plan: what is brought about; what its `program` says is in plugin_utils/_compose/program.py.
    """

    evidence_needs: tuple[str, ...] = ()  # keys of the plan, beside the common ones, that evidence() reads
    where_taken = ""  # what an administrator can do where somebody else has a port, behind that sentence
    reloads = True  # whether running units read their files again when they are told; else they do so at a start only

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        said = plan["program"]
        self.name: str = said["name"]
        self.title: str = said["title"]
        self.checker: str = said["checker"]
        self.last: tuple[str, ...] = tuple(said["last"])
        self.restarts: bool = said["restarts"]
        self.reads_folders: bool = said["reads_folders"]
        self.patience: float = said["patience"]
        self.age: float = said["age"]

    @property
    def enabled(self) -> bool:
        """Whether the host is to have the program."""
        return bool(self.plan["wanted"])

    def planned(self, path: str) -> Any:
        """Return what a file of the plan says: text, or the data that is written as text (forms.py)."""
        return next(file["content"] for file in self.plan["files"] if file["path"] == path)

    def companion_units(self, unit: str) -> tuple[str, ...]:
        """Return units that run with a unit of the plan and are looked at, started and stopped with it."""
        return ()

    def displaced_units(self) -> tuple[str, ...]:
        """Return units of the program's package that are stopped and disabled when it is set up for the first time."""
        return ()

    def staged(self, path: str, content: str) -> str:
        """Return content as the checker needs it in the stage; what is installed is another copy."""
        return content

    def check(self, stage: str, dry: bool) -> list[str]:
        """Return what the program's own checker finds wrong with the files below stage, one sentence each.

        dry: whether this run only predicts, so that what earlier tasks of it would have made may not be there.
        """
        return []

    def ports(self, stage: str) -> set[tuple[str, int]]:
        """Return address (empty for all) and number of the ports that it would listen on, by the files below stage."""
        return set()

    def product(self, build: str, path: str) -> str:
        """Return the path of what is built from a file."""
        raise NotImplementedError(build)

    def build(self, build: str, path: str, stage: str) -> None:
        """Build product() of a staged file beside it; raises Failed."""
        raise NotImplementedError(build)

    def build_in_place(self, build: str, path: str) -> None:
        """Build product() of an installed file once more, where it has to know its own path; raises Failed."""

    def is_package_default(self, path: str, content: str) -> bool:
        """Tell whether a file is as its package generates it, where neither dpkg nor ucf knows."""
        return False

    def superseded_files(self) -> list[str]:
        """Return files that have a say in the configuration today, and less or none once this collection's is there."""
        return []

    def differences(self, desired: Mapping[str, str], targets: list[Target], superseded: list[str]) -> str:
        """Return how somebody else's configuration differs from the desired one, the plan's files by path.

        targets: what is in the way. superseded: those of superseded_files() that somebody changed.
        """
        return "".join([*(target.unified() for target in targets), *map(superseded_text, superseded)])

    def adoption_blockers(self, desired: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return what would be lost to its users by taking the place of somebody else's configuration.

        The former are problems, which stop a run; the latter sentences to be told.
        """
        return [], []

    def missing_artifacts(self, leaving: Collection[str]) -> list[str]:
        """Return what beside the plan's files has to be made before the program can start, in words.

        leaving: files of earlier runs that this one removes.
        """
        return []

    def evidence(self) -> dict[str, Any]:
        """Return what else tells that the program is as a run left it: what a run would look at that is no file of it.

        It is kept, and compared at the next look, where `plan` holds no more than `evidence_needs` names.
        """
        return dict.fromkeys(self.missing_artifacts(()), "missing")

    def seen(self) -> dict[str, Any]:
        """Return what there is that may have to be renewed although nobody has changed anything; empty for nothing."""
        return {}

    def settles(self) -> bool:
        """Tell whether a look may find nothing to do after this run; else the next one takes the long way."""
        return True

    def create(self, what: str) -> None:
        """Create one thing that missing_artifacts() named; raises Failed."""
        raise NotImplementedError(what)

    def needs_restart(self, old: Contents, new: Contents) -> bool:
        """Tell whether changed files take effect by a restart only; contents by path, None for no file."""
        return self.restarts

    def reload(self, names: list[str]) -> None:
        """Have running services read their files again, and return when they have; raises Failed."""
        units.act("reload", *(name for name in names if name.endswith(".service")))

    def restart(self, names: list[str]) -> None:
        """Restart running units; raises Failed."""
        units.act("restart", *names)

    def changed_settings(self, old: Contents, new: Contents) -> list[str]:
        """Return what changed, such as "name = value (was other)", for the message about a change that failed."""
        return sorted(path for path in new if old.get(path) != new[path])

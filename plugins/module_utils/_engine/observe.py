# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a program's files on a host: which differ from the plan, whose they are, which certificates are new."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, folders, forms, manifest, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.folders import Folder
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Home
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.target import Product, Target
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown


@dataclasses.dataclass(frozen=True)
class Observation:
    """A host's files beside those of the plan.

    records: of earlier runs. targets: the plan's files, in the order in which they are swapped. changes: those of them
    that are to be written. stale: files of earlier runs that the plan does not have. folders: those to be made or put
    right. watched: digests of the files of others that the program reads. missing_artifacts: what the program's hook of
    this name says. superseded: files of somebody else that will not be in force any more.
    """

    records: Records = dataclasses.field(default_factory=Records)
    targets: Sequence[Target] = ()
    changes: Sequence[Target] = ()
    stale: Sequence[str] = ()
    folders: Sequence[Folder] = ()
    watched: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing_artifacts: Sequence[str] = ()
    superseded: Sequence[str] = ()

    @property
    def foreign_files(self) -> list[Target]:
        """The files in whose place there is somebody else's configuration."""
        return [target for target in self.changes if target.foreign]

    @property
    def foreign(self) -> list[str]:
        """The files of somebody else's configuration."""
        return [*(target.path for target in self.foreign_files), *self.superseded]

    @property
    def paths(self) -> list[str]:
        """Every path that the plan writes, what is built included."""
        return sorted(path for target in self.targets for path in target.paths())

    @property
    def changed_paths(self) -> list[str]:
        """Every path that is to be written, what is built before its source."""
        return [path for target in self.changes for path in target.paths()]

    @property
    def desired_texts(self) -> dict[str, str]:
        """The plan's files by path."""
        return {target.path: target.content.decode() for target in self.targets}

    @property
    def texts_before(self) -> Contents:
        """What the files say that are to be written."""
        return {target.path: target.text_before for target in self.changes}

    @property
    def texts_after(self) -> Contents:
        """What they shall say."""
        return {target.path: target.content.decode() for target in self.changes}

    @property
    def digests(self) -> dict[str, str]:
        """What the plan's files shall be, and what was built from them when it was built last, by path."""
        products = (target.product for target in self.targets if target.product)
        return {target.path: target.digest for target in self.targets} | {one.path: one.recorded for one in products}

    @property
    def due(self) -> bool:
        """Whether anything has to be done."""
        half_done = self.records.journal
        return bool(self.changes or self.stale or self.folders or half_done or self.missing_artifacts)

    def differences(self) -> list[dict[str, str]]:
        """Return the entries of Ansible's diff."""
        gone = {"before": "(a file of this collection)\n", "after": ""}
        return [
            *(target.difference() for target in self.changes),
            *({"before_header": path, "after_header": path, **gone} for path in self.stale),
        ]


def observe(program: Program, home: Home) -> Observation:
    """Look at the files."""
    records = manifest.load(home)
    found = targets(program, records) if program.enabled else []
    wrong = [target for target in found if not target.right]
    candidates: list[str] = []
    if not records.manifest and not records.journal:
        candidates = [*program.superseded_files(), *(() if program.enabled else program.last)]
    strange = foreign(program, wrong, candidates, records)
    written = {path for target in found for path in target.paths()}
    stale = [path for path in sorted(records.files - written) if files.status(path)]
    seen = Observation(
        records,
        targets=found,
        changes=[dataclasses.replace(target, foreign=target.path in strange) for target in wrong],
        stale=stale,
        superseded=[path for path in strange if path in candidates],
    )
    if not program.enabled:
        return seen
    return dataclasses.replace(
        seen,
        folders=[one for one in folders.planned(program.plan, sorted(records.folders)) if not folders.right(one)],
        watched={path: files.digest(path) for path in program.plan["watch"]},
        missing_artifacts=program.missing_artifacts(stale),
    )


def targets(program: Program, records: Records) -> list[Target]:
    """Return the plan's files beside what is in their places, the main ones last."""
    found = [target(program, file, records) for file in program.plan["files"]]
    order = program.last
    return sorted(found, key=lambda one: order.index(one.path) + 1 if one.path in order else 0)


def target(program: Program, file: Mapping[str, Any], records: Records) -> Target:
    """Return a file of the plan beside what is in its place."""
    path = file["path"]
    product = program.product(file["build"], path) if file["build"] else ""
    recorded: Mapping[str, str] = records.manifest.get("files", {})
    return Target(
        **{**file, "content": forms.text(file).encode(), "mode": int(file["mode"], 8)},
        product=Product(product, recorded.get(product, "")) if product else None,
        seen=files.see(path),
    )


def foreign(program: Program, wrong: Sequence[Target], candidates: Sequence[str], records: Records) -> list[str]:
    """Return which files are neither a package's nor this collection's.

    wrong: files of the plan in whose place there is something else. candidates: others that are asked about.
    """
    mine = [t for t in wrong if t.seen and t.path not in records.files and t.seen.content != t.content]
    if not (mine or candidates):
        return []
    known = packaged_digests()
    seen = {t.path: t.seen for t in mine} | {p: files.see(p) for p in candidates if p not in records.files}
    return [path for path, one in seen.items() if one and not _from_package(program, path, one.content, known)]


def _from_package(program: Program, path: str, content: bytes, known: Mapping[str, set[str]]) -> bool:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()  # what dpkg and ucf keep
    return digest in known.get(path, ()) or program.is_package_default(path, content.decode("utf-8", "replace"))


def packaged_digests() -> dict[str, set[str]]:
    """Return the MD5 sums that dpkg (conffiles) and ucf know, by path."""
    listed = units.output("dpkg-query", "-W", "-f", "${Conffiles}\n", check=False).stdout.splitlines()
    pairs = [line.split()[:2] for line in listed if len(line.split()) >= 2]
    known = files.text("/var/lib/ucf/hashfile").splitlines()
    pairs += [line.split()[1::-1] for line in known if len(line.split()) == 2]
    found: dict[str, set[str]] = {}
    for path, digest in pairs:
        found.setdefault(path, set()).add(digest)
    return found


def changed_certificates(plan: Mapping[str, Any], records: Records, watched: Mapping[str, str], dry: bool) -> list[str]:
    """Return the watched files that are not as the program has read them; what it shows on the wire decides.

    Raises Failed where the program could not serve with what lies there.
    """
    loaded = records.watched
    changed = [path for path, digest in watched.items() if digest != loaded.get(path)]
    serves = plan["serves"]
    if not serves:
        return changed
    if not changed:  # somebody may have had it read others since, and have brought these back
        return list(watched) if shown.wrong(records.manifest.get("serves") or (), silent=False) else []
    if not shown.behind(serves, loaded, plan["program"]["workers"]):
        return []
    bad = shown.unusable(serves)
    if bad and not dry:
        raise Failed(f"{'; '.join(bad)}; nothing was changed (the role certificates puts it right)")
    return changed

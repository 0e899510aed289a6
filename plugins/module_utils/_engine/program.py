# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a program's plan on a host: look, stage, check, swap, reload, run health checks, undo what made it worse.

A program that is configured by files is a subclass of Program with a few hooks; `run` does the rest. What a plan holds
is in plugin_utils/_compose/plan.py. Whatever happens in between, the files on the host are a whole old or new set, and
the journal in `pending/` says that a change is under way, so that the next run finishes it or takes it back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import grp
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, forms, last, rivals, secrecy, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import lock, shown

if TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine.health import Answer

STATE = "/var/lib/postamt"  # what was written, originals, and the old copies of a change under way
RUNTIME = "/run/postamt"  # locks and stages: gone after a boot, so a check leaves no trace
UNIT_FILES = "/etc/systemd/system/"
DPKG = "/var/lib/dpkg/info"  # a file of each package's file names is as old as its installation
MOST = 8  # changed settings that a message names
Contents = Mapping[str, "str | None"]  # texts by path, None for no file


class Program:
    """What differs from program to program; the hooks suit one that has no checker of its own.

    plan: what is brought about; what its `program` says is in plugin_utils/_compose/program.py. dry: whether this run
    only predicts.
    """

    evidence_needs: tuple[str, ...] = ()  # keys of the plan, beside the common ones, that evidence() reads

    def __init__(self, plan: Mapping[str, Any], dry: bool = False) -> None:
        self.plan = plan
        self.dry = dry
        said = plan["program"]
        self.name: str = said["name"]
        self.title: str = said["title"]
        self.checker: str = said["checker"]
        self.last: tuple[str, ...] = tuple(said["last"])
        self.restarts: bool = said["restarts"]
        self.reads_folders: bool = said["reads_folders"]
        self.patience: float = said["patience"]
        self.age: float = said["age"]
        self.leaving: Iterable[str] = ()  # files of earlier runs that this one removes

    def planned(self, path: str) -> Any:
        """Return what a file of the plan says: text, or the data that is written as text (forms.py)."""
        return next(file["content"] for file in self.plan["files"] if file["path"] == path)

    def companion_units(self, unit: str) -> tuple[str, ...]:
        """Return units that run with a unit of the plan and are looked at, started and stopped with it."""
        return ()

    def staged(self, path: str, content: str) -> str:
        """Return content as the checker needs it in the stage; what is installed is another copy."""
        return content

    def check(self, stage: str) -> list[str]:
        """Return what the program's own checker finds wrong with the files below stage, one sentence each."""
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

    def missing_artifacts(self, plan: Mapping[str, Any]) -> list[str]:
        """Return what beside the plan's files has to be made before the program can start, in words."""
        return []

    def create(self, what: str) -> None:
        """Create one thing that missing_artifacts() named; raises Failed."""
        raise NotImplementedError(what)

    def evidence(self) -> dict[str, Any]:
        """Return what else tells that the program is as a run left it: what a run would look at that is no file of it.

        It is kept, and compared at the next look, where `plan` holds no more than `evidence_needs` names.
        """
        return dict.fromkeys(self.missing_artifacts(self.plan), "missing")

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


@dataclasses.dataclass
class Target:
    """A file that shall be there."""

    path: str
    content: bytes
    mode: int
    owner: str
    group: str
    secret: bool
    build: str
    product: str
    seen: files.Seen | None
    foreign: bool = False  # what stands there is neither the package's nor this collection's

    @property
    def right(self) -> bool:
        """Whether the host has it already."""
        seen = self.seen
        return (
            seen is not None
            and seen.content == self.content
            and (seen.mode, seen.uid, seen.gid) == (self.mode, files.uid_of(self.owner), files.gid_of(self.group))
            and (not self.product or self.product_right())
        )

    def product_right(self) -> bool:
        """Tell whether what is built from it is there, for those who may read it."""
        status = files.status(self.product)
        expected = (self.mode, files.uid_of(self.owner), files.gid_of(self.group))
        return status is not None and (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == expected

    def paths(self) -> list[str]:
        """Return the paths that are written, what is built before its source."""
        return [path for path in (self.product, self.path) if path]

    def shown(self) -> tuple[str, str]:
        """Return what stood there and what shall, as a diff may show it."""
        seen = self.seen
        before = secrecy.shown(seen.content if seen else None, self.secret)
        if self.foreign:
            before = secrecy.without_passwords(before)
        after = secrecy.shown(self.content, self.secret)
        if seen and before == after:
            before += f"(owner {seen.uid}:{seen.gid}, mode {seen.mode:04o})\n"
            after += f"(owner {self.owner}:{self.group}, mode {self.mode:04o})\n"
        return before, after

    def difference(self) -> dict[str, str]:
        """Return an entry of Ansible's diff."""
        before, after = self.shown()
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}

    def unified(self) -> str:
        """Return the difference as text, for a message."""
        before, after = map(settings, self.shown())
        return unified(self.path, before, "wanted", after)


def unified(before_name: str, before: str, after_name: str, after: str) -> str:
    """Return a difference as text, for a message."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), before_name, after_name, lineterm="")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def superseded_text(path: str) -> str:
    """Return what a file says that is not going to count any more, for a message."""
    seen = files.see(path)
    said = settings(seen.content.decode("utf-8", "replace")) if seen else ""
    return unified(path, secrecy.without_passwords(said), "no longer in force", "")


def settings(text: str) -> str:
    """Return a configuration without comments and empty lines."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


@dataclasses.dataclass
class Comparison:
    """How somebody else's configuration of a program differs from the desired one."""

    what: list[str] = dataclasses.field(default_factory=list)  # files, and units that would be stopped
    difference: str = ""
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def run(kind: type[Program], module: AnsibleModule) -> None:
    """Apply the plan of the module's request to a program of this kind; ends the module."""
    execute(Transaction(kind, module))


def execute(transaction: Transaction) -> None:
    """Apply a plan while nobody else touches the host's programs; ends the module."""
    title = transaction.program.title
    try:
        with alone(transaction.program.name):
            transaction.apply()
    except (Failed, OSError) as error:
        transaction.module.fail_json(
            msg=f"{title}: {error}", changed=transaction.changed, actions=transaction.actions, diff=transaction.diffs
        )
    transaction.exit()


@contextlib.contextmanager
def alone(program: str) -> Iterator[None]:
    """Hold the lock of a program on this host; raises Failed where another run holds it.

    The command postamt-certificates, which reloads programs too, waits for this run, and this run for the command.
    """
    whose = f"a run of postamt.mail, {program}"
    with files.open_lock(f"{RUNTIME}/{program}.lock") as file:
        if not lock.locked(file, whose):
            holder = lock.holder(file)
            raise Failed(f"another run is changing it on this host right now ({holder}); nothing was done")
        with lock.lock(60, whose=whose):
            yield


class Transaction:
    """One run of one program's plan: `look` finds out what is due, `commit` does it or says it would."""

    def __init__(self, kind: type[Program], module: AnsibleModule, request: dict[str, Any] | None = None) -> None:
        self.module = module
        self.dry: bool = module.check_mode
        self.request: dict[str, Any] = request or module.params["request"]
        self.plan: dict[str, Any] = self.request["plan"]
        self.program = program = kind(self.plan, self.dry)
        self.enabled: bool = self.plan["wanted"]  # whether the host is to have the program
        self.changed = False
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self.missing: dict[str, list[Any]] = {}
        self.made: list[str] = []  # folders
        self.journal: dict[str, Any] = {}
        self.manifest: dict[str, Any] = {}
        self.targets: list[Target] = []
        self.changes: list[Target] = []
        self.foreign_files: list[Target] = []
        self.superseded: list[str] = []
        self.missing_artifacts: list[str] = []
        self.unmade: list[str] = []  # what of it could not be made, where all else is in place
        self.changed_watches: list[str] = []
        self.watched: dict[str, str] = {}
        self.built: dict[str, bytes] = {}
        self.home = os.path.join(STATE, program.name)
        self.stage = os.path.join(RUNTIME, f"{program.name}.stage")
        self.pending = os.path.join(self.home, "pending")
        self.journal_file = os.path.join(self.pending, "mark.json")
        self.manifest_file = os.path.join(self.home, "manifest.json")

    def did(self, done: str, do: str, what: str) -> bool:
        """Note an action, as "wrote ..." or, in check mode, "would write ..."; tells whether to do it."""
        self.changed = True
        self.actions.append(f"would {do} {what}" if self.dry else f"{done} {what}")
        return not self.dry

    def fail(self, text: str) -> NoReturn:
        more = {"unmade": self.unmade} if self.unmade else {}
        self.module.fail_json(msg=text, changed=self.changed, actions=self.actions, diff=self.diffs, **more)
        raise AssertionError("fail_json ends the module")

    def exit(self) -> None:
        self.module.exit_json(changed=self.changed, actions=self.actions, diff=self.diffs, missing=self.missing)

    def apply(self) -> None:
        """Go the whole way."""
        files.remove_tree(self.stage)  # left by a killed run
        self.missing = self.look_for_missing()
        self.look_for_rivals()
        if self.missing and not self.dry:
            self.look_at_files()
            self.refuse_foreign_files()
            return  # the action installs it and calls again
        self.look()
        self.note_differences()
        if self.due():
            self.commit()
        elif not self.dry and self.claim_outdated():
            self.keep_manifest()  # somebody had written the very same files, or had it read the new certificate

    # --- look

    def look_for_missing(self) -> dict[str, list[Any]]:
        """Return packages that are not installed and users that are not there, as the action creates them."""
        if not self.enabled:
            return {}
        found: dict[str, list[Any]] = {}
        names = self.plan["packages"]
        if names:
            there = installed(names)
            found["packages"] = [name for name in names if name not in there]
        found["users"] = [user for user in self.plan["users"] if not has_user(user)]
        if self.dry and found.get("packages"):
            self.did("installed", "install", packages(found["packages"]))
        for user in found["users"] if self.dry else ():
            self.did("created", "create", f"user {user['name']}")
        return {kind: items for kind, items in found.items() if items}

    def look_for_rivals(self) -> None:
        """Stop other mail servers where Postfix is to be installed and they may be; apt would leave them running."""
        found = rivals.found() if "postfix" in self.missing.get("packages", ()) else []
        if found and not self.plan.get("adopt"):
            self.fail(rivals.refusal(found))
        for name in (name for rival in found for name in rival.units):
            if self.did("stopped", "stop", name):
                units.act("stop", name)
                self.missing.setdefault("stopped", []).append(name)  # to be started again where no package comes

    def look(self) -> None:
        """Find out how the host differs from the plan."""
        self.look_at_files()
        self.refuse_foreign_files()
        self.changed_watches = self.stale_certificates()
        self.look_at_units()
        for path in {*self.ours, *self.files_of_ours()} if not self.dry else ():
            files.remove(files.beside(path))  # left by a killed run, which may have wanted other files

    def refuse_foreign_files(self) -> None:
        """Stop before somebody else's configuration, unless it may be replaced."""
        if self.enabled and self.foreign() and not self.plan.get("adopt"):
            self.fail(f"{self.program.title}: {refusal(self.foreign(), self.difference())}")

    def look_at_files(self) -> None:
        """Find out which files differ, and whose they are."""
        self.journal = files.load(self.journal_file)
        self.manifest = files.load(self.manifest_file)
        self.ours = {*self.manifest.get("files", ()), *(entry["path"] for entry in self.journal.get("files", ()))}
        self.targets = [self.target(file) for file in self.plan["files"]] if self.enabled else []
        order = self.program.last
        self.targets.sort(key=lambda target: order.index(target.path) + 1 if target.path in order else 0)
        self.changes = [target for target in self.targets if not target.right]
        self.stale = [path for path in sorted(self.ours - set(self.files_of_ours())) if files.status(path)]
        self.program.leaving = self.stale
        self.folders = [folder for folder in self.all_folders() if not folder_right(folder)] if self.enabled else []
        self.watched = {path: files.digest(path) for path in self.plan["watch"]} if self.enabled else {}
        self.missing_artifacts = self.program.missing_artifacts(self.plan) if self.enabled else []
        self.look_for_foreign_files()

    def all_folders(self) -> list[dict[str, str]]:
        """Return the folders of the plan, and those that earlier runs made for its files: everybody may read these."""
        planned = {folder["path"] for folder in self.plan["directories"]}
        made = (path for path in self.folders_of_ours() if path not in planned and files.folder(path))
        above = [path for path in made if any(file["path"].startswith(f"{path}/") for file in self.plan["files"])]
        plain = {"mode": "0755", "owner": "root", "group": "root"}
        return [*({"path": path, **plain} for path in above), *self.plan["directories"]]

    def target(self, file: dict[str, Any]) -> Target:
        """Return a file of the plan beside what is in its place."""
        product = self.program.product(file["build"], file["path"]) if file["build"] else ""
        mode = int(file["mode"], 8)
        return Target(
            **{**file, "content": forms.text(file).encode(), "mode": mode},
            product=product,
            seen=files.see(file["path"]),
        )

    def files_of_ours(self) -> list[str]:
        """Return every path that the plan writes, what is built included."""
        return sorted(path for target in self.targets for path in target.paths())

    def files_of_changes(self) -> list[str]:
        return [path for target in self.changes for path in target.paths()]

    def stale_certificates(self) -> list[str]:
        """Return the watched files that are not as the program has read them; what it shows on the wire decides."""
        loaded = self.manifest.get("watch", {})
        changed = [path for path, digest in self.watched.items() if digest != loaded.get(path)]
        serves = self.plan["serves"]
        if not changed or not serves:
            return changed
        if not shown.behind(serves, loaded, self.plan["program"]["workers"]):
            return []
        bad = shown.unusable(serves)
        if bad and not self.dry:
            raise Failed(f"{'; '.join(bad)}; nothing was changed (the role certificates puts it right)")
        return changed

    def look_for_foreign_files(self) -> None:
        """Find out which files are neither a package's nor this collection's: in the way, or without effect soon."""
        mine = [t for t in self.changes if t.seen and t.path not in self.ours and t.seen.content != t.content]
        candidates: list[str] = []
        if not self.manifest and not self.journal:
            candidates = [*self.program.superseded_files(), *(() if self.enabled else self.program.last)]
        if not (mine or candidates):
            return
        known = packaged_digests()
        for target in mine:
            target.foreign = bool(target.seen and not self.from_package(target.path, target.seen.content, known))
        self.foreign_files = [target for target in mine if target.foreign]
        seen = {path: files.see(path) for path in candidates if path not in self.ours}
        self.superseded = [
            path for path, one in seen.items() if one and not self.from_package(path, one.content, known)
        ]

    def from_package(self, path: str, content: bytes, known: Mapping[str, set[str]]) -> bool:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()  # what dpkg and ucf keep
        return digest in known.get(path, ()) or self.program.is_package_default(
            path, content.decode("utf-8", "replace")
        )

    def foreign(self) -> list[str]:
        """Return the files of somebody else's configuration."""
        return [*(target.path for target in self.foreign_files), *self.superseded]

    def difference(self) -> str:
        return self.program.differences(self.desired_texts(), self.foreign_files, self.superseded)

    def desired_texts(self) -> dict[str, str]:
        return {target.path: target.content.decode() for target in self.targets}

    def compare(self) -> Comparison:
        """Return what of somebody else's configuration the plan would put out of force, without changing anything."""
        self.look_at_files()
        self.look_at_units()
        if not self.enabled:
            stops = self.stops if self.superseded else []
            return Comparison(stops, "".join(f"-{name} runs\n+{name} is stopped and disabled\n" for name in stops))
        if not self.foreign():
            return Comparison()
        return Comparison(self.foreign(), self.difference(), *self.program.adoption_blockers(self.desired_texts()))

    def look_at_units(self) -> None:
        """Find out which units have to be started, enabled, stopped, and whether running ones must read anew."""
        desired = self.wishes = {unit["name"]: unit["running"] for unit in self.plan["units"]}
        self.groups = {
            name: [*self.program.companion_units(name), name] for name in desired
        }  # in the order of their start
        seen = units.states(one for group in self.groups.values() for one in group)
        active = {name: all(seen[one].active for one in group) for name, group in self.groups.items()}
        self.running = [name for name, wish in desired.items() if wish and active[name]]
        self.starts = [name for name, wish in desired.items() if wish and not active[name]]
        self.enables = [name for name, wish in desired.items() if wish and not seen[name].enabled]
        away = [name for name, wish in desired.items() if not wish and seen[name].exists]
        self.stops = [name for name in away if any(seen[one].active for one in self.groups[name])]
        self.disables = [name for name in away if seen[name].enabled]
        # What ran before this collection came, for whoever takes it away again.
        ran = [name for name in desired if active[name]]
        self.ran: list[str] = self.manifest.get("ran", self.journal.get("ran", ran))
        self.take_up_verb = ""  # restart or reload, where running units have to take up what is new
        if self.running and (
            self.changes or self.changed_watches or self.journal or any(seen[name].stale for name in self.running)
        ):
            old = {t.path: t.seen.content.decode("utf-8", "replace") if t.seen else None for t in self.changes}
            new = {t.path: t.content.decode() for t in self.changes}
            unit_files = any(path.startswith(UNIT_FILES) for path in new) or any(seen[n].stale for n in self.running)
            # Somebody else's may wait after a failure, for want of what another program has ceased to offer meanwhile.
            taken_over = bool(self.foreign())
            again = taken_over or unit_files or self.journal.get("reread") == "restart"
            again = again or any(seen[name].starting or self.renewed(seen[name]) for name in self.running)
            again = again or self.program.needs_restart(old, new)
            self.take_up_verb = "restart" if again else "reload"
        # A change under way counts by what served when it began.
        self.served: bool = self.journal["served"] if self.journal else bool(self.running) and not self.starts

    def renewed(self, unit: units.UnitState) -> bool:
        """Tell whether packages of the program came while a unit ran: it knows those that were there at its start."""
        own = {name for name in self.plan["packages"] if name.startswith(self.program.name)}
        return any(came > began(unit) for came in packages_since(own).values())

    def due(self) -> bool:
        """Tell whether anything has to be done."""
        files_due = self.changes or self.stale or self.folders or self.journal or self.missing_artifacts
        return bool(files_due or self.take_up_verb or self.starts or self.enables or self.stops or self.disables)

    def note_differences(self) -> None:
        self.diffs = [target.difference() for target in self.changes]
        self.diffs += [
            {"before_header": path, "after_header": path, "before": "(a file of this collection)\n", "after": ""}
            for path in self.stale
        ]

    # --- commit

    def commit(self) -> None:
        """Check, swap, reload, check the health, and take back what made it worse."""
        copies = self.files_of_changes()
        try:
            self.check()
            if self.journal:
                self.did("finished", "finish", "a change that an earlier run left half done")
            before = self.checks_before()
            self.make_folders()
            self.prepare()
            self.write_journal(before)
        except (Failed, OSError) as error:
            self.discard(copies)
            for path in reversed(self.made):  # no record names them
                with contextlib.suppress(OSError):
                    files.remove_folder(path)
            state = "the change of an earlier run is still half done" if self.journal else "nothing was changed"
            self.fail(f"{self.program.title}: {error}; {state}")
        since = f"@{int(time.time())}"
        try:
            self.swap(copies)
            self.activate()
        except (Failed, OSError) as error:
            self.discard(copies)
            self.give_up([str(error)], since, before, back=self.served, dead=True)
        self.judge(before, since)
        self.see_served()
        try:
            self.remove_stale()
            if not self.dry:
                self.keep_manifest()
                self.clear_journal()
        except OSError as error:
            self.fail(f"{self.program.title} serves with the new configuration; the next run finishes: {error}")

    def check(self) -> None:
        """Ask the program's own checker about a staged copy, and build the tables there."""
        if not self.changes:
            return
        if self.missing or (self.program.checker and not shutil.which(self.program.checker)):
            what = "packages or users are missing" if self.missing else f"{self.program.checker} is not installed"
            self.actions.append(f"the new configuration was not checked: {what}")
            return
        files.private_folder(self.stage)
        try:
            for target in self.targets:
                path = self.stage + target.path
                files.make_folder(os.path.dirname(path))
                content = self.program.staged(target.path, target.content.decode()).encode()
                files.write(path, content, age=self.program.age)
            problems: list[str] = []
            for target in self.targets:
                try:
                    if target.build:
                        self.program.build(target.build, target.path, self.stage)
                except Failed as error:
                    problems.append(str(error))
            problems = problems or self.program.check(self.stage)
            taken = [] if problems else self.taken_ports()
            self.built = {
                target.product: seen.content
                for target in self.changes
                if target.product and (seen := files.see(self.stage + target.product))
            }
        finally:
            files.remove_tree(self.stage)
        if problems:
            self.refuse("'s own checker refuses the new configuration", [*problems, *self.changed_settings()])
        if taken:
            self.refuse(" cannot listen where the new configuration says", [*taken, *self.changed_settings()])

    def taken_ports(self) -> list[str]:
        """Return who else has a port: a server that cannot listen ends, if not now then at its next start."""
        asked = ((q["arguments"].get("address", ""), q["arguments"].get("port", 0)) for q in self.plan["questions"])
        places = {place for place in asked if place[1]} | self.program.ports(self.stage)
        mine = {one for group in self.groups.values() for one in group}
        return units.taken(sorted(places), mine)

    def refuse(self, what: str, details: Iterable[str]) -> NoReturn:
        """Fail before anything is changed; a change that an earlier run left half done is taken back."""
        listing = "\n".join(f"- {detail.replace(self.stage, '')}" for detail in dict.fromkeys(details))
        state = "nothing was changed" if not self.journal or self.dry else self.undo()
        self.fail(f"{self.program.title}{what}; {state}:\n{listing}")

    def changed_settings(self) -> list[str]:
        """Return what the change is about, as details of a message."""
        old = {t.path: secrecy.shown(t.seen.content, t.secret) if t.seen else None for t in self.changes}
        new = {t.path: secrecy.shown(t.content, t.secret) for t in self.changes}
        changed = self.program.changed_settings(old, new)
        more = [f"changed: and {len(changed) - MOST} more"] if len(changed) > MOST else []
        return [*(f"changed: {text}" for text in changed[:MOST]), *more]

    def make_folders(self) -> None:
        for folder in self.folders:
            there = files.folder(folder["path"])
            done, do = ("corrected owner and mode of", "correct owner and mode of") if there else ("created", "create")
            if self.did(done, do, f"folder {folder['path']}"):
                uid, gid = number(files.uid_of, folder["owner"]), number(files.gid_of, folder["group"])
                self.made += files.make_folder(folder["path"], int(folder["mode"], 8), uid, gid)

    def prepare(self) -> None:
        """Write the new files beside the old ones, so that a full disk shows before anything is changed."""
        for target in self.changes if not self.dry else ():
            uid, gid = number(files.uid_of, target.owner), number(files.gid_of, target.group)
            self.made += files.make_folder(os.path.dirname(target.path))
            files.write(files.beside(target.path), target.content, target.mode, uid, gid, self.program.age)
            if target.product:
                files.write(files.beside(target.product), self.built[target.product], target.mode, uid, gid)

    def discard(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                files.remove(files.beside(path))

    def write_journal(self, before: Mapping[str, Answer]) -> None:
        """Keep the old copies and say that a change is under way; a journal that is there keeps its older copies."""
        if self.dry:
            return
        files.private_folder(self.home)
        files.private_folder(self.pending, empty=not self.journal)
        entries = list(self.journal.get("files", ()))
        marked = {entry["path"] for entry in entries}
        for target in self.changes:
            if target.seen and target.path not in self.ours:
                place = self.keep_original(target.path, target.seen)
                if target.foreign:
                    self.actions.append(f"kept the original of {target.path} in {place}")
            for path in target.paths():
                if path not in marked:
                    entries.append(self.kept(path, str(len(entries))))
        self.journal = {
            "files": entries,
            "folders": self.folders_of_ours(),
            "digests": self.digests_of_changes(),
            "ran": self.ran,
            "served": self.served,
            "reread": self.take_up_verb,
            "answers": {check: vars(answer) for check, answer in before.items()},
        }
        files.save(self.journal_file, self.journal)

    def digests_of_changes(self) -> dict[str, str]:
        known = {target.path: target.content for target in self.changes}
        known.update(self.built)
        return {path: hashlib.sha256(content).hexdigest() for path, content in known.items()}

    def kept(self, path: str, name: str) -> dict[str, Any]:
        """Keep the old copy of a file in pending/ and return its entry of the journal."""
        seen = files.see(path)
        if seen is None:
            return {"path": path, "copy": ""}
        files.write(os.path.join(self.pending, name), seen.content)
        return {"path": path, "copy": name, "mode": seen.mode, "uid": seen.uid, "gid": seen.gid}

    def keep_original(self, path: str, seen: files.Seen) -> str:
        """Keep a file that this collection did not write; returns where."""
        place = f"{self.home}/originals{path}"
        files.make_folder(os.path.dirname(place))
        files.replace(place, seen.content, seen.mode, seen.uid, seen.gid)
        return place

    def swap(self, copies: list[str]) -> None:
        """Rename the new files into their places, built ones before their sources, the main ones last."""
        for target in self.changes:
            if self.did("wrote", "write", target.path):
                for path in target.paths():
                    files.put(path)
        files.settle(copies if not self.dry else ())
        for target in self.changes if not self.dry else ():
            if target.build:
                self.program.build_in_place(target.build, target.path)
                uid, gid = number(files.uid_of, target.owner), number(files.gid_of, target.group)
                files.set_rights(target.product, target.mode, uid, gid)

    def activate(self) -> None:
        """Stop what shall not run, and have the program take up what is new."""
        for name in self.stops:
            if self.did("stopped", "stop", name):
                units.act("stop", *reversed(self.groups[name]))
        if disables := [name for name in self.disables if self.did("disabled", "disable", name)]:
            units.act("disable", *disables)  # in one call, since each makes systemd read all of its units again
        self.reload_unit_files(target.path for target in self.changes)
        for what in self.missing_artifacts:
            if self.did("made", "make", what):
                self.unmade = [what]
                self.program.create(what)
                self.unmade = []
        if enables := [name for name in self.enables if self.did("enabled", "enable", name)]:
            units.act("enable", *enables)
        if self.take_up_verb and self.did(f"{self.take_up_verb}ed", self.take_up_verb, self.program.title):
            self.take_up(self.take_up_verb)
        for name in self.starts:
            if self.did("started", "start", name):
                units.act("start", *self.groups[name])

    def reload_unit_files(self, paths: Iterable[str]) -> None:
        if not self.dry and (self.take_up_verb == "restart" or any(path.startswith(UNIT_FILES) for path in paths)):
            units.output("systemctl", "daemon-reload")

    def take_up(self, verb: str) -> None:
        names = [one for name in self.running for one in self.groups[name]]
        (self.program.restart if verb == "restart" else self.program.reload)(names)

    # --- health checks

    def checks_before(self) -> dict[str, Answer]:
        """Return what the program answers before the change, or answered before a change that was left half done."""
        if self.dry:
            return {}
        if self.journal:
            from ansible_collections.postamt.mail.plugins.module_utils._engine import health

            return {check: health.Answer(**said) for check, said in self.journal["answers"].items()}
        return self.run_checks() if self.served else {}

    def run_checks(self, wait: float = 0) -> dict[str, Answer]:
        """Run the plan's health checks; wait: seconds that the program may take to answer at all."""
        from ansible_collections.postamt.mail.plugins.module_utils._engine import (
            health,  # costs time: only on a change
        )

        asked = {health.described(check): check for check in self.plan["questions"] if self.enabled}
        return dict(zip(asked, health.run(list(asked.values()), wait, self.hopeless), strict=True))

    def hopeless(self) -> bool:
        """Tell whether a unit that shall run is dead, so that there is nothing to wait for."""
        shall_run = [one for name in (*self.running, *self.starts) for one in self.groups[name]]
        return any(state.dead for state in units.states(shall_run).values())

    def judge(self, before: Mapping[str, Answer], since: str) -> None:
        """Run the checks again; take the change back where answers got worse, and say what else is not well."""
        if self.dry or not self.plan["questions"] or not self.enabled:
            return
        from ansible_collections.postamt.mail.plugins.module_utils._engine import health

        after = self.run_checks(wait=self.program.patience)
        old = {check: before.get(check, health.NOTHING) for check in after}
        bad = {q: a for q, a in after.items() if health.worse(old[q], a)}
        mute = {q: a for q, a in after.items() if a.verdict in (health.SILENT, health.BROKEN)}
        if bad or mute:
            said = [f"{q}: before {old[q].text}, now {a.text}" for q, a in after.items() if q in bad or q in mute]
            self.give_up(said, since, before, back=bool(bad), dead=bool(mute))
        for check, answer in after.items():
            if answer.verdict == health.LATER:
                cause = f" ({', '.join(answer.down)} does not answer)" if answer.down else ""
                self.actions.append(f"asked {check}, which answers {answer.text} for now{cause}")

    def see_served(self) -> None:
        """See that a new certificate is shown; the journal stays where it is not, so that the next run tries again."""
        if self.changed_watches and self.plan["serves"] and not self.dry:
            remaining = shown.settled(self.plan["serves"])
            if remaining:
                self.fail(
                    f"{self.program.title} shows another certificate than the one on disk after its "
                    f"{self.take_up_verb}: {', '.join(remaining)}"
                )

    def give_up(self, why: list[str], since: str, before: Mapping[str, Answer], back: bool, dead: bool) -> NoReturn:
        """Fail; bring the old files back, or else leave the journal, so that the next run checks again.

        dead: whether the program fell silent, so that the old files need a restart.
        """
        logged = units.complaints([one for group in self.groups.values() for one in group], since)
        details = [*why, *(f"logged: {line}" for line in logged)]
        details += self.changed_settings() if self.served else []
        details += [f"new since the last reload: {', '.join(self.changed_watches)}"] if self.changed_watches else []
        if back and self.journal["files"]:
            self.unmade = []
            try:
                state = f"does not work with the new configuration; {self.undo(before, dead)}"
            except (Failed, OSError) as error:
                state = f"does not work with the new configuration, and the old one is not back ({error}): run again"
        elif back:
            state = "works worse than before, and there is no older file of this collection to bring back"
        else:
            before_too = "" if self.running else ", nor did it before"
            state = f"does not work{before_too}; the new configuration stays, and the next run tries again"
        self.fail("\n".join([f"{self.program.title} {state}.", *(f"- {detail}" for detail in details)]))

    def undo(self, before: Mapping[str, Answer] | None = None, dead: bool = False) -> str:
        """Bring the old files of the journal back and have the program take them up; returns what became of it."""
        entries = self.journal["files"]
        for entry in reversed(entries):
            if entry["copy"]:
                seen = files.see(os.path.join(self.pending, entry["copy"]))
                if seen is None:
                    raise Failed(f"{self.pending}/{entry['copy']}, the old copy of {entry['path']}, is not there")
                files.replace(entry["path"], seen.content, entry["mode"], entry["uid"], entry["gid"], self.program.age)
            else:
                files.remove(entry["path"])
        files.settle(entry["path"] for entry in entries)
        self.actions.append("brought the old files back")
        if self.running:
            self.reload_unit_files(entry["path"] for entry in entries)
            self.take_up("restart" if dead else self.journal["reread"] or "reload")
        self.clear_journal()
        if not before:
            return "the files from before a half done change are back"
        from ansible_collections.postamt.mail.plugins.module_utils._engine import health

        again = self.run_checks(wait=self.program.patience)
        bad = [q for q, answer in again.items() if q in before and health.worse(before[q], answer)]
        return f"the old one is back, but {'; '.join(bad)} is still worse" if bad else "the old one is back and serves"

    # --- afterwards

    def remove_stale(self) -> None:
        for path in self.stale:
            if self.did("removed", "remove", path):
                files.remove(path)
        if any(path.startswith(UNIT_FILES) for path in self.stale) and not self.dry:
            units.output("systemctl", "daemon-reload")
        if (
            self.program.reads_folders
            and self.stale
            and self.running
            and self.did("reloaded", "reload", self.program.title)
        ):
            self.take_up("reload")

    def keep_manifest(self) -> None:
        files.private_folder(self.home)
        files.save(self.manifest_file, self.claim())

    def claim(self) -> dict[str, Any]:
        """Return what of this host is this collection's, for the next run and for who takes it away again."""
        # What was meant, and not what a service may have put in its place since.
        known = {target.path: hashlib.sha256(target.content).hexdigest() for target in self.targets}
        return {
            "files": {path: known.get(path) or files.digest(path) for path in self.files_of_ours()},
            "folders": self.folders_of_ours(),
            "units": self.units_of_ours(),
            "ran": self.ran,
            "watch": self.watched,
            "serves": self.plan["serves"],
            **self.reloading(),
            "last": self.applied(),
        }

    def applied(self) -> dict[str, Any]:
        """Return what the next look at this host compares (unchanged.py)."""
        return last.record(self.plan, self.program, self.files_of_ours(), self.all_folders())

    def reloading(self) -> dict[str, Any]:
        """Return how the command postamt-certificates has the program read its certificates again."""
        return {key: self.plan["program"][key] for key in ("title", "reload", "workers")}

    def claim_outdated(self) -> bool:
        """Tell it without reading each file once more: a second run asks this, and has found all files right."""
        now = {"units": self.units_of_ours(), "watch": self.watched, "serves": self.plan["serves"], **self.reloading()}
        now["last"] = self.applied()
        names = sorted(self.manifest.get("files", ()))
        return names != self.files_of_ours() or any(self.manifest.get(key) != value for key, value in now.items())

    def units_of_ours(self) -> list[str]:
        """Return the units that run for this collection, in the order of their start."""
        return [one for name, wish in self.wishes.items() if wish for one in self.groups[name]]

    def folders_of_ours(self) -> list[str]:
        return sorted({*self.manifest.get("folders", ()), *self.journal.get("folders", ()), *self.made})

    def clear_journal(self) -> None:
        files.remove(self.journal_file)
        files.remove_tree(self.pending)


def packages(names: list[str]) -> str:
    """Return one or several packages by name, as in a sentence."""
    return f"package{'s' if len(names) > 1 else ''} {', '.join(names)}"


DIFFERENCES = "The differences (- as it is, + as it would be):"


def refusal(paths: Iterable[str], differences: str = "") -> str:
    """Return why a run stops before somebody else's configuration."""
    return (
        f"neither Debian's nor this collection's on this host: {', '.join(paths)}. Nothing was changed. With "
        f"mail_adopt: true this collection's configuration takes their place, and the replaced files are kept in "
        f"{STATE}/<program>/originals; mailboxes, /etc/aliases and the queue stay."
        + (f" {DIFFERENCES}\n{differences}" if differences else "")
    )


def number(lookup: Callable[[str], int | None], name: str) -> int:
    """Return the number of a user or group that must exist by now; raises Failed."""
    found = lookup(name)
    if found is None:
        raise Failed(f"there is no {'user' if lookup is files.uid_of else 'group'} {name} on this host")
    return found


def installed(names: Iterable[str]) -> set[str]:
    """Return those of some packages that are installed, by one call of dpkg-query(1)."""
    names = list(names)
    if not names:
        return set()
    listed = units.output("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *names, check=False)
    return {line.split()[1] for line in listed.stdout.splitlines() if line.startswith("installed ")}


def packages_since(names: Collection[str]) -> dict[str, float]:
    """Return when packages were installed or upgraded last, in seconds since the epoch, for those that are there."""
    lists = (name for name in files.names(DPKG) if name.endswith(".list"))
    mine = [(name[:-5].partition(":")[0], name) for name in lists if name[:-5].partition(":")[0] in names]
    states = {package: files.status(f"{DPKG}/{name}") for package, name in mine}
    return {package: state.st_mtime for package, state in states.items() if state}


def began(unit: units.UnitState) -> float:
    """Return when a unit was started, in seconds since the epoch."""
    return time.time() - (time.monotonic() - unit.since)


def has_user(user: Mapping[str, Any]) -> bool:
    """Tell whether a user of the plan exists, with its number and in its groups."""
    uid = files.uid_of(user["name"])
    if uid is None or user["uid"] not in (None, uid):
        return False
    return all(in_group(user["name"], group) for group in user["groups"])


def in_group(user: str, group: str) -> bool:
    try:
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False


def folder_right(folder: Mapping[str, Any]) -> bool:
    """Tell whether a folder of the plan is there, with its mode and owner; raises files.Refused."""
    uid = files.uid_of(folder["owner"])
    status = files.folder(folder["path"], uid)
    if status is None:
        return False
    expected = (int(folder["mode"], 8), uid, files.gid_of(folder["group"]))
    return (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == expected


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

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole run: what is applied, what a second run finds, and what is left where a run ends half way."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import (
    commit,
    files,
    health,
    take_up,
    transaction,
    units,
    walk,
)
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import HOST
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Contents, Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import lock
from ansible_collections.postamt.mail.tests.lib.engine import Lab, commands

RUNS = [{"name": "thing.service", "running": True}]
OLD = {"main.cf": "old\n", "tables/a": "a old\n"}
NEW = {"main.cf": "new\n", "tables/a": "a new\n", "tables/b": "b\n"}


class Tables(Program):
    """A program that has tables built, each of which knows its own path."""

    def product(self, build: str, path: str) -> str:
        return f"{path}.db"

    def build(self, build: str, path: str, stage: str) -> None:
        source = stage + path
        units.output("sh", "-c", f"echo for {stage}; exec tr a-z A-Z", data=files.text(source))
        made = units.output("tr", "a-z", "A-Z", data=files.text(source)).stdout
        if "WRONG" in made:
            raise Failed(f"{source}: wrong")
        Path(f"{source}.db").write_text(made)

    def build_in_place(self, build: str, path: str) -> None:
        Path(f"{path}.db").write_text(f"{path}: {files.text(path).upper()}")


def with_tables(lab: Lab, texts: dict[str, str], **more: Any) -> dict[str, Any]:
    plan = lab.plan(texts, **more)
    for file in plan["files"]:
        file["build"] = "db" if "/tables/" in file["path"] else ""
    return plan


def test_a_host_is_set_up_and_a_second_run_has_nothing_to_do(lab: Lab) -> None:
    lab.unit("thing.service")
    plan = lab.plan(OLD, units=RUNS)
    report = lab.apply(plan)
    assert report.actions == [
        f"wrote {lab.etc}/tables/a",
        f"wrote {lab.etc}/main.cf",
        "enabled thing.service",
        "started thing.service",
    ]
    assert report.changed
    assert lab.contents() == OLD
    assert lab.states("thing.service") == (True, True)
    assert lab.manifest == {
        "files": {str(lab.etc / name): files.digest(str(lab.etc / name)) for name in OLD},
        "folders": [str(lab.etc / "tables")],
        "units": ["thing.service"],
        "ran": [],
        "watch": {},
        "serves": [],
        "title": "Thing",
        "reload": [],
        "workers": {},
        "last": {},
    }
    assert lab.leftovers() == []
    lab.runner.asked.clear()
    again = lab.apply(plan)
    assert (again.changed, again.actions, again.diffs, commands(lab)) == (False, [], [], [])


def test_a_changed_file_is_shown_and_taken_up(lab: Lab) -> None:
    lab.unit("thing.service")
    lab.apply(lab.plan(OLD, units=RUNS))
    lab.runner.asked.clear()
    report = lab.apply(lab.plan({**OLD, "main.cf": "new\n"}, units=RUNS))
    path = str(lab.etc / "main.cf")
    assert report.actions == [f"wrote {path}", "reloaded Thing"]
    assert report.diffs == [{"before_header": path, "after_header": path, "before": "old\n", "after": "new\n"}]
    assert commands(lab) == ["reload thing.service"]


def test_a_check_says_what_it_would_do_and_leaves_no_trace(lab: Lab) -> None:
    def everything() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in lab.etc.parent.rglob("*")
            if str(path) != lab.paths.runtime
        }

    lab.unit("thing.service")
    lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    lab.unit("more.timer")
    (lab.here / "active" / "thing.service").unlink()
    before = everything()
    folder = {"path": str(lab.etc / "run"), "mode": "0700", "owner": "root", "group": "root"}
    wanted = [*RUNS, {"name": "more.timer", "running": True}]
    texts = {"main.cf": "new\n", "tables/b": "b\n"}
    report = lab.apply(with_tables(lab, texts, units=wanted, directories=[folder]), Tables, dry=True)
    assert report.actions == [
        f"would create folder {lab.etc}/run",
        f"would write {lab.etc}/tables/b",
        f"would write {lab.etc}/main.cf",
        "would enable more.timer",
        "would start thing.service",
        "would start more.timer",
        f"would remove {lab.etc}/tables/a",
        f"would remove {lab.etc}/tables/a.db",
    ]
    assert everything() == before


# --- what is built


def test_a_built_table_is_recorded_as_it_was_built_in_its_place(lab: Lab) -> None:
    lab.apply(with_tables(lab, OLD), Tables)
    product = lab.etc / "tables" / "a.db"
    assert product.read_text() == f"{lab.etc}/tables/a: A OLD\n"
    assert lab.manifest["files"][str(product)] == files.digest(str(product))
    assert not lab.apply(with_tables(lab, OLD), Tables).changed


@pytest.mark.parametrize("harm", ["edited", "removed", "another mode", "replaced by a folder's link"])
def test_a_table_that_somebody_changed_is_built_anew(lab: Lab, harm: str) -> None:
    lab.unit("thing.service", "active")
    lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    product = lab.etc / "tables" / "a.db"
    whole = product.read_text()
    if harm == "another mode":
        product.chmod(0o666)
    else:
        product.unlink()
    if harm == "edited":
        product.write_text("B NEW\n")
    if harm.startswith("replaced"):
        product.symlink_to(lab.etc / "main.cf")
    report = lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    assert report.actions == [f"wrote {lab.etc}/tables/a", "reloaded Thing"]
    assert report.diffs[0]["before"] == f"a old\n({product} is not as it was built)\n"
    assert (product.read_text(), product.stat().st_mode & 0o777, product.is_symlink()) == (whole, 0o644, False)
    assert not lab.apply(with_tables(lab, OLD, units=RUNS), Tables).changed


# --- runs that end half way


FINISHED = "finished a change that an earlier run left half done"
ENDS = (
    "; nothing was changed",
    "; the old one is back",
    "Thing serves with the new configuration; the next run finishes",
)


class Killed(BaseException):
    pass


STEPS = ("write", "put", "settle", "save", "remove", "remove_tree", "make_folder", "set_rights", "private_folder")


def interrupted(monkeypatch: pytest.MonkeyPatch, lab: Lab, at: int, end: Callable[[str], None]) -> list[str]:
    """Have `end` called at the so manieth step that may change the host; returns the steps as they are taken."""
    taken: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*words: Any, **more: Any) -> Any:
            taken.append(name)
            if len(taken) == at or (end is killed and len(taken) > at > 0):  # who is killed tidies nothing up
                end(name)
            return function(*words, **more)

        return step

    for name in STEPS:
        monkeypatch.setattr(files, name, counted(name, getattr(files, name)))
    monkeypatch.setattr(units, "act", counted("act", units.act))
    return taken


def steps_of(lab: Lab, plan: dict[str, Any]) -> int:
    """Return how many steps a change takes, and leave the host as it was."""
    with pytest.MonkeyPatch.context() as patch:
        taken = interrupted(patch, lab, 0, killed)
        lab.apply(plan, Tables)
    lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    assert {*taken} >= {"write", "put", "save", "act"}
    return len(taken)


def whole(lab: Lab) -> bool:
    """Tell whether each file is whole, in its old or its new form, but for what waits beside and what is built."""
    found = {name: text for name, text in lab.contents().items() if not name.endswith((walk.SUFFIX, ".db"))}
    return all(text in (OLD.get(name), NEW.get(name)) for name, text in found.items()) and {*OLD} <= {*found}


@pytest.fixture
def change(lab: Lab) -> dict[str, Any]:
    """A change of a host that is set up."""
    lab.unit("thing.service")
    lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    return with_tables(lab, NEW, units=RUNS)


def kill(lab: Lab, plan: dict[str, Any], at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, lab, at, killed)
        with pytest.raises(Killed):
            lab.apply(plan, Tables)


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(lab: Lab, change: dict[str, Any]) -> None:
    halves = 0
    for at in range(1, steps_of(lab, change) + 1):
        kill(lab, change, at)
        assert whole(lab)
        half_done = Path(lab.home.journal).exists()
        halves += half_done
        ended = str(lab.etc / "tables" / "b") in lab.manifest["files"]
        report = lab.apply(change, Tables)
        assert report.changed == (half_done or not ended)
        assert (FINISHED in report.actions) == half_done
        tables = {"tables/a.db": f"{lab.etc}/tables/a: A NEW\n", "tables/b.db": f"{lab.etc}/tables/b: B\n"}
        assert lab.contents() == {**NEW, **tables}
        assert lab.leftovers() == []
        assert not lab.apply(change, Tables).changed
        lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    assert halves > 10


def test_a_change_of_a_run_that_wrote_no_units_into_the_journal_is_finished(lab: Lab, change: dict[str, Any]) -> None:
    """As this collection did it before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "finish", lambda *_words: killed("finish"))
        with pytest.raises(Killed):
            lab.apply(change, Tables)
    mark = files.load(lab.home.journal)
    del mark["units"]
    files.save(lab.home.journal, mark)
    assert FINISHED in lab.apply(change, Tables).actions
    assert lab.leftovers() == []
    assert not lab.apply(change, Tables).changed


def test_a_change_that_was_left_half_done_gives_way_to_another(lab: Lab, change: dict[str, Any]) -> None:
    unknown = files.beside(str(lab.etc / "tables" / "b"))  # of a file that no record names before the journal does
    for at in range(1, steps_of(lab, change) + 1):
        kill(lab, change, at)
        lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
        assert {name: lab.contents().get(name) for name in NEW} == {**OLD, "tables/b": None}
        assert {*lab.leftovers()} <= {unknown, files.beside(str(lab.etc / "tables" / "b.db"))}
        assert not lab.apply(with_tables(lab, OLD, units=RUNS), Tables).changed


def killed(name: str) -> None:
    raise Killed(name)


def full(name: str) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", name)


def test_a_disk_that_is_full_at_any_moment_leaves_a_host_that_serves(lab: Lab, change: dict[str, Any]) -> None:
    """Each run says so and what is left; the next one, with space, is as any other."""
    ends: set[str] = set()
    for at in range(1, steps_of(lab, change) + 1):
        with pytest.MonkeyPatch.context() as patch:
            taken = interrupted(patch, lab, at, full)
            try:
                lab.apply(change, Tables)
            except (Stop, OSError) as error:
                assert "No space left" in str(error)
                ends.update(end for end in ENDS if end in str(error))
            else:
                assert taken[at - 1] == "remove"  # of what is known to be removed by the next run, too
        assert whole(lab)
        assert lab.states("thing.service")[0]
        lab.apply(change, Tables)
        assert {name: lab.contents()[name] for name in NEW} == NEW
        assert lab.leftovers() == []
        lab.apply(with_tables(lab, OLD, units=RUNS), Tables)
    assert ends == {*ENDS}


def test_a_change_that_does_not_begin_leaves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: str, *words: Any, **more: Any) -> None:
        if str(lab.etc) in path and lab.home.stage not in path:
            raise OSError(errno.ENOSPC, "No space left on device", "main.cf")
        write(path, *words, **more)

    write = files.write
    monkeypatch.setattr(files, "write", no_space)
    with pytest.raises(Stop, match="^Thing: .*No space left on device: 'main.cf'; nothing was changed"):
        lab.apply(lab.plan({"deep/tables/main.cf": "x\n"}))
    assert os.listdir(lab.etc) == ["systemd"]


# --- a change that makes things worse


class Served(Program):
    """A program that listens at a socket while its configuration does not say otherwise."""

    listener: ClassVar[socket.socket | None] = None

    def restart(self, names: list[str]) -> None:
        super().restart(names)
        self.take_up()

    def reload(self, names: list[str]) -> None:
        super().reload(names)
        self.take_up()

    def take_up(self) -> None:
        path = self.plan["questions"][0]["arguments"]["path"]
        if Served.listener:
            Served.listener.close()
            os.unlink(path)
            Served.listener = None
        if "broken" not in files.text(self.last[0]):
            Served.listener = socket.socket(socket.AF_UNIX)
            Served.listener.bind(path)
            Served.listener.listen()

    def changed_settings(self, old: Contents, new: Contents) -> list[str]:
        return [f"line {number}" for number in range(len(new))]


@pytest.fixture
def served(lab: Lab) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return plans of a program that serves."""
    folder = tempfile.TemporaryDirectory()  # a socket's path must be short
    questions = [{"kind": "socket", "arguments": {"path": f"{folder.name}/socket"}}]

    def plan(texts: dict[str, str], **more: Any) -> dict[str, Any]:
        return lab.plan(texts, units=RUNS, **{"questions": questions, **more})

    lab.unit("thing.service", "active", "enabled")
    Served(plan(OLD)).take_up()
    lab.apply(plan(OLD), Served)
    yield plan
    folder.cleanup()
    if Served.listener:
        Served.listener.close()
        Served.listener = None


def test_what_made_it_worse_is_taken_back(lab: Lab, served: Callable[..., dict[str, Any]]) -> None:
    (lab.here / "log").write_text("thing: fatal: it is broken\n")
    plan = served({**NEW, "main.cf": "broken\n"})
    with pytest.raises(Stop) as stop:
        lab.apply(plan, Served)
    asked = health.described(plan["questions"][0])
    assert str(stop.value).splitlines() == [
        "Thing does not work with the new configuration; the old one is back and serves.",
        f"- {asked}: before somebody listens, now no answer (No such file or directory)",
        "- logged: thing: fatal: it is broken",
        "- changed: line 0",
        "- changed: line 1",
        "- changed: line 2",
    ]
    assert lab.contents() == OLD
    assert lab.leftovers() == []
    assert commands(lab, "reload", "restart")[-1] == "restart thing.service"  # it fell silent
    assert not lab.apply(served(OLD), Served).changed


def test_what_was_left_half_done_is_taken_back_where_it_does_not_work(
    lab: Lab, served: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = served({**NEW, "main.cf": "broken\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "settle", lambda paths: killed("settle") if str(lab.etc / "main.cf") in paths else None)
        with pytest.raises(Killed):
            lab.apply(broken, Served)
    assert lab.contents()["main.cf"] == "broken\n"
    with pytest.raises(Stop, match="the old one is back and serves"):
        lab.apply(broken, Served)
    assert lab.contents() == OLD
    assert not lab.apply(served(OLD), Served).changed


class Checked(Tables):
    def check(self, stage: str, dry: bool) -> list[str]:
        return ["it is wrong"] if "wrong" in files.text(f"{stage}{self.last[0]}") else []


def test_units_that_came_with_what_is_taken_back_go_with_it(lab: Lab, change: dict[str, Any]) -> None:
    """Their files are gone, so nobody would know of them any more."""
    more = lab.plan({**OLD, "systemd/more.timer": "[Timer]\n"}, units=[*RUNS, {"name": "more.timer", "running": True}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "finish", lambda *_words: killed("finish"))
        with pytest.raises(Killed):
            lab.apply(more)
    assert lab.states("more.timer") == (True, True)
    with pytest.raises(Stop, match="refuses the new configuration; the files from before a half done change are back"):
        lab.apply(with_tables(lab, {**OLD, "main.cf": "wrong\n"}, units=RUNS), Checked)
    assert lab.states("more.timer") == (False, False)
    assert not (lab.unit_files / "more.timer").exists()
    assert lab.states("thing.service") == (True, True)
    assert lab.leftovers() == []


def test_units_that_a_change_stopped_run_again_where_it_is_taken_back(
    lab: Lab, served: Callable[..., dict[str, Any]]
) -> None:
    lab.unit("more.service")
    both = [*RUNS, {"name": "more.service", "running": True}]
    lab.apply({**served(OLD), "units": both}, Served)
    assert lab.states("more.service") == (True, True)
    with pytest.raises(Stop, match="the old one is back and serves"):
        lab.apply(served({**NEW, "main.cf": "broken\n"}), Served)
    assert lab.states("more.service") == (True, True)
    assert not lab.apply({**served(OLD), "units": both}, Served).changed


def test_a_program_that_never_served_keeps_its_new_files(lab: Lab, served: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(Stop):
        lab.apply(served({**OLD, "main.cf": "broken\n"}), Served)
    Served(served(OLD)).take_up()
    (lab.here / "active" / "thing.service").unlink()
    (lab.here / "run" / "thing.service").write_text("exit 1\n")
    with pytest.raises(Stop, match="does not work, nor did it before; the new configuration stays, and the next run"):
        lab.apply(served({**OLD, "main.cf": "new\n"}), Served)
    assert lab.contents()["main.cf"] == "new\n"
    (lab.here / "run" / "thing.service").unlink()
    report = lab.apply(served({**OLD, "main.cf": "new\n"}), Served)
    assert report.actions == ["finished a change that an earlier run left half done", "started thing.service"]
    assert lab.leftovers() == []


def test_a_reload_that_fails_brings_the_old_files_back(lab: Lab, served: Callable[..., dict[str, Any]]) -> None:
    (lab.here / "run" / "thing.service").write_text(f"! grep -q refused {lab.etc}/main.cf\n")
    with pytest.raises(Stop, match="^Thing does not work with the new configuration; the old one is back and serves"):
        lab.apply(served({**OLD, "main.cf": "refused\n"}), Served)
    assert lab.contents() == OLD


def test_a_file_is_not_emptied_where_its_old_copy_is_lost(
    lab: Lab, served: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(program: Served, names: list[str]) -> None:
        for copy in Path(lab.home.pending).glob("[0-9]"):
            copy.unlink()
        raise Failed("it does not start")

    monkeypatch.setattr(Served, "reload", lost)
    with pytest.raises(Stop, match=r"the old one is not back \(.*pending/1, the old copy of .*/tables/a, is not ther"):
        lab.apply(served({"tables/z": "z", "tables/a": "a new\n"}), Served)
    assert lab.contents()["tables/a"] == "a new\n"


def test_a_passing_refusal_is_told_and_takes_nothing_back(lab: Lab, served: Callable[..., dict[str, Any]]) -> None:
    plan = served({**OLD, "main.cf": "new\n"})
    path = plan["questions"][0]["arguments"]["path"]
    lasting = socket.socket(socket.AF_UNIX)
    lasting.bind(f"{path}.smtp")
    lasting.listen()

    def answer() -> None:
        with contextlib.suppress(OSError):  # once it is shut
            while True:
                with lasting.accept()[0] as client, contextlib.suppress(ConnectionError):
                    client.sendall(b"450 4.3.2 come again\r\n")

    server = threading.Thread(target=answer, daemon=True)
    server.start()
    plan["questions"].append({"kind": "smtp_greeting", "arguments": {"path": f"{path}.smtp"}})
    report = lab.apply(plan, Served)
    lasting.shutdown(socket.SHUT_RDWR)
    server.join(timeout=5)
    assert not server.is_alive()
    asked = health.described(plan["questions"][1])
    assert report.actions[-1] == f"asked {asked}, which answers 450 4.3.2 come again for now"
    assert lab.contents()["main.cf"] == "new\n"


class Fetches(Served):
    """A program that needs what nobody can make."""

    def missing_artifacts(self, leaving: Any) -> list[str]:
        return ["signatures"]

    def create(self, what: str) -> None:
        raise Failed(f"cannot make {what}")


def test_what_cannot_be_made_is_named_for_a_run_that_goes_on_without(lab: Lab, served: Callable[..., Any]) -> None:
    """And nothing is, where the old configuration is back: that one has it, or never wanted it."""
    with pytest.raises(Stop, match="the old one is back and serves.\n- cannot make signatures") as stop:
        lab.apply(served(NEW), Fetches)
    assert stop.value.more == {}
    assert lab.contents() == OLD
    (lab.here / "active" / "thing.service").unlink()
    with pytest.raises(Stop, match="does not work, nor did it before.*\n- cannot make signatures") as stop:
        lab.apply(served(NEW), Fetches)
    assert stop.value.more == {"unmade": ["signatures"]}


# --- what goes


def test_files_that_the_plan_has_no_more_go(lab: Lab) -> None:
    lab.unit("thing.service", "active")
    plan: dict[str, Any] = {"units": RUNS, "about": {"reads_folders": True}}
    lab.apply(lab.plan({**OLD, "systemd/thing.service.d/x.conf": "x"}, **plan))
    lab.runner.asked.clear()
    report = lab.apply(lab.plan({"main.cf": "old\n"}, **plan))
    assert report.actions == [
        f"removed {lab.etc}/systemd/thing.service.d/x.conf",
        f"removed {lab.etc}/tables/a",
        "restarted Thing",
    ]
    assert report.diffs[1] == {
        "before_header": f"{lab.etc}/tables/a",
        "after_header": f"{lab.etc}/tables/a",
        "before": "(a file of this collection)\n",
        "after": "",
    }
    assert commands(lab) == ["daemon-reload", "restart thing.service"]
    assert lab.contents() == {"main.cf": "old\n"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_drop_in_that_went_is_out_of_force(lab: Lab, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit has what its drop-ins say until it is started anew, whatever became of the file in an earlier run."""
    lab.unit("thing.service", "active")
    drop_in = "systemd/thing.service.d/x.conf"
    lab.apply(lab.plan({**OLD, drop_in: "x"}, units=RUNS))
    if killed:

        def kill(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(take_up, "take_up", kill)
            lab.apply(lab.plan(OLD, units=RUNS))
        assert not (lab.etc / drop_in).exists()
    lab.runner.asked.clear()
    report = lab.apply(lab.plan(OLD, units=RUNS))
    assert report.actions[-1] == "restarted Thing"
    assert "restart thing.service" in commands(lab)
    lab.runner.asked.clear()
    assert not lab.apply(lab.plan(OLD, units=RUNS)).actions
    assert commands(lab) == []


def test_a_restart_without_the_drop_in_that_fails_is_tried_again(lab: Lab) -> None:
    lab.unit("thing.service", "active")
    lab.apply(lab.plan({**OLD, "systemd/thing.service.d/x.conf": "x"}, units=RUNS))
    script = lab.here / "run" / "thing.service"
    script.parent.mkdir(exist_ok=True)
    script.write_text("exit 1\n")
    with pytest.raises(Stop, match="Thing: systemctl restart thing.service: .* failed.*; the next run tries again"):
        lab.apply(lab.plan(OLD, units=RUNS))
    script.unlink()
    (lab.here / "active" / "thing.service").touch()
    assert lab.apply(lab.plan(OLD, units=RUNS)).actions[-1] == "restarted Thing"


@pytest.mark.parametrize("wanted", [True, False])
def test_units_that_the_plan_names_no_more_are_stopped_before_their_files_go(lab: Lab, wanted: bool) -> None:
    lab.unit("thing.service")
    texts = {**OLD, "systemd/more.timer": "[Timer]\n"}
    lab.apply(lab.plan(texts, units=[*RUNS, {"name": "more.timer", "running": True}]))
    assert lab.states("more.timer") == (True, True)
    lab.runner.asked.clear()
    away = [{"name": "thing.service", "running": False}]
    plan = lab.plan(OLD, units=RUNS) if wanted else lab.plan({}, units=away, wanted=False)
    report = lab.apply(plan)
    assert report.actions[0] == "stopped more.timer"
    assert lab.states("more.timer") == (False, False)
    assert lab.states("thing.service") == (wanted, wanted)
    assert not (lab.unit_files / "more.timer").exists()
    assert lab.manifest["units"] == (["thing.service"] if wanted else [])
    assert not lab.apply(plan).changed


@pytest.mark.parametrize("named", [True, False], ids=["as now", "as this collection did it before"])
def test_units_of_a_change_that_was_left_half_done_are_stopped_too(lab: Lab, named: bool) -> None:
    lab.unit("thing.service")
    lab.apply(lab.plan(OLD, units=RUNS))
    more = lab.plan({**OLD, "systemd/more.timer": "[Timer]\n"}, units=[*RUNS, {"name": "more.timer", "running": True}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "finish", lambda *_words: killed("finish"))
        with pytest.raises(Killed):
            lab.apply(more)
    assert lab.states("more.timer") == (True, True)
    if not named:
        files.save(
            lab.home.journal, {key: value for key, value in files.load(lab.home.journal).items() if key != "units"}
        )
    report = lab.apply(lab.plan(OLD, units=RUNS))
    assert "stopped more.timer" in report.actions
    assert lab.states("more.timer") == (False, False)


# --- locks


class Module:
    """What is used of an AnsibleModule."""

    check_mode = False

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}

    def exit_json(self, **words: Any) -> None:
        self.answer = words

    def fail_json(self, **words: Any) -> None:
        self.answer = {"failed": True, **words}
        raise SystemExit(1)


def test_two_runs_do_not_change_a_program_at_once(lab: Lab) -> None:
    program, module = Program(lab.plan(OLD)), Module()

    def second(_report: Report) -> dict[str, Any]:
        other: Any = Module()
        with pytest.raises(SystemExit):
            transaction.execute(program, other, lambda _report: {}, lab.paths)
        return {"second": other.answer["msg"]}

    outer: Any = module
    transaction.execute(program, outer, second, lab.paths)
    assert module.answer["second"] == (
        f"Thing: another run is changing it on this host right now (process {os.getpid()}, a run of postamt.mail, "
        "thing); nothing was done"
    )


def test_the_command_on_the_host_waits_at_the_same_lock() -> None:
    assert os.path.join(HOST.runtime, "services.lock") == lock.LOCK


@pytest.mark.parametrize("error", [Failed("it does not answer"), OSError("no disk"), Stop("Thing: it ends", unmade=[])])
def test_a_run_that_fails_says_what_it_did(lab: Lab, error: Exception) -> None:
    def work(report: Report) -> dict[str, Any]:
        report.did("wrote", "write", "/etc/x")
        raise error

    module: Any = Module()
    with pytest.raises(SystemExit):
        transaction.execute(Program(lab.plan(OLD)), module, work, lab.paths)
    assert module.answer["actions"] == ["wrote /etc/x"]
    assert module.answer["changed"]
    assert module.answer["msg"].startswith("Thing: ")
    assert ("unmade" in module.answer) == isinstance(error, Stop)

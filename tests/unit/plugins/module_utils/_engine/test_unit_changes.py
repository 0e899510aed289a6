# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which units are started and stopped, and when a running program reads its files again or is started anew."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, observe, unit_changes, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import Observation
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import UnitState
from ansible_collections.postamt.mail.tests.lib.engine import Lab

RUNS = [{"name": "thing.service", "running": True}]


def look(lab: Lab, kind: type[Program] = Program, records: Records | None = None, **plan: Any) -> UnitChanges:
    return unit_changes.look(kind(lab.plan({}, **plan)), Observation(records or Records()), paths=lab.paths)


def test_what_shall_run_is_started_and_enabled_once(lab: Lab) -> None:
    lab.unit("thing.service")
    found = look(lab, units=RUNS)
    assert (found.starts, found.enables, found.running, found.due) == (["thing.service"], ["thing.service"], [], True)
    assert not found.served
    lab.unit("thing.service", "active", "enabled")
    found = look(lab, units=RUNS)
    assert (found.starts, found.enables, found.running, found.due) == ([], [], ["thing.service"], False)
    assert found.served


def test_what_shall_not_run_is_stopped_and_disabled_where_it_is_there(lab: Lab) -> None:
    lab.unit("thing.service", "active", "enabled")
    away = [{"name": "thing.service", "running": False}, {"name": "never.service", "running": False}]
    found = look(lab, units=away, wanted=False)
    assert (found.stops, found.disables, found.ours) == (["thing.service"], ["thing.service"], [])


class Pair(Program):
    def companion_units(self, unit: str) -> tuple[str, ...]:
        return ("thing@-.service",)


def test_a_companion_is_started_stopped_and_recorded_with_its_unit(lab: Lab) -> None:
    lab.unit("thing@-.service", "active")
    lab.unit("thing.service", "active", "enabled")
    found = look(lab, Pair, units=RUNS)
    assert found.ours == ["thing@-.service", "thing.service"]
    (lab.here / "active" / "thing@-.service").unlink()
    assert look(lab, Pair, units=RUNS).starts == ["thing.service"]
    recorded = Records({"units": found.ours, "ran": []})
    kept = look(lab, Pair, recorded, units=[{"name": "thing.service", "running": False}])
    assert kept.groups == {"thing.service": ["thing@-.service", "thing.service"]}
    assert kept.stops == ["thing.service"]


def test_units_of_earlier_runs_that_the_plan_does_not_name_are_stopped_those_first_that_were_started_last(
    lab: Lab,
) -> None:
    for name in ("thing.service", "one.timer", "two.path"):
        lab.unit(name, "active", "enabled")
    records = Records({"units": ["thing.service", "one.timer", "gone.path", "two.path"], "ran": []})
    found = look(lab, records=records, units=RUNS)
    assert found.stops == found.disables == ["two.path", "one.timer"]
    assert found.ours == found.running == ["thing.service"]
    assert look(lab, records=records, wanted=False).stops == ["two.path", "one.timer", "thing.service"]


def test_an_instance_is_stopped_and_not_disabled(lab: Lab) -> None:
    lab.unit("thing@-.service", "active", "enabled")
    found = look(lab, records=Records({"units": ["thing@-.service"], "ran": []}))
    assert (found.stops, found.disables) == (["thing@-.service"], [])


class Displaces(Program):
    def displaced_units(self) -> tuple[str, ...]:
        return ("debians.service",)


def test_a_packages_own_unit_is_disabled_at_the_first_run_only(lab: Lab) -> None:
    lab.unit("debians.service", "enabled")
    lab.unit("thing.service", "active", "enabled")
    assert look(lab, Displaces, units=RUNS).disables == ["debians.service"]
    assert look(lab, Displaces, Records({"files": {}, "ran": []}), units=RUNS).disables == []
    assert look(lab, Displaces, wanted=False).disables == []


def test_what_ran_before_is_remembered_from_the_first_run_on(lab: Lab) -> None:
    lab.unit("thing.service", "active")
    assert look(lab, units=RUNS).ran == ["thing.service"]
    half_done = {"ran": [], "served": False, "reread": ""}
    assert look(lab, units=RUNS, records=Records({}, half_done)).ran == []
    assert look(lab, units=RUNS, records=Records({"ran": ["x.service"]}, half_done)).ran == ["x.service"]


@pytest.mark.parametrize(("when", "renewed"), [(-60, False), (60, True)])
def test_packages_that_came_while_a_program_ran_want_a_restart(lab: Lab, when: int, renewed: bool) -> None:
    started = time.monotonic() - 1000
    folder = Path(lab.paths.dpkg)
    for name, age in (("thing-sieve:amd64", when), ("thing-doc", 60), ("amavisd-new", 60)):
        (folder / f"{name}.list").touch()
        moment = time.time() - 1000 + age
        os.utime(folder / f"{name}.list", (moment, moment))
    program = Program(lab.plan({}, packages=["amavisd-new", "thing-sieve"]))
    unit = UnitState("thing.service", active=True, since=started)
    assert unit_changes.renewed(program, unit, lab.paths) == renewed


@pytest.mark.parametrize(
    ("how", "mark", "reread"),
    [
        ({}, {}, "reload"),
        ({"starting": True}, {}, "restart"),
        ({"stale": True}, {}, "restart"),
        ({"since": 5.0}, {}, "restart"),
        ({}, {"reread": "restart", "served": False}, "restart"),
        ({}, {"reread": "reload", "served": True}, "reload"),
    ],
    ids=["runs", "is starting", "another unit file", "packages came", "a run failed", "a run was killed"],
)
def test_what_ran_before_what_it_needs_came_is_restarted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], mark: dict[str, Any], reread: str
) -> None:
    (Path(lab.paths.dpkg) / "thing.list").touch()
    unit = UnitState("thing.service", exists=True, active=True, enabled=True, **{"since": time.monotonic() + 60, **how})
    monkeypatch.setattr(units, "states", lambda names: dict.fromkeys(names, unit))
    program = Program(lab.plan({}, units=RUNS, packages=["thing"]))
    seen = Observation(Records({}, {"ran": [], **mark} if mark else {}))
    found = unit_changes.look(program, seen, ["/etc/postamt/tls/public/chain.pem"], lab.paths)
    assert found.verb == reread


class Restarts(Program):
    def needs_restart(self, old: Any, new: Any) -> bool:
        return bool(old != new and "port" in str(new))


class ReadAtStart(Program):
    reloads = False


@pytest.mark.parametrize(
    ("kind", "names", "foreign", "verb"),
    [
        (Program, [], False, ""),
        (Program, ["main.cf"], False, "reload"),
        (Program, ["main.cf"], True, "restart"),
        (Program, ["systemd/thing.service.d/x.conf"], False, "restart"),
        (Restarts, ["main.cf"], False, "reload"),
        (Restarts, ["ports.cf"], False, "restart"),
        (ReadAtStart, ["main.cf"], False, ""),
        (ReadAtStart, ["systemd/thing.service.d/x.conf"], False, "restart"),
    ],
)
def test_how_changed_files_are_taken_up(
    lab: Lab, kind: type[Program], names: Sequence[str], foreign: bool, verb: str
) -> None:
    lab.unit("thing.service", "active", "enabled")
    program = kind(lab.plan({name: f"{name}\n" for name in names}, units=RUNS))
    if foreign:
        (lab.etc / names[0]).write_text("somebody's\n")
    seen = observe.observe(program, lab.home)
    assert [target.foreign for target in seen.changes] == [foreign] * len(names)
    assert unit_changes.look(program, seen, paths=lab.paths).verb == verb


def test_a_half_done_change_counts_by_what_served_when_it_began(lab: Lab) -> None:
    lab.unit("thing.service", "active", "enabled")
    for served in (True, False):
        half_done = Records({}, {"served": served, "reread": "reload", "ran": []})
        assert look(lab, units=RUNS, records=half_done).served == served
    nothing = Records({"ran": []})
    assert dataclasses.replace(look(lab, units=RUNS, records=nothing), groups={}).served
    assert files.load(lab.home.manifest) == {}

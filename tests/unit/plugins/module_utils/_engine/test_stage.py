# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new configuration is tried before anything is changed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, folders, observe, stage, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import MOST, Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.unit_changes import UnitChanges
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.tests.lib.engine import Lab

TEXTS = {"main.cf": "port = 25\n", "tables/a": "a b\n"}


class Checked(Program):
    """A program with a checker, sh(1), which greps in what is staged; a number in the configuration is its port."""

    def staged(self, path: str, content: str) -> str:
        return content.replace("real", "tried")

    def check(self, stage: str, dry: bool) -> list[str]:
        found = units.output("grep", "-r", "wrong", stage, check=False)
        return found.stdout.splitlines()

    def ports(self, stage: str) -> set[tuple[str, int]]:
        said = files.text(f"{stage}{self.last[0]}").partition(" = ")[2].strip()
        return {("", int(said))} if said.isdigit() else set()

    def product(self, build: str, path: str) -> str:
        return f"{path}.db"

    def build(self, build: str, path: str, stage: str) -> None:
        units.output("sh", "-c", f"test -s {stage}{path} && cp {stage}{path} {stage}{path}.db")


def change(lab: Lab, texts: dict[str, str], build: bool = False, **more: Any) -> Change:
    plan = lab.plan(texts, **{"about": {"checker": "/bin/sh"}, **more})
    for file in plan["files"]:
        file["build"] = "db" if build and "/tables/" in file["path"] else ""
    program = Checked(plan)
    seen = observe.observe(program, lab.home)
    return Change(program, lab.home, Report(), seen, UnitChanges(groups={"thing.service": ["thing.service"]}))


def test_what_passes_is_built_and_the_stage_goes(lab: Lab) -> None:
    assert stage.check(change(lab, TEXTS, build=True)) == {f"{lab.etc}/tables/a.db": b"a b\n"}
    assert lab.leftovers() == []
    assert lab.contents() == {}


def test_what_the_checker_finds_is_told_without_the_stage_and_with_what_changed(lab: Lab) -> None:
    with pytest.raises(stage.Refused, match="^'s own checker refuses the new configuration$") as refused:
        stage.check(change(lab, {"main.cf": "wrong\n"}))
    assert refused.value.listing == f"- {lab.etc}/main.cf:wrong\n- changed: {lab.etc}/main.cf"
    assert lab.leftovers() == []


def test_a_table_that_cannot_be_built_is_refused_before_the_checker_is_asked(lab: Lab) -> None:
    with pytest.raises(stage.Refused) as refused:
        stage.check(change(lab, {"main.cf": "wrong\n", "tables/a": ""}, build=True))
    assert refused.value.listing.startswith("- sh -c test -s ")
    assert "main.cf:wrong" not in refused.value.listing


def test_the_checker_reads_another_copy_than_the_one_that_is_installed(lab: Lab) -> None:
    lab.apply(lab.plan({"main.cf": "real = 1\n"}, about={"checker": "/bin/sh"}), Checked)
    assert lab.contents() == {"main.cf": "real = 1\n"}
    tried = change(lab, {"main.cf": "real wrong\n"})
    with pytest.raises(stage.Refused) as refused:
        stage.check(tried)
    assert "tried wrong" in refused.value.listing


def test_a_port_that_somebody_else_has_is_refused(lab: Lab) -> None:
    row = 'LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("exim4",pid=999999999,fd=3))\n'
    (lab.here / "listening").write_text(row + row.replace(":25", ":587"))
    question = {"kind": "listens", "arguments": {"port": 587, "address": "192.0.2.1"}}
    with pytest.raises(stage.Refused, match="^ cannot listen where the new configuration says$") as refused:
        stage.check(change(lab, TEXTS, questions=[question]))
    assert refused.value.listing.splitlines()[:2] == [
        "- port 25 is taken by exim4 (process 999999999)",
        "- port 587 of 192.0.2.1 is taken by exim4 (process 999999999)",
    ]
    (lab.here / "listening").write_text("")
    stage.check(change(lab, TEXTS, questions=[question]))


@pytest.mark.parametrize("missing", [{"packages": ["thing"]}, {}])
def test_what_cannot_be_checked_yet_is_told(lab: Lab, missing: Any) -> None:
    asked = change(lab, {"main.cf": "wrong\n"}, about={"checker": "/bin/sh" if missing else "/no/such/checker"})
    assert stage.check(dataclasses.replace(asked, missing=missing)) == {}
    why = "packages or users are missing" if missing else "/no/such/checker is not installed"
    assert asked.report.actions == [f"the new configuration was not checked: {why}"]


def test_a_refused_configuration_changes_nothing(lab: Lab) -> None:
    checker = {"about": {"checker": "/bin/sh"}}
    lab.apply(lab.plan(TEXTS, **checker), Checked)
    with pytest.raises(Stop, match="^Thing's own checker refuses the new configuration; nothing was changed:\n- "):
        lab.apply(lab.plan({**TEXTS, "main.cf": "wrong\n"}, **checker), Checked)
    assert lab.contents() == TEXTS
    assert lab.leftovers() == []
    with pytest.raises(Stop, match="nothing was changed"):
        lab.apply(lab.plan({**TEXTS, "main.cf": "wrong\n"}, **checker), Checked, dry=True)


def test_a_long_change_is_told_in_part(lab: Lab) -> None:
    names = {f"tables/{number:02}": "x" for number in range(MOST + 3)}
    told = change(lab, names).changed_settings()
    assert told[-1] == "changed: and 3 more"
    assert len(told) == MOST + 1


def test_an_owner_that_is_not_there_is_named_before_anything_is_changed(lab: Lab) -> None:
    plan = lab.plan({})
    plan["files"] = [lab.file("main.cf", "x", owner="no-such-user")]
    with pytest.raises(Stop, match="^Thing: there is no user no-such-user on this host; nothing was changed$"):
        lab.apply(plan)
    assert lab.contents() == {}


def test_a_product_that_was_not_built_is_not_left_out(lab: Lab) -> None:
    found = change(lab, TEXTS, build=True)
    with pytest.raises(Failed, match="tables/a.db was not built"):
        stage.prepare(found.seen.changes, {}, 0.0, [])


def test_folders_are_made_and_put_right_and_told(lab: Lab) -> None:
    folder = {"path": str(lab.etc / "spool" / "in"), "mode": "0700", "owner": "root", "group": "root"}
    plan = lab.plan({}, directories=[folder])
    assert lab.apply(plan).actions == [f"created folder {folder['path']}"]
    assert lab.manifest["folders"] == [str(lab.etc / "spool"), folder["path"]]
    Path(folder["path"]).chmod(0o777)
    assert lab.apply(plan).actions == [f"corrected owner and mode of folder {folder['path']}"]
    assert os.stat(folder["path"]).st_mode & 0o777 == 0o700
    assert not lab.apply(plan).changed


def test_a_folder_that_was_made_for_files_stays_open_to_everybody(lab: Lab) -> None:
    lab.apply(lab.plan(TEXTS))
    (lab.etc / "tables").chmod(0o700)
    assert lab.apply(lab.plan(TEXTS)).actions == [f"corrected owner and mode of folder {lab.etc}/tables"]
    lab.apply(lab.plan({"main.cf": "x"}))
    (lab.etc / "tables").chmod(0o700)  # holds nothing of the plan any more
    assert not lab.apply(lab.plan({"main.cf": "x"})).changed
    assert folders.planned(lab.plan({}), [str(lab.etc / "tables")]) == []

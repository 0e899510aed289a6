# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Somebody else's configuration: it is found, stops a run or is replaced, and can be had again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import adopt, files, transaction
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.tests.lib.engine import Lab, commands

RUNS = [{"name": "thing.service", "running": True}]
TEXTS = {"main.cf": "ours = 1\n"}


@pytest.fixture
def foreign(lab: Lab) -> Path:
    path = lab.etc / "main.cf"
    path.write_text("# a comment\ntheirs = 1\npassword = hunter2\n")
    path.chmod(0o640)
    lab.unit("thing.service", "active", "enabled")
    return path


def test_somebody_elses_file_stops_a_run_and_is_shown_without_passwords(lab: Lab, foreign: Path) -> None:
    before = foreign.read_text()
    with pytest.raises(Stop) as stop:
        lab.apply(lab.plan(TEXTS, units=RUNS))
    said = str(stop.value)
    assert said.startswith(
        f"Thing: neither Debian's nor this collection's on this host: {foreign}. Nothing was changed. With mail_adopt: "
        "true this collection's configuration takes their place, and the replaced files are kept in "
        "/var/lib/postamt/<program>/originals; mailboxes, /etc/aliases and the queue stay. The differences"
    )
    assert "-theirs = 1\n" in said and "+ours = 1\n" in said
    assert "hunter2" not in said
    assert (foreign.read_text(), commands(lab)) == (before, [])


@pytest.mark.parametrize("where", ["dpkg", "ucf", "the program"])
def test_a_packages_own_file_is_replaced_without_a_word(
    lab: Lab, foreign: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "the program":
        monkeypatch.setattr(Program, "is_package_default", lambda _self, path, content: "theirs" in content)
    else:
        digest = hashlib.md5(foreign.read_bytes()).hexdigest()
        (lab.here / "conffiles").write_text(f" {foreign} {digest}\n" if where == "dpkg" else "")
        known = f"{digest}  {foreign}\n" if where == "ucf" else ""
        text = files.text
        monkeypatch.setattr(files, "text", lambda path: known if "ucf" in path else text(path))
    report = lab.apply(lab.plan(TEXTS, units=RUNS))
    assert report.actions == [f"wrote {foreign}", "reloaded Thing"]


def test_with_leave_it_is_replaced_and_kept(lab: Lab, foreign: Path) -> None:
    before = foreign.read_text()
    report = lab.apply(lab.plan(TEXTS, units=RUNS, adopt=True))
    original = Path(f"{lab.home.originals}{foreign}")
    assert report.actions == [
        f"kept the original of {foreign} in {original}",
        f"wrote {foreign}",
        "restarted Thing",
    ]
    assert "hunter2" not in str(report.diffs)
    assert (original.read_text(), original.stat().st_mode & 0o777) == (before, 0o640)
    assert foreign.read_text() == "ours = 1\n"
    assert not lab.apply(lab.plan(TEXTS, units=RUNS)).changed


def test_the_very_same_file_is_nobodys_loss(lab: Lab, foreign: Path) -> None:
    foreign.write_text("ours = 1\n")
    foreign.chmod(0o644)
    report = lab.apply(lab.plan(TEXTS, units=RUNS))
    assert not report.changed
    assert str(foreign) in lab.manifest["files"]


def test_what_somebody_edits_later_is_put_right_without_a_question(lab: Lab) -> None:
    lab.apply(lab.plan(TEXTS))
    (lab.etc / "main.cf").write_text("edited = 1\n")
    assert lab.apply(lab.plan(TEXTS)).actions == [f"wrote {lab.etc}/main.cf"]
    (lab.etc / "main.cf").chmod(0o600)
    assert lab.apply(lab.plan(TEXTS)).actions == [f"wrote {lab.etc}/main.cf"]


class Superseding(Program):
    def superseded_files(self) -> list[str]:
        return [f"{self.last[0]}.d/local"]

    def adoption_blockers(self, desired: object) -> tuple[list[str], list[str]]:
        return ["mail would be lost"], ["look at it"]


def test_what_would_not_be_in_force_any_more_stops_a_first_run(lab: Lab) -> None:
    local = lab.etc / "main.cf.d" / "local"
    local.parent.mkdir()
    local.write_text("more = 1\n")
    with pytest.raises(Stop, match=r"local. Nothing was changed.*\n--- .*local\n\+\+\+ no longer in force\n.*\n-more"):
        lab.apply(lab.plan(TEXTS), Superseding)
    found = adopt.compare(Superseding(lab.plan(TEXTS)), lab.paths)
    assert (found.what, found.problems, found.notes) == ([str(local)], ["mail would be lost"], ["look at it"])
    assert "-more = 1" in found.difference
    lab.apply(lab.plan(TEXTS, adopt=True), Superseding)
    assert adopt.compare(Superseding(lab.plan(TEXTS)), lab.paths) == adopt.Comparison()


def test_somebody_elses_program_that_the_site_does_not_want_is_named(lab: Lab, foreign: Path) -> None:
    away = lab.plan({}, wanted=False, units=[{"name": "thing.service", "running": False}])
    found = adopt.compare(Program(away), lab.paths)
    assert found.what == ["thing.service"]
    assert found.difference == "-thing.service runs\n+thing.service is stopped and disabled\n"
    foreign.unlink()
    assert adopt.compare(Program(away), lab.paths) == adopt.Comparison()
    assert lab.states("thing.service") == (True, True)


def test_somebody_elses_configuration_stops_a_run_before_it_installs(lab: Lab, foreign: Path) -> None:
    plan = lab.plan(TEXTS, packages=["thing-sieve"])
    with pytest.raises(Stop, match=r"main.cf\. Nothing was changed"):
        transaction.apply(Program(plan), Report(), lab.paths)
    foreign.unlink()
    assert transaction.apply(Program(plan), Report(), lab.paths) == {"packages": ["thing-sieve"]}
    assert not foreign.exists()

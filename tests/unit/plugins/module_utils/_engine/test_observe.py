# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run finds on a host, and what it records of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, observe
from ansible_collections.postamt.mail.plugins.module_utils._engine.manifest import Records
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Stop
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown
from ansible_collections.postamt.mail.tests.lib.engine import Lab

CHAIN = "tls/public/chain.pem"
SERVES = [{"port": 993, "protocol": "imap", "tls": "implicit", "certificates": [CHAIN], "address": ""}]


def test_files_are_swapped_with_the_main_ones_last(lab: Lab) -> None:
    texts = {"main.cf": "", "z": "", "master.cf": "", "a": ""}
    plan = lab.plan(texts, about={"last": [f"{lab.etc}/master.cf", f"{lab.etc}/main.cf"]})
    seen = observe.observe(Program(plan), lab.home)
    assert [target.path for target in seen.changes] == [
        f"{lab.etc}/{name}" for name in ("z", "a", "master.cf", "main.cf")
    ]


def test_secrets_are_in_no_difference(lab: Lab) -> None:
    plan = lab.plan({})
    plan["files"] = [lab.file("key", "secret one", secret=True)]
    lab.apply(plan)
    plan["files"] = [lab.file("key", "secret two", secret=True, mode="0600")]
    (entry,) = observe.observe(Program(plan), lab.home).differences()
    assert entry["before"] != entry["after"]
    assert "secret one" not in entry["before"] and "secret two" not in entry["after"]


def test_another_owner_or_mode_is_a_difference_that_is_shown(lab: Lab) -> None:
    plan = lab.plan({"main.cf": "x\n"})
    lab.apply(plan)
    (lab.etc / "main.cf").chmod(0o666)
    (entry,) = observe.observe(Program(plan), lab.home).differences()
    assert entry["before"] == f"x\n(owner {os.geteuid()}:{os.getegid()}, mode 0666)\n"


def test_what_is_recorded_is_what_was_meant(lab: Lab) -> None:
    class Faster(Program):
        def restart(self, names: list[str]) -> None:
            Path(self.last[0]).write_text("of a service that was faster")

    lab.unit("thing.service", "active", "enabled")
    plan = lab.plan({"main.cf": "meant"}, units=[{"name": "thing.service", "running": True}], about={"restarts": True})
    lab.apply(plan, Faster)
    assert lab.manifest["files"] == {f"{lab.etc}/main.cf": hashlib.sha256(b"meant").hexdigest()}
    assert lab.contents() == {"main.cf": "of a service that was faster"}


def test_what_a_killed_run_left_goes_though_it_is_wanted_no_more(lab: Lab) -> None:
    lab.apply(lab.plan({"main.cf": "", "gone.cf": ""}))
    left = Path(files.beside(f"{lab.etc}/gone.cf"))
    left.touch()
    lab.apply(lab.plan({"main.cf": ""}))
    assert lab.contents() == {"main.cf": ""}


def test_a_damaged_record_stops_a_run(lab: Lab) -> None:
    lab.apply(lab.plan({"main.cf": ""}))
    Path(lab.home.manifest).write_text("{")
    with pytest.raises(OSError, match="manifest.json is damaged"):
        lab.apply(lab.plan({"main.cf": "new"}))
    assert lab.contents() == {"main.cf": ""}


@pytest.fixture
def chain(lab: Lab) -> Path:
    path = lab.etc / CHAIN
    path.parent.mkdir(parents=True)
    path.write_text("one")
    lab.unit("thing.service", "active", "enabled")
    return path


def serving(lab: Lab, chain: Path) -> dict[str, Any]:
    units = [{"name": "thing.service", "running": True}]
    return lab.plan({"main.cf": ""}, watch=[str(chain)], serves=SERVES, units=units)


def behind(monkeypatch: pytest.MonkeyPatch, *answers: list[str], unusable: list[str] | None = None) -> None:
    """Say what the ports show: first when the host is looked at, then after the reload."""
    rest = list(answers)
    monkeypatch.setattr(shown, "behind", lambda *_words: rest.pop(0))
    monkeypatch.setattr(shown, "settled", lambda _serves: rest.pop(0))
    monkeypatch.setattr(shown, "unusable", lambda _serves: unusable or [])


def test_a_new_certificate_is_read_where_the_ports_do_not_show_it(
    lab: Lab, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, ["port 993 of 127.0.0.1"], [])
    lab.apply(serving(lab, chain))
    chain.write_text("two")
    behind(monkeypatch, ["port 993 of 127.0.0.1"], [])
    report = lab.apply(serving(lab, chain))
    assert report.actions == ["reloaded Thing"]
    assert lab.manifest["watch"] == {str(chain): files.digest(str(chain))}
    assert not lab.apply(serving(lab, chain)).changed


def test_a_certificate_that_is_shown_already_is_recorded_without_a_word(
    lab: Lab, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, [])
    lab.apply(serving(lab, chain))
    chain.write_text("two")
    behind(monkeypatch, [])
    assert not lab.apply(serving(lab, chain)).changed
    assert lab.manifest["watch"] == {str(chain): files.digest(str(chain))}


def test_a_certificate_that_is_not_shown_after_a_reload_is_tried_again(
    lab: Lab, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, [])
    lab.apply(serving(lab, chain))
    chain.write_text("two")
    behind(monkeypatch, ["port 993 of 127.0.0.1"], ["port 993 of 127.0.0.1"])
    with pytest.raises(Stop, match="^Thing shows another certificate than the one on disk after its reload: port 993"):
        lab.apply(serving(lab, chain))
    behind(monkeypatch, ["port 993 of 127.0.0.1"], [])
    assert "reloaded Thing" in lab.apply(serving(lab, chain)).actions
    assert lab.leftovers() == []


def test_a_certificate_that_nobody_could_serve_stops_a_run(
    lab: Lab, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, ["port 993"], unusable=["chain.pem holds no certificate"])
    with pytest.raises(Failed, match="holds no certificate; nothing was changed"):
        lab.apply(serving(lab, chain))
    behind(monkeypatch, ["port 993"], unusable=["chain.pem holds no certificate"])
    assert lab.apply(serving(lab, chain), dry=True).changed


def test_records_are_empty_on_a_new_host(lab: Lab) -> None:
    seen = observe.observe(Program(lab.plan({}, wanted=False)), lab.home)
    assert (seen.records, seen.due, seen.foreign) == (Records(), False, [])

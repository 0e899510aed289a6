# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages and users that are missing, and mail servers that Postfix's package would push away."""

from __future__ import annotations

import grp
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import needs, rivals, transaction, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop
from ansible_collections.postamt.mail.tests.lib.engine import USER, Lab

NOBODY: dict[str, Any] = {"name": "no-such-user", "uid": None, "groups": [], "home": "/"}


def test_missing_packages_and_users_are_for_the_action_to_bring(lab: Lab) -> None:
    (lab.here / "installed" / "there").touch()
    plan = lab.plan({}, packages=["there", "not-there"], users=[NOBODY, {**NOBODY, "name": USER}])
    report = Report()
    assert transaction.apply(Program(plan), report, lab.paths) == {"packages": ["not-there"], "users": [NOBODY]}
    assert report.noted() == {"changed": False, "actions": [], "diff": []}
    assert needs.missing({**plan, "wanted": False}, report) == {}
    lab.apply(lab.plan({}, packages=["there"]))


def test_a_check_goes_on_without_them(lab: Lab) -> None:
    plan = lab.plan({"main.cf": "x"}, packages=["not-there"], users=[NOBODY])
    report = Report(dry=True)
    transaction.apply(Program(plan), report, lab.paths)
    assert report.actions == [
        "would install package not-there",
        "would create user no-such-user",
        "the new configuration was not checked: packages or users are missing",
        f"would write {lab.etc}/main.cf",
    ]


def test_a_user_with_another_number_or_without_its_groups_is_missing() -> None:
    assert needs.has_user({**NOBODY, "name": "root", "uid": 0})
    assert not needs.has_user({**NOBODY, "name": "root", "uid": 5})
    assert not needs.has_user({**NOBODY, "name": "root", "groups": ["no-such-group"]})
    for group in grp.getgrall():
        for member in group.gr_mem:
            assert needs.in_group(member, group.gr_name)


def test_another_mail_server_is_looked_for_before_packages_come(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "found", lambda: [rivals.Rival("exim4-daemon-light", ())])
    with pytest.raises(Stop, match="exim4-daemon-light is this host's mail server"):
        transaction.apply(Program(lab.plan({}, packages=["postfix"])), Report(), lab.paths)


@pytest.mark.parametrize("adopt", [False, True])
def test_another_mail_server_stops_a_run_or_is_stopped_before_packages_come(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, adopt: bool
) -> None:
    stopped: list[str] = []
    exim = rivals.Rival("exim4-daemon-light", ("exim4.service",), ("/var/spool/exim4/input",), 1)
    monkeypatch.setattr(rivals, "found", lambda: [exim])
    monkeypatch.setattr(units, "act", lambda *words: stopped.append(" ".join(words)))
    plan, report = lab.plan({}, packages=["postfix"], adopt=adopt), Report()
    if adopt:
        missing = transaction.apply(Program(plan), report, lab.paths)
        assert (report.actions, stopped) == (["stopped exim4.service"], ["stop exim4.service"])
        assert missing["stopped"] == ["exim4.service"]  # for the action, where the packages do not come
    else:
        with pytest.raises(Stop, match="1 message waits in its queue, /var/spool/exim4/input"):
            transaction.apply(Program(plan), report, lab.paths)
        assert stopped == []

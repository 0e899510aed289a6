"""What holds after the first run in every scenario.

A scenario's inventory may name one change in `lab_change`, a mapping of
variables, and what the run must then do in `lab_change_actions`.
"""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Site


def test_second_run_changes_nothing(play: RunAgain) -> None:
    done = play({"mail_full_check": True})
    assert not done.failed
    assert done.changed == []


def test_the_look_has_no_doubt(play: RunAgain) -> None:
    """Else each run would take the long way."""
    done = play()
    assert not done.failed
    assert done.changed == []
    looks = [task.result for task in done.tasks if task.action == "postamt.mail.host_look"]
    assert [look["doubts"] for look in looks] == [{}] * len(looks)


def test_check_mode_predicts_that_nothing_changes(play: RunAgain) -> None:
    done = play(check=True)
    assert not done.failed
    assert done.changed == []


def test_one_change_is_made_once(site: Site, play: RunAgain) -> None:
    change = site.vars.get("lab_change")
    if not change:
        pytest.skip("the scenario's inventory has no lab_change")
    predicted = play(change, check=True)
    assert not predicted.failed
    made = play(change)
    assert not made.failed
    assert made.changed, "the change was not noticed"
    assert [task.task for task in predicted.changed] == [task.task for task in made.changed]
    # "would write X" before, "wrote X" after
    assert [words.split(" ", 2)[2] for words in predicted.actions] == [words.split(" ", 1)[1] for words in made.actions]
    if "lab_change_actions" in site.vars:
        assert made.actions == site.vars["lab_change_actions"]
    again = play(change)
    assert not again.failed
    assert again.changed == []
    back = play()
    assert not back.failed
    assert back.changed
    assert play().changed == []

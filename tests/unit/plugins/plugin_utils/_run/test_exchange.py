# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done for a program before its plan is applied, and the line that a run shows for a program."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.needs import packages
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import Exchange, sentence


def test_actions_of_one_kind_share_their_verb() -> None:
    actions = ["installed package postfix", "wrote /a", "wrote /b", "reloaded Postfix", "removed /c"]
    assert sentence(actions) == "installed package postfix; wrote /a, /b; reloaded Postfix; removed /c"
    assert sentence(["would write /a", "would write /b"]) == "would write /a, /b"


LISTS = {"update_cache": True, "update_cache_retries": 1}
FRESH_LISTS = {**LISTS, "cache_valid_time": 86400}
PACKAGES = {"name": ["postfix"], "policy_rc_d": 101, "install_recommends": False}
FAILED = {"failed": True, "msg": "no mirror answers \n"}


def bring(answers: list[dict[str, Any]], **missing: list[str]) -> tuple[Any, list[str], list[dict[str, Any]]]:
    """Have packages brought; returns the failure, the actions, and what the stock modules were asked for."""
    asked: list[dict[str, Any]] = []

    def stock(_module: str, wish: dict[str, Any]) -> dict[str, Any]:
        asked.append(wish)
        return answers[len(asked) - 1]

    action: Any = Exchange.__new__(Exchange)
    action._stock = stock
    actions: list[str] = []
    return action._packages({"packages": ["postfix"], **missing}, actions), actions, asked


def test_a_source_that_does_not_answer_is_no_reason_to_install_nothing() -> None:
    assert bring([FAILED, {"changed": True}]) == (None, ["installed package postfix"], [FRESH_LISTS, PACKAGES])


def test_lists_that_look_fresh_are_fetched_where_they_do_not_do() -> None:
    failure, actions, asked = bring([{"changed": False}, FAILED, {"changed": True}, {"changed": True}])
    assert (failure, actions) == (None, ["installed package postfix"])
    assert asked == [FRESH_LISTS, PACKAGES, LISTS, PACKAGES]


def test_a_silent_mirror_is_waited_for_once() -> None:
    failure, actions, asked = bring([FAILED, FAILED])
    assert "postfix: no mirror answers; the host could not fetch all package lists: apt-get update" in failure["msg"]
    assert (actions, len(asked)) == ([], 2)


@pytest.mark.parametrize("starts", [True, False])
def test_a_mail_server_that_was_stopped_for_packages_that_do_not_come_runs_again(starts: bool) -> None:
    started = {"changed": True} if starts else {"failed": True, "msg": "exim4.service failed"}
    failure, actions, asked = bring([{"changed": True}, FAILED, started], stopped=["exim4.service"])
    words = "" if starts else "; exim4.service, which was stopped for it, does not start: exim4.service failed"
    assert failure == {"failed": True, "msg": f"cannot install postfix: no mirror answers{words}"}
    assert asked[-1] == {"name": "exim4.service", "state": "started"}
    assert actions == (["started exim4.service again"] if starts else [])


def test_one_is_singular_and_two_are_plural() -> None:
    assert sentence(["created folder /a", "created folder /b"]) == "created folders /a, /b"
    assert sentence(["created folder /a", "wrote /a/b"]) == "created folder /a; wrote /a/b"
    assert (packages(["postfix"]), packages(["postfix", "slapd"])) == ("package postfix", "packages postfix, slapd")

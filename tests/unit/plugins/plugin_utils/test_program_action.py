# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The line that a run shows for a program."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.program_action import packages, sentence


def test_actions_of_one_kind_share_their_verb() -> None:
    actions = ["installed package postfix", "wrote /a", "wrote /b", "reloaded Postfix", "removed /c"]
    assert sentence(actions) == "installed package postfix; wrote /a, /b; reloaded Postfix; removed /c"
    assert sentence(["would write /a", "would write /b"]) == "would write /a, /b"


def test_one_is_singular_and_two_are_plural() -> None:
    assert sentence(["created folder /a", "created folder /b"]) == "created folders /a, /b"
    assert sentence(["created folder /a", "wrote /a/b"]) == "created folder /a; wrote /a/b"
    assert (packages(["postfix"]), packages(["postfix", "slapd"])) == ("package postfix", "packages postfix, slapd")

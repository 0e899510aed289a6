# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The line that a run shows for a program."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils.program_action import sentence


def test_actions_of_one_kind_share_their_verb() -> None:
    actions = ["installed packages postfix", "wrote /a", "wrote /b", "reloaded Postfix", "removed /c"]
    assert sentence(actions) == "installed packages postfix; wrote /a, /b; reloaded Postfix; removed /c"
    assert sentence(["would write /a", "would write /b"]) == "would write /a, /b"

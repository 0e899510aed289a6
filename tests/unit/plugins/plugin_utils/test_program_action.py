# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the action of a role does on its own, and the line that a run shows for a program."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils.program_action import ProgramAction, sentence


def test_actions_of_one_kind_share_their_verb() -> None:
    actions = ["installed packages postfix", "wrote /a", "wrote /b", "reloaded Postfix", "removed /c"]
    assert sentence(actions) == "installed packages postfix; wrote /a, /b; reloaded Postfix; removed /c"
    assert sentence(["would write /a", "would write /b"]) == "would write /a, /b"


@pytest.mark.parametrize("starts", [True, False])
def test_a_mail_server_that_was_stopped_for_packages_that_do_not_come_runs_again(starts: bool) -> None:
    asked: list[tuple[str, Any]] = []

    def stock(module: str, wish: dict[str, Any]) -> dict[str, Any]:
        asked.append((module, wish))
        return {"failed": True, "msg": "no mirror answers" if module.endswith(".apt") else "Unit exim4.service failed"}

    action: Any = ProgramAction.__new__(ProgramAction)
    action._stock = stock if not starts else lambda *words: {**stock(*words), "failed": words[0].endswith(".apt")}
    actions = ["stopped exim4.service"]
    found = action._packages({"packages": ["postfix"], "stopped": ["exim4.service"]}, actions)
    assert asked[-1] == ("ansible.builtin.systemd_service", {"name": "exim4.service", "state": "started"})
    words = "" if starts else "; exim4.service, which was stopped for it, does not start: Unit exim4.service failed"
    assert found == {"failed": True, "msg": f"cannot install postfix: no mirror answers{words}"}
    assert actions == ["stopped exim4.service", *(["started exim4.service again"] if starts else [])]

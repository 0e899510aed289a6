# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Of somebody else's programs those are compared that the run would change."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.action import compare
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover, inventory


@pytest.mark.parametrize(
    ("due", "expected"), [(["postfix"], ["postfix"]), (None, ["dovecot", "postfix", "postgrey"])], ids=["due", "alone"]
)
def test_what_has_no_task_on_a_host_is_not_asked_for(
    due: list[str] | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plan was not left for a task, and would be derived anew, with the whole site."""
    asked: list[str] = []

    def plan_for(_action: t.Any, _variables: t.Any, name: str) -> types.SimpleNamespace:
        asked.append(name)
        return types.SimpleNamespace(plan={"wanted": True, "units": []})

    monkeypatch.setattr(handover, "plan_for", plan_for)
    look = {"look": {"unclaimed": ["postfix", "dovecot", "postgrey"]}}
    looks = types.SimpleNamespace(raw_get={"a": {inventory.LOOK: look}}.get)
    variables: dict[str, t.Any] = {"inventory_hostname": "a", "hostvars": looks}
    if due is not None:
        variables[handover.SITE_RESULT] = {"due": {"a": due}}
    action: t.Any = types.SimpleNamespace()
    assert list(compare.ActionModule._plans(action, variables)) == asked == expected

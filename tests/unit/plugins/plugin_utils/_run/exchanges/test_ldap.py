# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which passwords a directory's host is given."""

from __future__ import annotations

import types
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._run import exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchanges.ldap import Exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.handover import Handed

PLAN = {"secrets": [], "entries": {"accounts": {}, "fingerprints": {"anna@example.org": "x", "service:postfix": "y"}}}


class Asked(Exchange):
    """The exchange with a host that asks for passwords; what it is given is kept."""

    def __init__(self, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        action = types.SimpleNamespace(_task=types.SimpleNamespace(check_mode=False, delegate_to=None))
        secrets = {"anna@example.org": {"clear": "secret"}, "service:postfix": {"clear": "other"}}
        super().__init__("ldap", action, {"inventory_hostname": "directory1"}, Handed({}, "", lambda: secrets))
        self.given: list[Any] = []
        first = {"changed": True, "actions": ["wrote entries"], "diff": [], "passwords_needed": names}
        monkeypatch.setattr(exchange.Exchange, "apply", lambda self, plan: dict(first))

    def _on_host(self, request: Any, secrets: Any) -> Any:
        self.given.append(request["passwords"])
        return {"changed": True, "actions": ["set passwords"], "diff": []}


def test_passwords_of_the_plan_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    action = Asked(["anna@example.org"], monkeypatch)
    assert action.apply(PLAN)["actions"] == ["wrote entries", "set passwords"]
    assert action.given == [{"anna@example.org": {"clear": "secret"}}]


@pytest.mark.parametrize("plan", [PLAN, {**PLAN, "entries": {}}, {"secrets": []}])
def test_no_others_are_whatever_a_host_asks_for(plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    action = Asked(["client:app1.example.org"], monkeypatch)
    answer = action.apply(plan)
    assert answer["failed"] and not action.given
    assert answer["msg"].startswith("host directory1 answered wrongly: passwords_needed has client:app1.example.org")

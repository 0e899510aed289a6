# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes of cn=config that are refused are taken back."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.change import Change
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import configure, offline
from ansible_collections.postamt.mail.plugins.module_utils._slapd.config import ConfigRequest
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Record, Run


@pytest.fixture
def run(change: Change, record: Record) -> Run:
    return Run(change, record, offline.Files())


def limit(name: str, new: str, old: str) -> ConfigRequest:
    """Return a request that replaces a value."""
    replaced = [("replace", name, [new])], [("replace", name, [old])]
    return ConfigRequest("cn=config", name, None, *replaced, [old], [new])  # type: ignore[arg-type]


SCHEMA = ConfigRequest("cn=x,cn=schema,cn=config", "schema x", {"cn": ["x"]}, [], [], [], [])
OVERLAY = ConfigRequest(
    "olcOverlay=ppolicy,olcDatabase={1}mdb,cn=config", "overlay", {"olcOverlay": ["p"]}, [], [], [], []
)


def sent(monkeypatch: pytest.MonkeyPatch, refused: str) -> list[str]:
    """Return what slapd is told from now on; it refuses one thing."""
    told: list[str] = []

    def send(_connection: object, request: ConfigRequest) -> None:
        values = [value for _verb, _name, listed in request.modifications for value in listed]
        told.append(f"{'-' if request.gone else ''}{request.what} {','.join(values)}".strip())
        if told[-1] == refused:
            raise Failed(f"slapd refuses {refused}")

    monkeypatch.setattr(configure, "send", send)
    return told


def test_what_came_before_a_refused_change_is_taken_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch, "c 2")
    requests = [limit("a", "2", "1"), OVERLAY, limit("c", "2", "1")]
    with pytest.raises(Failed, match=r"^slapd refuses c 2; the old configuration is back$"):
        configure._send_all(run, requests)
    assert told == ["a 2", "overlay", "c 2", "-overlay", "a 1"]
    assert not Record(run.record.path).under_way


def test_what_slapd_cannot_take_back_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(monkeypatch, "c 2")
    with pytest.raises(Failed, match=r"the old configuration is back, except for schema x, which stays$"):
        configure._send_all(run, [SCHEMA, limit("c", "2", "1")])
    assert Record(run.record.path).under_way  # the next run finishes it

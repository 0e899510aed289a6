# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From which host the directory goes to which."""

from __future__ import annotations

import types

import pytest
from ansible_collections.postamt.mail.plugins.action.move_directory import ActionModule, way_of
from ansible_collections.postamt.mail.plugins.module_utils._slapd.move_directory import packed, unpacked
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import run
from ansible_collections.postamt.mail.tests.lib.looks import looked

A, B = "a.example.org", "b.example.org"


def site(a: list[str], b: list[str]) -> Site:
    hosts = {
        A: HostInput(["mail", "mail_mx", "mail_store"], look=looked(holds=a)),
        B: HostInput(["mail", "mail_directory"], look=looked(holds=b)),
    }
    return parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values(), moving=True)


@pytest.mark.parametrize(
    ("a", "b", "source"),
    [(["directory"], [], A), (["directory"], ["arriving"], A), ([], ["arriving"], B), ([], ["directory"], B)],
)
def test_from_whoever_holds_it_to_whoever_shall(a: list[str], b: list[str], source: str) -> None:
    found = site(a, b)
    assert way_of(found, [A, B]) == (found.hosts[source], found.hosts[B])


@pytest.mark.parametrize(
    ("held", "looked", "sentence"),
    [
        ((["directory"], []), [A], "b.example.org cannot be reached, and may hold the directory"),
        (([], []), [A, B], "no host of the site holds a directory"),
        ((["directory"], ["directory"]), [A, B], "a.example.org, b.example.org each hold accounts"),
    ],
)
def test_why_it_cannot_move(held: tuple[list[str], list[str]], looked: list[str], sentence: str) -> None:
    found = way_of(site(*held), looked)
    assert isinstance(found, str)
    assert sentence in found


@pytest.mark.parametrize("said", [{}, {"data": "eA=="}, {"accounts": 1}])
def test_a_host_that_hands_over_half_a_directory_answered_wrongly(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, object]
) -> None:
    action = ActionModule.__new__(ActionModule)
    action._vars = {"inventory_hostname": A}
    action._task = types.SimpleNamespace(check_mode=False, delegate_to=None)
    monkeypatch.setattr(run, "on_host", lambda *_given: {"changed": True, **said})
    found = site(["directory"], [])
    answer = action._step("take", found, found.hosts[A], found.hosts[B])
    assert answer["failed"]
    assert answer["msg"].startswith(f"host {A} answered wrongly: ")


def test_what_travels_arrives() -> None:
    content = {"from": A, "ldif": "dn:: bz1tYWls\n", "record": {"accounts": {}}}
    assert unpacked(packed(content)) == content

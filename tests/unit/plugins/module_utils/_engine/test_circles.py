# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Circles of aliases and forwards."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine.circles import circle


@pytest.mark.parametrize(
    ("leads", "kept", "found"),
    [
        ({"a@x": ["b@x"], "b@x": ["c@x"]}, (), ""),
        ({"a@x": ["b@x"], "b@x": ["a@x"]}, (), "point in a circle: a@x -> b@x -> a@x"),
        ({"a@x": ["b@x"], "b@x": ["a@x"]}, ("b@x",), ""),
        ({"a@x": ["a+y@x"]}, (), "point in a circle: a@x -> a@x"),
        ({"a@x": ["a+y@x"]}, ("a@x",), "point in a circle: mail to a@x goes to a+y@x, and from there to a@x again"),
        ({"a+y@x": ["a@x"], "a@x": ["b@x"]}, (), ""),
    ],
)
def test_a_circle_is_named(leads: dict[str, list[str]], kept: tuple[str, ...], found: str) -> None:
    said = circle(leads, kept)
    assert said.startswith(found) and bool(said) == bool(found)


def test_lists_of_lists_are_gone_through_once() -> None:
    """There are 2 ** 60 ways through these."""
    leads = {f"{name}{step}@x": [f"a{step + 1}@x", f"b{step + 1}@x"] for step in range(60) for name in "ab"}
    assert circle(leads, ()) == ""

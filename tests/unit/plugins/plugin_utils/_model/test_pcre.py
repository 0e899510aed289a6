# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Patterns of PCRE: what Postfix reads is taken, and what it cannot read is refused, whatever Python thinks of it."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._model import pcre
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        ("^Subject: .*lottery", 0),
        (r"^Subject:\h+(a)(b)", 2),
        (r"\p{L}+", 0),
        (r"^From:\K.*", 0),
        ("(?|(a)|(b))", 1),
        ("(?<name>a)(?:b)", 1),
        ("[[:space:]]", 0),
    ],
)
def test_patterns_of_pcre_are_taken(pattern: str, groups: int) -> None:
    assert pcre.groups_of(pattern) == groups


@pytest.mark.parametrize("pattern", ["(", "[a", "(?u)lottery", "*a", "(?P<1>a)", "a{2,1}"])
def test_others_are_refused_with_the_place(pattern: str) -> None:
    with pytest.raises(Refused, match="must be a regular expression of PCRE: .* at offset [0-9]+"):
        pcre.groups_of(pattern)


def test_without_the_library_postfix_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcre, "_library", lambda: None)
    assert pcre.groups_of("(a)(b)") == 2
    assert pcre.groups_of("(?|(a)|(b)") is None


@pytest.mark.parametrize("pattern", ["a{99999999999}", "(" * 3000 + ")" * 3000])
def test_without_the_library_odd_patterns_are_left_to_postfix(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(pcre, "_library", lambda: None)
    assert pcre.groups_of(pattern) is None

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Ansible's values are read."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, parse
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Secret
from ansible_collections.postamt.mail.plugins.plugin_utils._run import values


@pytest.mark.parametrize("value", ["{{ x }}", "a {% if x %}", "{# no #}", "#jinja2: x", [{"a": ["{{ x }}"]}], object()])
def test_what_may_be_a_template_is_templated(value: object) -> None:
    assert not values.literal(value)


def test_what_is_no_template_is_taken_as_it_is() -> None:
    assert values.literal(
        [{"address": "a@example.org", "password_hash": "{ARGON2}$x", "quota": 1, "enabled": True}, None]
    )


@pytest.mark.parametrize(
    ("said", "found"),
    [("a", ["a"]), (" a, b,,c\nd ", ["a", "b", "c", "d"]), ("", []), (["a b"], ["a b"]), (None, None), (7, 7)],
)
def test_a_list_from_a_command_line(said: object, found: object) -> None:
    assert values.listed(said) == found


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("0123-word", True), ("2024-01-01", True), ('"0123456789"', True),
        ("01234567", False), ("12:34:56", False), ("1_000_000_000", False), ("1.50", False), ("yes", False),
        ("2001-12-14t21:59:43.10-05:00", False), ("!!binary aGVsbG8gd29ybGQ=", False), ("0x1234567890", False),
    ],
)  # fmt: skip
def test_a_password_is_what_was_written_or_refused(written: str, taken: bool) -> None:
    problems: list[Problem] = []
    read = values.plain(yaml_load(f"[{written}]"))[0]
    found = parse(Secret, read, "password", problems)
    assert found == (written.strip('"') if taken else None)
    assert taken or "need quotes to be text" in str(problems[0])

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may know whom: data goes one way, from variables to concerns to programs to a plan."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[4] / "plugins" / "plugin_utils"
PACKAGE = "ansible_collections.postamt.mail.plugins.plugin_utils"
ABOVE = ("run", "program_action", "compose", "show", "zone", "accounts_source")  # they ask concerns and programs
BELOW = sorted(path for folder in ("concerns", "programs", "lookups") for path in (UTILS / folder).glob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each module of the collection that a file imports, with the name that it takes from there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.removeprefix(PACKAGE).lstrip("."), "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.level or not node.module):
            yield "a relative import", ""  # nobody has one: it would not be seen here
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            yield from ((node.module.removeprefix(PACKAGE).lstrip("."), name.name) for name in node.names)


def test_there_is_something_to_look_at() -> None:
    assert len(BELOW) > 40
    assert ("programs.postfix", "Postfix") in list(imports(UTILS / "concerns" / "quota.py"))


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_asked_knows_nobody_who_asks(path: Path) -> None:
    assert [name for module, name in imports(path) if module in ABOVE or (not module and name in ABOVE)] == []


@pytest.mark.parametrize("path", sorted((UTILS / "concerns").glob("*.py")), ids=lambda path: path.stem)
def test_a_concern_uses_no_more_of_another_than_its_variables(path: Path) -> None:
    of_others = [(module, name) for module, name in imports(path) if module.partition(".")[0] == "concerns"]
    assert [name for _module, name in of_others if name != "Variables"] == []
    assert ("", "concerns") not in imports(path)


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_all_imports_are_seen(path: Path) -> None:
    assert "a relative import" not in [module for module, _name in imports(path)]
    assert not re.search(r"import_module|__import__", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_program_knows_a_concern(path: Path) -> None:
    if path.parent.name != "concerns":
        assert [module for module, name in imports(path) if "concerns" in (module.partition(".")[0], name)] == []

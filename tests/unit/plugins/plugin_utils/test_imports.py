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
# Those that ask concerns and programs
ABOVE = {
    "_compose.compose",
    "_compose.zone",
    *(
        f"_run.{name}"
        for name in ("accounts_source", "answers", "exchange", "stored_secrets", "values", "remembered", "remote")
    ),
    *(
        f"_run.{name}"
        for name in ("inventory", "handover", "show", "stored_dkim_keys", "dkim_rotation", "supplied_files")
    ),
    *(f"_run.dns_{name}" for name in ("compare", "dmarc", "push", "report", "reverse", "text", "tlsa", "wire")),
}
# Those of a run that ask nobody, and may be used from below
BESIDE = {
    *(f"_run.{name}" for name in ("data_files", "dns_answers", "dns_rows", "pki", "spf", "state", "stored_tlsa")),
    *(f"_run.{name}" for name in ("supplied_certificates", "zone_files")),
}
CONCERNS = sorted((UTILS / "_concerns").rglob("*.py"))
BELOW = [*CONCERNS, *sorted(path for folder in ("_programs", "_lookups") for path in (UTILS / folder).glob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each module of the collection that a file imports, with the name that it takes from there or ""."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.removeprefix(PACKAGE).lstrip("."), "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.level or not node.module):
            yield "a relative import", ""  # nobody has one: it would not be seen here
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            inside = node.module.removeprefix(PACKAGE).lstrip(".")
            for name in node.names:
                module = f"{inside}.{name.name}".lstrip(".")
                whole = (UTILS / module.replace(".", "/")).is_dir() or (
                    UTILS / f"{module.replace('.', '/')}.py"
                ).is_file()
                yield (module, "") if whole else (inside, name.name)


def test_there_is_something_to_look_at() -> None:
    assert len(BELOW) > 40
    assert ("_programs._postfix_parts", "Postfix") in list(imports(UTILS / "_concerns" / "store" / "quota.py"))
    assert ("_compose.links", "") in list(imports(UTILS / "_programs" / "haproxy.py"))


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_asked_knows_nobody_who_asks(path: Path) -> None:
    assert ABOVE & {module for module, _name in imports(path)} == set()


def test_each_file_of_a_run_has_its_place() -> None:
    assert {f"_run.{path.stem}" for path in (UTILS / "_run").glob("*.py")} == {
        module for module in ABOVE | BESIDE if module.startswith("_run.")
    }


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_what_may_be_used_from_below_asks_nobody(name: str) -> None:
    assert ABOVE & {module for module, _name in imports(UTILS / f"{name.replace('.', '/')}.py")} == set()


@pytest.mark.parametrize("path", CONCERNS, ids=lambda path: path.stem)
def test_a_concern_uses_no_more_of_another_than_its_variables(path: Path) -> None:
    """What the concerns of a folder share is in a file of that folder that begins with _ and is no concern."""
    shared = f"_concerns.{path.parent.name}._"
    of_others = [
        (module, name)
        for module, name in imports(path)
        if module.partition(".")[0] == "_concerns" and not module.startswith(shared)
    ]
    assert [(module, name) for module, name in of_others if name != "Variables"] == []


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_all_imports_are_seen(path: Path) -> None:
    assert "a relative import" not in [module for module, _name in imports(path)]
    assert not re.search(r"import_module|__import__", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [path for path in BELOW if path not in CONCERNS], ids=lambda path: path.stem)
def test_no_program_knows_a_concern(path: Path) -> None:
    assert [module for module, _name in imports(path) if module.partition(".")[0] == "_concerns"] == []

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs as root on a host touches files through files.py alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils import files

FOLDER = Path(files.__file__).parent
# What neither opens nor changes a file of the host, nor asks about one.
HARMLESS = {
    "os": {"_exit", "environ", "getegid", "geteuid", "getpid", "kill", "path", "sched_getaffinity", "strerror", "sync",
           "sysconf", "umask", "urandom", "write"},
    "os.path": {"basename", "dirname", "join", "normpath", "relpath", "split"},
    "shutil": {"which"},
}  # fmt: skip
MODULES = {"os", "os.path", "shutil", "glob", "pathlib", "tempfile", "io"}
SOURCES = sorted(path for path in FOLDER.glob("*.py") if path.name != "files.py")


def named(node: ast.expr) -> str:
    """Return a dotted name, empty for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and named(node.value):
        return f"{named(node.value)}.{node.attr}"
    return ""


def strange(source: str) -> Iterator[str]:
    """Yield what a source says that belongs into files.py."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield f"{node.lineno}: from {node.module} import"
        elif isinstance(node, ast.Import):
            yield from (f"{node.lineno}: import {one.name}" for one in node.names if one.name in ("glob", "tempfile"))
        elif isinstance(node, ast.Call) and named(node.func) == "open":
            yield f"{node.lineno}: open"
        elif isinstance(node, ast.Attribute):
            module = named(node.value)
            if module in MODULES and node.attr not in HARMLESS.get(module, ()):
                yield f"{node.lineno}: {module}.{node.attr}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_root_touches_files_through_one_module(path: Path) -> None:
    assert list(strange(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    ["open('/x')", "os.chown('/x', 0, 0)", "os.path.isdir('/x')", "shutil.rmtree('/x')", "import glob",
     "from os import chmod", "from pathlib import Path", "call(os.replace, 1)"],
)  # fmt: skip
def test_what_is_looked_for_is_found(line: str) -> None:
    assert len(list(strange(line))) == 1

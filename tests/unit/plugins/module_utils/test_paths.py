# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs as root on a host touches files through files.py alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files

FOLDER = Path(files.__file__).parents[1]
# What neither opens nor changes a file of the host, nor asks about one.
HARMLESS = {
    "os": {"_exit", "environ", "getegid", "geteuid", "getpid", "kill", "path", "sched_getaffinity", "set_blocking",
           "strerror", "sync", "sysconf", "umask", "urandom", "write"},
    "os.path": {"abspath", "basename", "dirname", "join", "normpath", "relpath", "split"},
    "shutil": {"which"},
    "importlib": {"import_module"},
}  # fmt: skip
# The only modules that such code imports: those that open no file by themselves, but for what is named above.
KNOWN = {
    "__future__", "abc", "ansible.module_utils.basic", "ansible_collections", "argparse", "base64", "calendar",
    "collections", "concurrent.futures", "contextlib", "ctypes", "dataclasses", "datetime", "difflib", "email", "errno",
    "fcntl", "files", "grp", "hashlib", "hmac", "ipaddress", "itertools", "json", "math", "platform", "pwd", "re",
    "secrets", "signal", "smtplib", "socket", "ssl", "stat", "struct", "subprocess", "sys", "threading", "time",
    "types", "typing", "urllib.parse", "warnings", "zlib", *HARMLESS,
}  # fmt: skip
BUILT_IN = {"__import__", "compile", "eval", "exec", "open"}
# What AnsibleModule does to files, by their paths
METHODS = {
    "add_path_info", "append_to_file", "atomic_move", "backup_local", "cleanup", "digest_from_file", "is_executable",
    "load_file_common_arguments", "md5", "preserved_copy", "set_fs_attributes_if_different", "sha1", "sha256",
    "set_group_if_different", "set_mode_if_different", "set_owner_if_different",
}  # fmt: skip
# runuser: it is for units.as_user(), which keeps root's terminal from a service
COMMANDS = {
    "bash", "cat", "chgrp", "chmod", "chown", "cp", "dd", "find", "install", "ln", "mkdir", "mkfifo", "mv", "rm",
    "rmdir", "rsync", "runuser", "sed", "setfacl", "sh", "su", "tar", "tee", "touch", "truncate", "unlink", "unzip",
}  # fmt: skip
OTHER_USERS = ("postamt_mta_sts.py", "postamt_tls_reports.py")  # these run as users of their own
SOURCES = sorted(
    path
    for path in (*FOLDER.rglob("*.py"), *(FOLDER.parent / "modules").glob("*.py"))
    if path.name not in ("files.py", "walk.py", *OTHER_USERS)
)


def named(node: ast.expr) -> str:
    """Return a dotted name, empty for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and named(node.value):
        return f"{named(node.value)}.{node.attr}"
    return ""


def known(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:end]) in KNOWN for end in range(1, len(parts) + 1))


def imported(node: ast.stmt) -> Iterator[str]:
    """Yield what an import brings that opens files, or by what name a module would be out of sight."""
    if isinstance(node, ast.ImportFrom) and not node.level:
        if node.module in HARMLESS or not known(node.module or ""):
            yield f"from {node.module} import"
    elif isinstance(node, ast.Import):
        for one in node.names:
            if not known(one.name) or (one.asname and one.name in HARMLESS):
                yield f"import {one.name}"


def commands(node: ast.expr) -> Iterator[str]:
    """Yield the commands in a list of words that work on files by their paths."""
    if isinstance(node, ast.Call):  # a user may come before the command, and some words are for people
        words = node.args[:2] if named(node.func).rpartition(".")[2] not in ("add_parser", "did") else []
    else:
        words = node.elts[:1] if isinstance(node, ast.List | ast.Tuple) else []
    for word in words:
        if isinstance(word, ast.Constant) and isinstance(word.value, str) and Path(word.value).name in COMMANDS:
            yield word.value


def strange(source: str) -> Iterator[str]:
    """Yield what a source says that belongs into files.py."""
    tree = ast.parse(source)
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            found = list(imported(node))
        elif isinstance(node, ast.Name):
            hidden = node.id in HARMLESS and id(node) not in bases  # getattr(os, ...), o = os
            found = [node.id] if node.id in BUILT_IN or hidden else []
        elif isinstance(node, ast.Attribute):
            module = named(node.value)
            outside = module in HARMLESS and node.attr not in HARMLESS[module]
            method = node.attr in METHODS and module.endswith("module")
            found = [f"{module}.{node.attr}"] if outside or method else []
        else:
            found = list(commands(node)) if isinstance(node, ast.expr) else []
        yield from (f"{getattr(node, 'lineno', 0)}: {what}" for what in found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_root_touches_files_through_one_module(path: Path) -> None:
    assert list(strange(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "open('/x')",
        "map(open, paths)",
        "os.chown('/x', 0, 0)",
        "os.path.isdir('/x')",
        "call(os.replace, 1)",
        "getattr(os, name)('/x')",
        "o = os",
        "shutil.rmtree('/x')",
        "import os as o",
        "from os import chmod",
        "from os.path import exists",
        "from shutil import copy",
        "import glob",
        "import io",
        "import tempfile",
        "from pathlib import Path",
        "import pathlib",
        "from zipfile import ZipFile",
        "import tarfile",
        "from ansible.module_utils.common import file",
        "self.module.atomic_move('/x', '/y')",
        "subprocess.run(['chown', 'x', '/x'])",
        "units.output('cp', '/x', '/y')",
        "units.output('/bin/install', '-d', '/x')",
        "units.as_user('amavis', 'sh', '-c', 'x')",
        "units.output('runuser', '-u', 'amavis', '--', 'x')",
        "command = ('mv', '/x', '/y')",
    ],
)
def test_what_is_looked_for_is_found(line: str) -> None:
    assert list(strange(line))

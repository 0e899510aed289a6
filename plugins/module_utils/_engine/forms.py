# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of files that a plan holds as data, so that nobody reads what was written only to be read again.

Postfix's files are such: main.cf is a mapping from parameters to their values, master.cf one from NAME/TYPE to a
service's columns and options, all of it text (`_programs/postfix.py` of plugin_utils).
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping
from typing import Any

HEAD = "# Written by postamt.mail; change the site's variables instead."  # first line of a written file


def text(file: Mapping[str, Any]) -> str:
    """Return the content of a plan's file."""
    content = file["content"]
    if isinstance(content, str):
        return content
    return "\n".join([HEAD, *("\n  ".join(entry) for entry in entries(file["path"], content)), ""])


def entries(path: str, data: Mapping[str, Any]) -> list[list[str]]:
    """Return what a file says, sorted: each entry's lines, of which all but the first continue it."""
    return [_ENTRIES[os.path.basename(path)](name, said) for name, said in sorted(data.items())]


def _parameter(name: str, value: str) -> list[str]:
    """Return an entry of main.cf (postconf(5))."""
    return [f"{name} = {value}".rstrip()]


def _service(key: str, said: Mapping[str, Any]) -> list[str]:
    """Return an entry of master.cf (master(5))."""
    options = (f"-o {{ {name} = {value} }}" for name, value in sorted(said["options"].items()))
    return [" ".join([*key.rsplit("/", 1), *said["columns"]]), *options]


_ENTRIES: dict[str, Callable[[str, Any], list[str]]] = {"main.cf": _parameter, "master.cf": _service}

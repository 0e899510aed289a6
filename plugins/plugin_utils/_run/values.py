# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of Ansible's variables as Python's own."""

from __future__ import annotations

import datetime
import re
import typing as t
from collections.abc import Mapping


def plain(value: t.Any) -> t.Any:
    """Return Ansible's tagged and lazy values as Python's own."""
    if isinstance(value, Mapping):
        return {str.__str__(key) if isinstance(key, str) else key: plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes | datetime.datetime):  # YAML's own reading of a text that nobody knows any more
        return value
    return float(value) if isinstance(value, float) else str(value)


def listed(value: t.Any) -> t.Any:
    """Return the words of a list that a command line wrote as text (-e x=a,b or "a b"); else the value."""
    return [word for word in re.split(r"[\s,]+", value) if word] if isinstance(value, str) else value


_TEMPLATE = re.compile(r"\{[{%#]|\A#jinja2:")


def literal(value: t.Any) -> bool:
    """Tell whether templating a value would change nothing: a list of 20,000 accounts is told from a template in a
    tenth of the time that templating takes.
    """
    if isinstance(value, str):
        return not _TEMPLATE.search(value)
    if isinstance(value, Mapping):
        return all(map(literal, value.values()))
    if isinstance(value, list | tuple):
        return all(map(literal, value))
    return value is None or isinstance(value, bool | int | float)

#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write docs/reference.md: variables as they are declared, roles, modules and filters as they document themselves."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import types
import typing as t
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / ".cache" / "collections"))

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose  # noqa: E402
from ansible_collections.postamt.mail.plugins.plugin_utils._model import (
    schema,  # noqa: E402
    variables,  # noqa: E402
)

HEAD = """\
# Reference

Written by `make docs` from the declarations in `plugins/`; change those instead.

Variables of the site are set in the inventory, for group `mail`. Names of your own start with `mail_x_`.
"""


MARKUP = re.compile(r"\b[CIV]\(((?:[^()]|\([^()]*\))*)\)")  # of Ansible's documentation: code, italics, values


def title(name: str, about: str) -> str:
    """Return a concern's name as its docstring spells it: tls is TLS."""
    plain = name.replace("_", " ")
    first = next((word for word in re.findall(r"\w+", about) if word.lower() == plain), plain)
    return first[0].upper() + first[1:]


def words(kind: t.Any) -> str:
    """Say a type in words."""
    if kind in schema.TYPE_WORDS:
        return schema.TYPE_WORDS[kind]
    origin, arguments = t.get_origin(kind), t.get_args(kind)
    if origin is list:
        return f"list of {words(arguments[0])}"
    if origin is dict:
        return f"mapping from {words(arguments[0])} to {words(arguments[1])}"
    if origin is t.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin in (t.Union, types.UnionType):
        return words(next(one for one in arguments if one is not types.NoneType))
    return f"mapping ({kind.__name__}, below)"


def nested(kind: t.Any) -> t.Iterator[type]:
    """Yield the mappings that a type is made of."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
    for argument in t.get_args(kind):
        yield from nested(argument)


def default(field: dataclasses.Field[t.Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        value: t.Any = field.default_factory()
    elif field.default is dataclasses.MISSING:
        return "required"
    else:
        value = field.default
    if dataclasses.is_dataclass(value):
        value = {}
    return "" if value in (None, "") else f"`{json.dumps(value)}`"


def table(kind: type) -> list[str]:
    """Return a table of a declaration's fields."""
    lines = ["| name | type | default | what for |", "|---|---|---|---|"]
    for field in dataclasses.fields(kind):
        about = field.metadata["doc"] + (
            f" Example: `{field.metadata['example']}`" if field.metadata["example"] else ""
        )
        cells = [f"`{field.name}`", words(schema.field_types(kind)[field.name]), default(field), about]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def section(title: str, about: str, kind: type) -> list[str]:
    lines = [f"### {title}", "", about.strip(), "", *table(kind)]
    seen: set[type] = set()
    for field in schema.field_types(kind).values():
        for inner in nested(field):
            if inner not in seen:
                seen.add(inner)
                lines += [f"{inner.__name__}: {inspect.getdoc(inner) or ''}".split("(")[0].strip(), "", *table(inner)]
    return lines


def plugins(kind: str, folder: str, pattern: str) -> list[str]:
    """Return the table of the collection's modules or filters, as each documents itself."""
    names = sorted(f"postamt.mail.{path.stem}" for path in (REPOSITORY / "plugins" / folder).glob(pattern))
    asked = ["ansible-doc", "--json", "--type", kind, *names]
    found = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    about = f"`ansible-doc -t {kind} postamt.mail.NAME` shows each in full."
    lines = [f"## {folder.capitalize().removesuffix('s')}s", "", about, "", f"| {kind} | what for |", "|---|---|"]
    lines += [f"| `{name}` | {found[name]['doc']['short_description']} |" for name in names]
    return [*lines, ""]


def roles() -> list[str]:
    """Return the table of each role's own variables, from its argument_specs."""
    lines = ["## Roles", "", "| variable | type | what for |", "|---|---|---|"]
    for path in sorted((REPOSITORY / "roles").glob("*/meta/argument_specs.yml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        for name, option in (spec.get("options") or {}).items():
            told = option["description"]
            text = MARKUP.sub(r"`\1`", " ".join(told if isinstance(told, list) else [told]))
            lines.append(f"| `{name}` | {option['type']} | {text} |")
    return [*lines, ""]


def main() -> None:
    lines = [HEAD, "## Variables of the site", ""]
    lines += section("The site", variables.SiteVariables.__doc__ or "", variables.SiteVariables)
    lines += section("A host", variables.HostVariables.__doc__ or "", variables.HostVariables)
    for name, concern in compose.concerns().items():
        if hasattr(concern, "Variables"):
            about = (concern.__doc__ or "").split("\n\n")[0]
            lines += section(title(name, about), about, concern.Variables)
    lines += [*roles(), *plugins("module", "modules", "*.py"), *plugins("filter", "filter", "*.yml")]
    (REPOSITORY / "docs" / "reference.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

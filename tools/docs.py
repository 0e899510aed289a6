#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write docs/reference.md, and what ansible-doc shows of role site: every variable of the site and of a host.

Variables are shown as they are declared; roles, modules and filters as they document themselves.
"""

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
    value_types,  # noqa: E402
    variables,  # noqa: E402
)
from ansible_collections.postamt.mail.tools.generate import MARKUP, as_yaml  # noqa: E402

HEAD = """\
# Reference

Written by `make generate` from the declarations in `plugins/`; change those instead.

Variables of the site are set in the inventory, for group `mail`. Names of your own start with `mail_x_`.
`ansible-doc -t role postamt.mail.site` shows them in a terminal.
"""

SPECS = REPOSITORY / "roles" / "site" / "meta" / "argument_specs.yml"
SPECS_HEAD = """\
# Written by `make generate` from the declarations in `plugins/`; change those instead.
# No entry point is called main: so Ansible checks nothing by this file. The playbook checks, and shows no secret.
---
"""
ENTRY_POINTS: dict[str, dict[str, t.Any]] = {
    "site": {
        "short_description": "Variables of the site",
        "description": [
            "What the site is: domains, accounts, certificates, filters and so on. Set these variables in the "
            "inventory, for group `mail`. A site needs `mail_domains` only.",
            "Run the playbook `postamt.mail.site`. It checks the variables first, and an unknown name or a wrong value "
            "stops the run before a host is touched. Names of your own start with `mail_x_`.",
            "A size is a number of bytes, or has a unit: K, M, G or T, which are powers of 1024.",
            "Further settings of a program are documented by its role, such as `postamt.mail.postfix`.",
        ],
        "examples": (REPOSITORY / "examples" / "single-host" / "hosts.yml").read_text(encoding="utf-8"),
    },
    "host": {
        "short_description": "Variables of a host",
        "description": ["What is said of one host. What the host does follows from its groups."],
        "examples": """\
# Inventory names are no host names here, and one server of the site's owner sends mail as wiki@example.org.
mail:
  children:
    mail_mx:
      hosts:
        front: {mail_host_name: mx1.example.org, mail_host_addresses: [192.0.2.25, "2001:db8::25"]}
    mail_store:
      hosts:
        back: {mail_host_name: store1.example.org}
    mail_client:
      hosts:
        app1.example.org: {mail_client_senders: [wiki@example.org]}
  vars:
    ansible_user: root
    mail_server_name: mail.example.org
    mail_domains: [example.org]
    mail_accounts:
      - address: alice@example.org
""",
    },
}
OPTION_TYPES = {bool: "bool", int: "int", float: "float", value_types.Path: "path", t.Any: "raw"}
ANY_NUMBER: range = inspect.signature(schema.var).parameters["within"].default


def title(name: str, about: str) -> str:
    """Return a concern's name as its docstring spells it: tls is TLS."""
    plain = name.replace("_", " ")
    first = next((word for word in re.findall(r"\w+", about) if word.lower() == plain), plain)
    return first[0].upper() + first[1:]


def words(kind: t.Any) -> str:
    """Say a type in words."""
    if kind in value_types.TYPE_WORDS:
        return value_types.TYPE_WORDS[kind]
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


def default(field: dataclasses.Field[t.Any], kind: t.Any) -> t.Any:
    """Return a field's default as an inventory would say it, or MISSING where the field is required."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if dataclasses.is_dataclass(field.default):
        return {}
    return size(field.default) if kind is value_types.Size and isinstance(field.default, int) else field.default


def size(number: int) -> str:
    """Return a number of bytes with the largest unit that divides it: 52428800 is 50M."""
    unit = next((power for power in (4, 3, 2, 1) if number and number % (1 << 10 * power) == 0), 0)
    return f"{number >> 10 * unit}{('', *'KMGT')[unit]}"


def table(kind: type) -> list[str]:
    """Return a table of a declaration's fields."""
    lines = ["| name | type | default | what for |", "|---|---|---|---|"]
    for field in dataclasses.fields(kind):
        about = field.metadata["doc"] + (
            f" Example: `{field.metadata['example']}`" if field.metadata["example"] else ""
        )
        of = schema.field_types(kind)[field.name]
        value = default(field, of)
        if value is dataclasses.MISSING:
            shown = "required"
        elif value in (None, ""):
            shown = ""
        else:
            shown = f"`{value if of is value_types.Size else json.dumps(value)}`"
        cells = [f"`{field.name}`", words(of), shown, about]
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
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].get("main", {})
        for name, option in (spec.get("options") or {}).items():
            told = option["description"]
            text = MARKUP.sub(r"`\1`", " ".join(told if isinstance(told, list) else [told]))
            lines.append(f"| `{name}` | {option['type']} | {text} |")
    return [*lines, ""]


def options(kind: type) -> dict[str, t.Any]:
    """Return a declaration's fields as options of argument_specs."""
    found: dict[str, t.Any] = {}
    for field in dataclasses.fields(kind):
        of = schema.field_types(kind)[field.name]
        option = {"description": [marked(text) for text in told(field, of)], **option_type(of)}
        value = default(field, of)
        if value is dataclasses.MISSING:
            option["required"] = True
        elif value not in (None, ""):
            option["default"] = value
        if field.metadata["secret"]:
            option["no_log"] = True
        found[field.name] = option
    return found


def option_type(kind: t.Any) -> dict[str, t.Any]:
    """Return a type as argument_specs names it, which has no word for the values of a mapping with free keys."""
    origin, arguments = t.get_origin(kind), t.get_args(kind)
    if origin in (t.Union, types.UnionType):
        return option_type(next(one for one in arguments if one is not types.NoneType))
    if dataclasses.is_dataclass(kind):
        return {"type": "dict", "options": options(t.cast(type, kind))}
    if origin is list:
        item = option_type(arguments[0])
        return {"type": "list", "elements": item.pop("type"), **item}
    if origin is dict:
        return {"type": "dict"}
    if origin is t.Literal:
        return {"type": "str", "choices": list(arguments)}
    return {
        "type": OPTION_TYPES.get(kind, "str"),
        **({"no_log": True} if kind in (value_types.Secret, value_types.Hash) else {}),
    }


def told(field: dataclasses.Field[t.Any], kind: t.Any) -> t.Iterator[str]:
    """Yield what a field is for, what it takes where its type does not say so, and its example."""
    yield field.metadata["doc"]
    inner = next(nested(kind), None)
    if inner:
        yield from (" ".join(part.split()) for part in (inspect.getdoc(inner) or "").split("\n\n"))
    innermost = innermost_type(kind)
    if t.get_origin(innermost) is dict and inner:
        yield f"Value: mapping from {words(t.get_args(innermost)[0])} to a mapping with these keys."
        yield from keys(inner)
    elif t.get_origin(innermost) is dict or innermost in set(value_types.TYPE_WORDS) - set(OPTION_TYPES) - {str}:
        yield f"Value: {words(kind)}."
    within = field.metadata["within"]
    if innermost is int and within != ANY_NUMBER:
        yield f"From {within[0]} to {within[-1]}."
    if field.metadata["example"]:
        yield f"Example: {literal(field.metadata['example'])}"


def innermost_type(kind: t.Any) -> t.Any:
    """Return what a type is a list of, or is where it is given."""
    if t.get_origin(kind) in (list, t.Union, types.UnionType):
        return innermost_type(next(one for one in t.get_args(kind) if one is not types.NoneType))
    return kind


def keys(kind: type, prefix: str = "") -> t.Iterator[str]:
    """Yield a sentence for each key of a mapping whose own place has no name."""
    for field in dataclasses.fields(kind):
        of = schema.field_types(kind)[field.name]
        inner = next(nested(of), None)
        value = default(field, of)
        what = "mapping" if inner else words(of)
        if value is dataclasses.MISSING:
            what += ", required"
        elif value not in (None, "", [], {}):
            what += f", by default {literal(str(value).lower() if isinstance(value, bool) else str(value))}"
        example = f" Example: {literal(field.metadata['example'])}" if field.metadata["example"] else ""
        yield f"`{prefix}{field.name}` ({what}): {field.metadata['doc']}{example}"
        if inner:
            yield from keys(inner, f"{prefix}{field.name}.")


def literal(text: str) -> str:
    """Return a value in Ansible's markup."""
    return "V(" + re.sub(r"([\\)])", r"\\\1", text) + ")"


def marked(text: str) -> str:
    """Return text with Ansible's markup for code instead of Markdown's."""
    return re.sub(r"`([^`]*)`", r"C(\1)", text)


def declared() -> dict[str, list[type]]:
    """Return the declarations of the variables by entry point."""
    concerns = [concern.Variables for concern in compose.concerns().values() if hasattr(concern, "Variables")]
    return {"site": [variables.SiteVariables, *concerns], "host": [variables.HostVariables]}


def specs() -> str:
    """Return the argument_specs of role site."""
    found = {}
    for name, said in ENTRY_POINTS.items():
        found[name] = {
            "short_description": said["short_description"],
            "description": [marked(text) for text in said["description"]],
            "options": {key: value for kind in declared()[name] for key, value in options(kind).items()},
            "examples": said["examples"].removeprefix("---\n"),
        }
    return SPECS_HEAD + as_yaml({"argument_specs": found})


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
    SPECS.write_text(specs(), encoding="utf-8")


if __name__ == "__main__":
    main()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts that another system exports, picked by a JMESPath expression (https://jmespath.org/specification.html).

What the file says becomes plain data by its extension: .csv a list of mappings by the header's names, .json and .yml
what they hold, .cf (docker-mailserver's postfix-accounts.cf) a list of mappings with address and password_hash. The
expression turns that into accounts. A text is then read as a list where the account's field is one, since a spreadsheet
knows nothing but text; all else is for the site model to take or to refuse, as of any other account.
"""

from __future__ import annotations

import csv
import json
import os
import re
import typing as t
from collections.abc import Callable, Mapping

import yaml
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, field_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import Account
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError, Vault

try:
    import jmespath
    from jmespath import functions
except ImportError:  # told when it is needed
    jmespath = None

VARIABLE = "mail_accounts_source"

if jmespath is not None:

    class Functions(functions.Functions):
        """What exports need beyond JMESPath's own functions."""

        @functions.signature({"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
        def _func_split(self, text: str, separator: str) -> list[str]:
            """split('a; b', ';') -> ['a', 'b']"""
            return [part.strip() for part in (text.split(separator) if separator else text.split()) if part.strip()]

        @functions.signature({"types": ["string"]}, {"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
        def _func_replace(self, text: str, old: str, new: str) -> str:
            """replace('smtp:a@example.org', 'smtp:', '') -> 'a@example.org'"""
            return text.replace(old, new)

        @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
        def _func_lower(self, text: str) -> str:
            """lower('SMTP:a') -> 'smtp:a'"""
            return text.lower()


def load(path: str, query: str = "@", vault: Vault | None = None) -> list[t.Any]:
    """Return the accounts that query finds in the file, as mail_accounts would list them.

    path: its extension says how it is read. query: JMESPath, with split, replace and lower besides. vault: opens a file
    that ansible-vault encrypted. Raises SiteError with one problem, which quotes nothing of the content.
    """
    if jmespath is None:
        raise _refusal("query", None, "needs the Python package jmespath on the controller: pip install jmespath")
    content = _content(path, _text(path, vault))
    try:
        found = jmespath.search(query, content, jmespath.Options(custom_functions=Functions()))
    except jmespath.exceptions.JMESPathTypeError as error:  # its own words would quote the value
        wanted = " or ".join(error.expected_types)
        allowed = f"gives function {error.function_name} a value of type {error.actual_type} where it takes {wanted}"
        raise _refusal("query", query, f"{allowed}; filter such records out first, as in [?mail]") from None
    except jmespath.exceptions.JMESPathError as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise _refusal("query", query, f"must be a JMESPath expression ({reason})") from None
    if not isinstance(found, list):
        what = {dict: "a mapping", type(None): "nothing"}.get(type(found), "a single value")
        raise _refusal("query", query, f"must turn the file's content into a list of accounts, and gives {what}")
    return [_account(item) for item in found]


def _text(path: str, vault: Vault | None) -> str:
    folder, name = os.path.split(path)
    try:
        data = State(folder, vault).read(name)
    except StateError as error:
        raise _refusal("file", None, str(error)) from None
    if data is None:
        allowed = "must be a file on the controller, relative to the folder that holds the inventory; there is none"
        raise _refusal("file", path, allowed)
    try:
        return data.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
    except UnicodeDecodeError:
        raise _refusal("file", path, "must be UTF-8 text; a spreadsheet exports it as CSV UTF-8") from None


def _content(path: str, text: str) -> t.Any:
    kind = os.path.splitext(path)[1].lower()
    readers: dict[str, Callable[[str], t.Any]] = {
        ".csv": _csv, ".json": json.loads, ".yml": yaml_load, ".yaml": yaml_load, ".cf": _cf,
    }  # fmt: skip
    if kind not in readers:
        raise _refusal("file", path, f"must have one of the extensions {', '.join(readers)}, which says how it is read")
    try:
        return readers[kind](text)
    except (ValueError, RecursionError, csv.Error, yaml.YAMLError) as error:
        line = getattr(error, "lineno", None) or getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        place = f", wrong in line {line}" if line else ""
        raise _refusal("file", path, f"is no valid {kind} file{place}") from None


def _csv(text: str) -> list[dict[str, str]]:
    """Return the lines that are not empty by the header's names (RFC 4180); semicolon and tab separate as well."""
    head = text.partition("\n")[0]
    lines = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t", key=head.count), strict=True)
    names = [name.strip() for name in next(lines, [])]
    return [dict(zip(names, cells, strict=False)) for cells in lines if any(cell.strip() for cell in cells)]


def _cf(text: str) -> list[dict[str, str]]:
    """Return docker-mailserver's accounts: address|hash, and after another | what Dovecot alone understands."""
    lines = [line.strip() for line in text.splitlines()]
    accounts = [line.split("|") for line in lines if line and not line.startswith("#")]
    if any(len(fields) < 2 for fields in accounts):
        raise ValueError("a line without |")
    return [{"address": fields[0].strip(), "password_hash": fields[1].strip()} for fields in accounts]


def _account(item: t.Any) -> t.Any:
    """Return an account with its texts read as its fields are meant; an empty one is as good as none."""
    if not isinstance(item, Mapping):
        return item
    kinds = field_types(Account)
    return {key: _value(kinds.get(key), value) for key, value in item.items() if not _empty(value)}


def _empty(value: t.Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _value(kind: t.Any, value: t.Any) -> t.Any:
    if isinstance(value, list):
        return [part for part in value if not _empty(part)]
    if not isinstance(value, str):
        return value
    if t.get_origin(kind) is list:
        return re.split(r"[\s,;]+", value.strip(" \t\r\n,;"))
    return value


def _refusal(key: str, value: str | None, allowed: str) -> SiteError:
    return SiteError([Problem(f"{VARIABLE}.{key}", value, allowed)])

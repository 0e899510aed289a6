# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts that another system exports (JSON, YAML or CSV), picked by a JMESPath expression."""

from __future__ import annotations

import csv
import io
import json
import typing as t

import yaml
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Problem, SiteError

VARIABLE = "mail_accounts_source"


def load(path: str, query: str = "@") -> list[t.Any]:
    """Return the accounts that query finds in the file; raises SiteError with one problem.

    path: its extension says how it is read (.csv with a header line, .json, else YAML). query: JMESPath.
    """
    try:
        import jmespath
    except ImportError:
        raise _refusal("file", path, "needs the Python package jmespath on the controller") from None
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            content = _content(path, file.read())
    except OSError as error:
        raise _refusal("file", path, f"cannot be read: {error.strerror}") from None
    except (ValueError, yaml.YAMLError):
        raise _refusal("file", path, "is not what its extension says (.csv, .json, .yml)") from None
    try:
        found = jmespath.search(query, content)
    except jmespath.exceptions.JMESPathError as error:
        raise _refusal("query", query, f"is no valid JMESPath expression: {str(error).splitlines()[0]}") from None
    if not isinstance(found, list):
        raise _refusal("query", query, "must turn the file's content into a list of accounts")
    return found


def _content(path: str, text: str) -> t.Any:
    if path.lower().endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text)))
    if path.lower().endswith(".json"):
        return json.loads(text)
    return yaml.safe_load(text)


def _refusal(key: str, value: str, allowed: str) -> SiteError:
    return SiteError([Problem(f"{VARIABLE}.{key}", value, allowed)])

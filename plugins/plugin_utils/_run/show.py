# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host would get, for people to read: plans by program, with secrets and secret files hidden."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

HIDDEN = "(hidden)"
_QUIET = ("secrets", "questions", "watch")  # what is for the module alone


def overview(site: Site, host: Host, overrides: Mapping[str, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return each program's plan: packages, units, files by path with their lines, entries.

    overrides: by program, its own variables as compose.plan() takes them.
    """
    plans = {name: compose.plan(name, site, host, overrides.get(name, {})) for name in compose.programs()}
    hide = _hider([*_secrets(site), *(secret for plan in plans.values() for secret in plan["secrets"])])
    return {name: hide(_readable(plan)) for name, plan in plans.items()}


def hidden(site: Site, secrets: Iterable[str], found: t.Any) -> t.Any:
    """Return what was found on a site, its secrets and these hidden."""
    return _hider([*_secrets(site), *secrets])(found)


def _readable(plan: compose.Plan) -> dict[str, t.Any]:
    shown = {key: value for key, value in plan.items() if key not in _QUIET and value not in ([], {}, None)}
    if "files" in shown:
        shown["files"] = {
            file["path"]: [HIDDEN] if file.get("secret") else forms.text(file).splitlines() for file in shown["files"]
        }
    return shown


def _secrets(site: Site) -> Iterable[str]:
    yield from site.secrets.known.values()
    for account in site.accounts:
        yield from (text for text in (account.password, account.password_hash) if text)


def _hider(secrets: Iterable[str]) -> t.Callable[[t.Any], t.Any]:
    words = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words)) or r"(?!)")

    def hide(value: t.Any) -> t.Any:
        if isinstance(value, str):
            return pattern.sub(HIDDEN, value)
        if isinstance(value, Mapping):
            return {key: hide(item) for key, item in value.items()}
        return [hide(item) for item in value] if isinstance(value, list | tuple) else value

    return hide

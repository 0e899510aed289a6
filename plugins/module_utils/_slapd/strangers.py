# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory of somebody else on this host: what changes for it, and whom it serves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.adopt import Comparison
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, offline
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import DEFAULTS, RECORD
from ansible_collections.postamt.mail.plugins.module_utils._slapd.process import UNIT, listens_as, services, text_of


def compare(plan: Mapping[str, Any]) -> Comparison:
    """Say what changes for databases of somebody else: ours comes beside them, but they share cn=config."""
    if not plan["wanted"] or files.load(RECORD) or not shutil.which("slapcat"):
        return Comparison()
    tree = offline.Files().search(config.GLOBAL, "subtree")
    shared = [c for c in config.changes(plan["config"], tree, {}) if c.dn in (config.GLOBAL, config.FRONTEND)]
    used = foreign_suffixes(plan["config"]["suffix"], tree)
    if not used and not any(request.before for request in shared):
        return Comparison()
    listens, listen = services(text_of(DEFAULTS)), listens_as(plan["listen"])
    lines = [f"-{DEFAULTS}: {listens}\n", f"+{DEFAULTS}: {listen}\n"] if listens != listen else []
    lines += [f"-{line}\n" for request in shared for line in request.before]
    lines += [f"+{line}\n" for request in shared for line in request.after]
    served = f" (which serves {', '.join(used)})" if used else ""
    return Comparison([f"cn=config{served}"], "".join(["--- cn=config\n+++ wanted\n", *lines]))


def foreign_suffixes(own: str, tree: config.Tree) -> list[str]:
    """Return the suffixes of databases that serve somebody else's entries: one that does not run serves nobody.

    own: the suffix of this collection's. tree: all of cn=config.
    """
    suffixes = [suffix for entry in tree.values() for suffix in entry.get("olcSuffix", [])]
    running = units.states([UNIT])[UNIT].active
    return [suffix for suffix in suffixes if running and suffix != own and offline.used(suffix)]

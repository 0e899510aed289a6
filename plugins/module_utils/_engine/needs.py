# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be on a host before a program's files: packages and users; the action brings them with stock modules."""

from __future__ import annotations

import grp
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, rivals, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report, Stop

Missing = dict[str, list[Any]]  # packages, users, and units that were `stopped` for a package


def missing(plan: Mapping[str, Any], report: Report) -> Missing:
    """Return packages that are not installed and users that are not there, as the action creates them."""
    if not plan["wanted"]:
        return {}
    found: Missing = {}
    names = plan["packages"]
    if names:
        there = installed(names)
        found["packages"] = [name for name in names if name not in there]
    found["users"] = [user for user in plan["users"] if not has_user(user)]
    if report.dry and found.get("packages"):
        report.did("installed", "install", packages(found["packages"]))
    for user in found["users"] if report.dry else ():
        report.did("created", "create", f"user {user['name']}")
    return {kind: items for kind, items in found.items() if items}


def installed(names: Sequence[str]) -> set[str]:
    """Return those of some packages that are installed, by one call of dpkg-query(1)."""
    if not names:
        return set()
    listed = units.output("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *names, check=False)
    return {line.split()[1] for line in listed.stdout.splitlines() if line.startswith("installed ")}


def stop_rivals(plan: Mapping[str, Any], lacking: Missing, report: Report) -> list[str]:
    """Stop other mail servers where Postfix is to be installed and they may be; apt would leave them running.

    Returns their units, to be started again where no package comes; raises Stop where they may not be stopped.
    """
    found = rivals.found() if "postfix" in lacking.get("packages", ()) else []
    if found and not plan.get("adopt"):
        raise Stop(rivals.refusal(found))
    stopped = []
    for name in (name for rival in found for name in rival.units):
        if report.did("stopped", "stop", name):
            units.act("stop", name)
            stopped.append(name)
    return stopped


def packages(names: list[str]) -> str:
    """Return one or several packages by name, as in a sentence."""
    return f"package{'s' if len(names) > 1 else ''} {', '.join(names)}"


def has_user(user: Mapping[str, Any]) -> bool:
    """Tell whether a user of the plan exists, with its number and in its groups."""
    uid = files.uid_of(user["name"])
    if uid is None or user["uid"] not in (None, uid):
        return False
    return all(in_group(user["name"], group) for group in user["groups"])


def in_group(user: str, group: str) -> bool:
    """Tell whether a user is a member of a group."""
    try:
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At which change a directory is, and all that it holds: what replicas and a move to another host go by."""

from __future__ import annotations

import base64
import datetime
import time

from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection

# What slapd derives by itself, and does not take
_DERIVED = ("entryDN", "subschemaSubentry", "hasSubordinates")
_CLOCKS = 2  # seconds by which clocks may differ


def as_ldif(connection: Connection, suffix: str) -> str:
    """Return all entries as slapadd(8) takes them, with what they are at (entryUUID, entryCSN, contextCSN)."""
    tree = connection.search(suffix, "subtree", names=["*", "+"])
    blocks = []
    for dn, attributes in sorted(tree.items(), key=lambda item: item[0].count(",")):
        pairs = [("dn", dn), *((n, v) for n, values in attributes.items() if n not in _DERIVED for v in values)]
        coded = ((name, base64.b64encode(v.encode("utf-8", "surrogateescape")).decode()) for name, v in pairs)
        blocks.append("".join(f"{name}:: {value}\n" for name, value in coded))
    return "\n".join(blocks)


def state(connection: Connection, suffix: str) -> str:
    """Return at which change a directory is (contextCSN of RFC 4533's authors), empty where it has none."""
    found = connection.search(suffix, "base", names=["contextCSN"])
    return max((value for entry in found.values() for value in entry.get("contextCSN", [])), default="")


def changes_of(connection: Connection, suffix: str) -> dict[str, list[str]]:
    """Return by DN at which change each entry is."""
    found = connection.search(suffix, "subtree", names=["entryCSN"])
    return {dn: entry.get("entryCSN", []) for dn, entry in found.items()}


def late(change: str, now: float) -> str:
    """Return what is wrong with a clock that says `now` where a directory is at a change, empty if nothing."""
    if not change:
        return ""
    last = datetime.datetime.strptime(change[:14], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    behind = round(last.timestamp() - now)
    if behind <= _CLOCKS:
        return ""
    return (
        f"the clock here is {behind} seconds behind the directory's last change, and replicas ignore changes that "
        "look older: set the clock right (timedatectl(1)), here or where it was wrong, and run again"
    )


def refuse_late(connection: Connection, suffix: str) -> None:
    """Raise Failed where a change that is made now would be sent to no replica."""
    if wrong := late(state(connection, suffix), time.time()):
        raise Failed(wrong)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What slapd has in its files, read and written as its user.

What lies in that user's folders, links and modules to load among it, never acts with the rights of root.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, folders, units
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import USER


class Files(Connection):
    """What slapd would say if it ran, read from its files by slapcat(8); nothing where it is not installed."""

    def __init__(self) -> None:
        """Connect to nothing."""

    def search(self, base: str, scope: str, query: str = "", names: Iterable[str] = ()) -> config.Tree:
        if not shutil.which("slapcat"):
            return {}
        place = ("-n", "0") if base == config.GLOBAL else ("-b", base)
        found: config.Tree = {}
        for block in slapcat(*place).split("\n\n"):
            pairs = [line.partition(":") for line in block.splitlines() if line and not line.startswith("#")]
            entry: config.Attributes = {}
            for name, _colon, value in pairs:
                text = (
                    base64.b64decode(value[1:]).decode("utf-8", "surrogateescape")
                    if value.startswith(":")
                    else value[1:]
                )
                entry.setdefault(name, []).append(text)
            if "dn" in entry:
                found[entry["dn"][0]] = entry
        return found


def as_slapd(*command: str, check: bool = True, data: str | None = None) -> str:
    """Run a command as slapd's user, and return what it prints; data: its input."""
    return units.as_user(USER, *command, check=check, data=data).stdout


def slapcat(*place: str) -> str:
    """Return what a database has, as LDIF, from slapd's files; place: options of slapcat(8) that name it."""
    return as_slapd("slapcat", "-o", "ldif-wrap=no", *place, check=False)


def used(suffix: str) -> bool:
    """Tell whether a database holds more than the entries that Debian's package makes."""
    listed = slapcat("-b", suffix).splitlines()
    found = {line.partition(" ")[2].casefold() for line in listed if line.startswith("dn:")}
    return bool(found - {suffix.casefold(), f"cn=admin,{suffix}".casefold()})


def make_folder(path: str) -> None:
    files.make_folder(path, 0o700, folders.number(files.uid_of, USER), folders.number(files.gid_of, USER))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of the site that have another name now, or are gone: a run that meets one says what to write instead."""

from __future__ import annotations

RENAMED: dict[str, str] = {}  # the former name -> the name of now, which takes the same values
REMOVED: dict[str, str] = {}  # the former name -> what to do instead, as the end of "is gone: ..."


def successor(name: str) -> str | None:
    """Return what is wrong with a variable that there was once; None for one that there never was."""
    if name in RENAMED:
        return f"is called {RENAMED[name]} now"
    if name in REMOVED:
        return f"is gone: {REMOVED[name]}"
    return None

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In what the certificates differ from other programs: what tells that they are as a run left them."""

from __future__ import annotations

import grp
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._tls import commands
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import CA, CHAIN, FOLDER, GROUP, KEY, Store


class Certificates(Program):
    reloads = False  # the command is read whenever it starts

    def evidence(self) -> dict[str, Any]:
        """Return digests of each certificate's chain and key, and of the site's CA."""
        places = {name: f"{FOLDER}/{name}" for name in store_here().names()}
        pairs = {name: [f"{place}/{part}" for part in (CHAIN, KEY)] for name, place in places.items()}
        found = {f"certificate {name}": [*map(files.digest, paths)] for name, paths in pairs.items()}
        return {**found, "the site's CA": files.digest(f"{FOLDER}/{CA}")}

    def seen(self) -> dict[str, Any]:
        """Return what lies here: a run has found that keys and chains match, and the evidence is that of its."""
        return store_here().seen(matched=True)

    def settles(self) -> bool:
        return all(one["matches"] and one["guarded"] for one in store_here().seen()["served"].values())


def store_here() -> Store:
    """Return the certificates of this host."""
    try:
        gid = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        gid = -1  # its package is missing yet
    return Store(FOLDER, gid, commands.run)

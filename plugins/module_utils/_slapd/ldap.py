# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In what slapd differs from other programs: what tells that the directory is as it was left."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, host, needs
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import CONFIG_FILTER, Connection
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import PID_FILE, RECORD, USER


class Slapd(Program):
    """What tells that the directory is as a run left it."""

    evidence_needs = ("suffix", "key_group")

    def evidence(self) -> dict[str, Any]:
        """Return digests of cn=config and of all entries, and how the process was started."""
        if not self.enabled:
            return {}
        connection = Connection(wait=0.0)
        process = files.text(PID_FILE).strip()
        said = files.text(f"/proc/{process}/status")
        return {
            "cn=config": _digest_of(connection.search(config.GLOBAL, "subtree", CONFIG_FILTER)),
            "the directory": connection.digest(self.plan["suffix"]),
            "the group of slapd's user": needs.in_group(USER, self.plan["key_group"]),
            "what slapd runs with": [
                files.text(f"/proc/{process}/cmdline"),
                re.findall(r"(?m)^Groups:.*$", said),
                files.readlink(f"/proc/{process}/exe").endswith(" (deleted)"),
            ],
            "the record of the directory": files.digest(RECORD),
            "a directory to be taken up": files.exists(host.ARRIVING),
        }


def _digest_of(tree: config.Tree) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory's way to another host: taken from one, brought to the other, and then closed on the first.

The next run of the program ldap on the other host takes up what was brought. Until it is there, the first host keeps
everything and answers lookups, but takes no changes; so whatever is interrupted can be done again.
"""

from __future__ import annotations

import base64
import json
import os
import time
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, host
from ansible_collections.postamt.mail.plugins.module_utils._engine.locks import alone
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import STATE
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, replica
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection, send
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import RECORD

MOVED = os.path.join(STATE, "ldap", "moved.json")  # what the record said of entries that are elsewhere now


def packed(content: dict[str, Any]) -> str:
    """Return what travels: entries and record, as text."""
    return base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """Return what was packed; raises ValueError."""
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return found


def take(suffix: str, name: str) -> dict[str, Any]:
    """Have the directory here take no more changes, and return its entries with the record of what was applied.

    name: this host's, for people.
    """
    record = files.load(RECORD)
    if "accounts" not in record:
        return files.load(host.ARRIVING)  # it was on its way to this host
    if record.get("under_way"):
        raise Failed(
            "an earlier run was interrupted here: let postamt.mail.site finish it with the old inventory first"
        )
    connection = Connection()
    replica.refuse_late(connection, suffix)
    (place,) = connection.search(config.GLOBAL, "subtree", f"(olcSuffix={suffix})", ["1.1"]) or [""]
    if not place:
        raise Failed(f"slapd has no database {suffix}")
    settings = record["config"]["database"]
    if "olcReadOnly" not in settings:  # as something that was set, so that a run of the old inventory takes it back
        settings.append("olcReadOnly")
        files.save(RECORD, record)
    closing = config.ConfigRequest(
        place, "a directory that is moved", None, [("replace", "olcReadOnly", ["TRUE"])], [], [], []
    )
    send(connection, closing)
    kept = {name: value for name, value in record.items() if name != "config"}
    change = replica.state(connection, suffix)
    return {"from": name, "ldif": replica.as_ldif(connection, suffix), "record": kept, "state": change}


def import_entries(content: dict[str, Any]) -> None:
    """Keep entries and record for the next run."""
    if "accounts" in files.load(RECORD):
        raise Failed("this host holds accounts of its own, which are not overwritten")
    if wrong := replica.late(content.get("state", ""), time.time()):
        raise Failed(wrong)
    files.private_folder(os.path.dirname(host.ARRIVING))
    files.save(host.ARRIVING, content)


def close() -> None:
    """Say of this host that its entries are elsewhere now; its database stays."""
    record = files.load(RECORD)
    if "accounts" in record:
        files.save(MOVED, record)
        files.save(RECORD, {"config": record["config"]})
    elif files.exists(host.ARRIVING):
        files.remove(host.ARRIVING)


def apply(module: AnsibleModule) -> None:
    """Do the request's `step`; ends the module."""
    request, answer = module.params["request"], {}
    try:
        with alone("ldap"):
            if request["step"] == "take":
                content = take(request["suffix"], request["name"])
                answer = {"data": packed(content), "accounts": len(content["record"]["accounts"])}
            elif request["step"] == "bring":
                import_entries(unpacked(request["data"]))
            else:
                close()
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **answer)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages with reports in mailboxes of this host: which there are, and their text; nothing is changed in a mailbox."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import units

SECONDS = "300"  # for one mailbox
NO_USER = 67  # what doveadm ends with (sysexits.h)
FIELDS = "mailbox-guid uid size.physical date.received.unixtime"
LATEST = 10**10 - 1  # seconds since 1970


def query(addresses: list[str], since: str, before: str) -> list[str]:
    """Return the search for messages that look like reports (doveadm-search-query(7)): the mailbox may be a person's.

    RFC 7489 and RFC 8460 say what their subject begins with. What else is a report says so and is to the address.
    """
    to = [word for address in addresses for word in ("OR", "HEADER", "To", address)][1:]
    report = ["(", *to, ")", "SUBJECT", "report"]
    looks = ["(", "SUBJECT", "Report Domain", "OR", "HEADER", "TLS-Report-Domain", "", "OR", "(", *report, ")", ")"]
    return ["SINCE", since, "BEFORE", before, *looks]


def fetched(user: str, fields: str, *search: str) -> tuple[list[dict[str, Any]], str]:
    """Return what doveadm says of messages, and its complaint."""
    if set(user) & set("*?"):  # doveadm would look into several mailboxes
        return [], f"{user} is no mailbox"
    found = units.output("timeout", SECONDS, "doveadm", "-f", "json", "fetch", "-u", user, fields, *search, check=False)
    if found.returncode == NO_USER:
        return [], f"there is no mailbox of {user}"
    try:
        rows = json.loads(found.stdout or "[]", strict=False)
    except ValueError:
        rows = []
    said = " ".join(found.stderr.split())[:300] or f"doveadm ended with {found.returncode}"
    why = f"not all of the mailbox of {user} could be read: {said}" if found.returncode else ""
    return [row for row in rows if isinstance(row, dict)], why


def listed(request: dict[str, Any]) -> dict[str, Any]:
    """Return the newest messages that look like reports, how many more there are, and what could not be read."""
    messages: list[dict[str, Any]] = []
    notes = []
    for user in request["users"]:
        search = query(request["addresses"], request["since"], request["before"])
        rows, why = fetched(user, FIELDS, *search)
        notes += [why] if why else []
        for row in rows:
            size, time = (int(row[name]) for name in ("size.physical", "date.received.unixtime"))
            messages.append(
                {
                    "user": user,
                    "mailbox": row["mailbox-guid"],
                    "uid": int(row["uid"]),
                    "size": size,
                    "time": str(min(max(time, 0), LATEST)),
                }
            )
    messages.sort(key=lambda one: int(one["time"]), reverse=True)
    most = request["most"]
    return {"messages": messages[:most], "more": len(messages[most:]), "notes": notes}


def texts(request: dict[str, Any]) -> dict[str, Any]:
    """Return the text of messages of one mailbox; one may be gone by now."""
    guid, uids = request["mailbox"], request["uids"]
    if not re.fullmatch("[0-9a-f]{32}", guid):
        raise units.Failed(f"{guid} is no mailbox")
    rows, why = fetched(
        request["user"], "uid text", "mailbox-guid", guid, "uid", ",".join(str(int(uid)) for uid in uids)
    )
    found = [
        {"uid": int(row["uid"]), "text": base64.b64encode(row["text"].encode(errors="replace")).decode()}
        for row in rows
    ]
    return {"texts": found, "notes": [why] if why else []}


def apply(module: AnsibleModule) -> None:
    """Return what the request asks for; ends the module."""
    request: dict[str, Any] = module.params["request"]
    try:
        answer = texts(request) if "uids" in request else listed(request)
    except (units.Failed, KeyError, TypeError, ValueError) as error:
        module.fail_json(msg=f"reports: {error}")
    module.exit_json(changed=False, actions=[], **answer)

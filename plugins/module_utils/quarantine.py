# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail that amavis keeps in the quarantine: what is there, and letting some of it go."""

from __future__ import annotations

import contextlib
import os
from email.errors import MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils import files, units

HEADER = 1 << 20  # bytes of a message in which its header ends
FIELD = 1000  # characters of a field that people are shown
LATEST = 10**10 - 1  # seconds since the epoch


def listed(folder: str) -> tuple[list[dict[str, str]], list[str]]:
    """Return the mail in the quarantine, oldest first: id, time of arrival, reason, sender, recipients, subject.

    And why something there was passed over, one sentence each: amavis, which reads strangers' mail, may write there.
    """
    found, strange = [], []
    for name, status in files.tree(folder):
        if not name.isprintable():
            strange.append(f"{folder}/{name!r} has a name that amavis gives to no mail: look at it and move it away")
            continue
        try:
            content = files.beginning(os.path.join(folder, name), HEADER)
        except FileNotFoundError:
            continue  # it has just been released or has expired
        except OSError as error:
            strange.append(str(error))
            continue
        header = BytesHeaderParser().parsebytes(content)
        found.append(
            {
                "id": name,
                "time": str(min(max(int(status.st_mtime), 0), LATEST)),
                "reason": _text(header.get("X-Amavis-Alert", os.path.basename(name).partition("-")[0])),
                "sender": _text(header.get("X-Envelope-From", "")),
                "recipients": _text(header.get("X-Envelope-To", "")),
                "subject": _text(header.get("Subject", "")),
            }
        )
    return sorted(found, key=lambda one: (int(one["time"]), one["id"])), strange


def _text(value: Any) -> str:
    """Return a field of a stranger's header for people, as it stands where it cannot be decoded."""
    value = str(value)[:FIELD]
    with contextlib.suppress(LookupError, ValueError, MessageError):
        value = str(make_header(decode_header(value)))
    return " ".join("".join(char if char.isprintable() else " " for char in value).split())


def carry_out(module: AnsibleModule) -> None:
    """Return what is in the quarantine, and release the mail that the request names; ends the module."""
    units.serve(module)
    request: dict[str, Any] = module.params["request"]
    folder = request["folder"]
    mails, strange = listed(folder)
    wanted = request.get("release") or []
    unknown = sorted(set(wanted) - {mail["id"] for mail in mails})
    if unknown:
        module.fail_json(msg=f"release: {', '.join(unknown)} is not in the quarantine of this host")
    actions: list[str] = []
    for name in wanted:
        if not module.check_mode:
            found = units.as_user("amavis", "amavisd-release", name, check=False)
            said = (found.stderr + found.stdout).strip()  # it prints amavis's answer as if it were an error
            if found.returncode or not said.startswith("250"):
                module.fail_json(msg=f"{name} was not released: {said}", actions=actions, changed=bool(actions))
        actions.append(f"{'would release' if module.check_mode else 'released'} {name}")
    module.exit_json(changed=bool(actions), actions=actions, mails=mails, notes=strange)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail that amavis keeps in the quarantine: what is there, and letting some of it go."""

from __future__ import annotations

import contextlib
import os
import re
from email.errors import MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, health, units

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


def refused(recipients: str) -> list[str]:
    """Return what Postfix says of recipients who get no mail any more, asking where it would take the mail itself."""
    # A host that does not send mail has a link to one that does, which knows the recipients.
    hop = re.fullmatch(
        r"\[127\.0\.0\.1\]:(\d+)", units.output("postconf", "-h", "relayhost", check=False).stdout.strip()
    )
    where = {"port": int(hop[1]) if hop else 25, "address": "127.0.0.1"}
    addresses = dict.fromkeys(re.findall(r"<([^<>\s]+@[^<>\s]+)>", recipients))
    asked = [{"kind": "smtp_rcpt", "arguments": {"recipient": address, **where}} for address in addresses]
    return [answer.text for answer in health.run(asked) if answer.verdict == health.NO]


def apply(module: AnsibleModule) -> None:
    """Return what is in the quarantine, and release the mail that the request names; ends the module."""
    request: dict[str, Any] = module.params["request"]
    folder = request["folder"]
    mails, notes = listed(folder)
    if not mails and files.folder(folder):
        notes.append("no mail is in the quarantine")
    names = request.get("release") or []
    unknown = sorted(set(names) - {mail["id"] for mail in mails})
    if unknown:
        module.fail_json(msg=f"release: {', '.join(unknown)} is not in the quarantine of this host")
    actions: list[str] = []
    recipients = {mail["id"]: mail["recipients"] for mail in mails}
    for name in names:
        # It would be bounced, to a sender who may be forged.
        if said := refused(recipients[name]):
            msg = f"{name} was not released: {'; '.join(said)}. The message is {folder}/{name} on this host"
            module.fail_json(msg=msg, actions=actions, changed=bool(actions))
        if not module.check_mode:
            found = units.as_user("amavis", "amavisd-release", name, check=False)
            answer = (found.stderr + found.stdout).strip()  # it prints amavis's answer as if it were an error
            if found.returncode or not answer.startswith("250"):
                module.fail_json(msg=f"{name} was not released: {answer}", actions=actions, changed=bool(actions))
        actions.append(f"{'would release' if module.check_mode else 'released'} {name}")
    module.exit_json(changed=bool(actions), actions=actions, mails=mails, notes=notes)

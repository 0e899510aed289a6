# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages to send in a test, each of which can be found again by a token."""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import secrets
from typing import Literal

Encoding = Literal["7bit", "8bit", "utf8"]


def new_token() -> str:
    """A word that no other message has: put it into the subject, and look for it in the mailbox."""
    return f"probe-{secrets.token_hex(8)}"


def message(
    sender: str, to: str, subject: str, body: str = "Hello.\n", encoding: Encoding = "7bit", **headers: str
) -> bytes:
    """A message (RFC 5322) with Date and a Message-ID of its own, its lines ending in CRLF.

    body      an empty one is half a spam to SpamAssassin, and some tokens in a subject are the other half
    encoding  how anything beyond ASCII travels: "7bit" encodes it, "8bit" leaves the body as UTF-8
              (RFC 6152), "utf8" the headers too (RFC 6532)
    headers   further ones, `X_Spam_Flag="YES"` for X-Spam-Flag; one that is already there is replaced
    """
    policy = email.policy.SMTPUTF8 if encoding == "utf8" else email.policy.SMTP
    made = email.message.EmailMessage(policy)
    made["From"] = sender or "MAILER-DAEMON"
    made["To"] = to
    made["Subject"] = subject
    made["Date"] = email.utils.localtime()
    made["Message-ID"] = f"<{secrets.token_hex(16)}@{sender.rpartition('@')[2] or 'probe.invalid'}>"
    if body.isascii():
        made.set_content(body)
    else:
        made.set_content(body, cte="quoted-printable" if encoding == "7bit" else "8bit")
    for key, value in headers.items():
        name = key.replace("_", "-")
        del made[name]
        made[name] = value
    return made.as_bytes()

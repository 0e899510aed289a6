# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Letters to postmaster about certificates that expire soon.

A host has this file as /usr/local/lib/postamt/warn.py.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import CHAIN, Store, chain_of

WARN_DAYS = (21, 7, 1)
_LETTER = """\
From: root
To: postmaster
Subject: {subject}
Auto-Submitted: auto-generated

Certificate {name} of {host}, which was issued by
{issuer},
{verb} on {end}.

- If the site's own CA issued it, or an ACME client that the site's variables
  switch on: run the playbook; it renews the one, and says what is wrong with
  the other.
- If you supply its files on the controller: replace them and run the playbook.
- If a program of yours brings it: that calls
  postamt-certificates install {name} CHAIN KEY
"""


def threshold(days: float, warned: int | None) -> int | None:
    """Return the threshold of WARN_DAYS that a certificate has passed and of which nobody has been told yet.

    days: left until it expires. warned: the last threshold that was told.
    """
    passed = min((limit for limit in WARN_DAYS if days <= limit), default=None)
    return passed if passed is not None and (warned is None or passed < warned) else None


def warn(store: Store, record: str, now: float, send: Callable[[str], object]) -> list[str]:
    """Send a letter for each certificate that expires soon, once a threshold; return what was done.

    record: the file that remembers it. now: seconds since the epoch.
    """
    told: dict[str, dict[str, Any]] = files.load(record)
    done = []
    for name in store.names():
        path = os.path.join(store.folder, name, CHAIN)
        leaf = chain_of(files.text(path))[:1]
        if not leaf:
            continue
        number = hashlib.sha256(leaf[0]).hexdigest()
        shown = store.openssl("x509", "-in", path, "-noout", "-enddate", "-issuer", "-nameopt", "RFC2253")
        said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        end = ssl.cert_time_to_seconds(said["notAfter"])
        before = told.get(name, {})
        due = threshold((end - now) / 86400, before.get("days") if before.get("certificate") == number else None)
        if due is None:
            continue
        verb = "expires" if end > now else "has expired"
        day = time.strftime("%Y-%m-%d", time.gmtime(end))
        host = socket.getfqdn()
        letter = _LETTER.format(
            subject=f"Certificate {name} of {host} {verb} on {day}", name=name, host=host, issuer=said["issuer"],
            verb=verb, end=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end)),
        )  # fmt: skip
        send(letter)
        told[name] = {"certificate": number, "days": due}
        files.private_folder(os.path.dirname(record))
        files.save(record, told)
        done.append(f"told postmaster that certificate {name} {verb} on {day}")
    return done

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter's test: whether amavis and its scanner find what they must, by the signatures that the last run wrote.

It hands amavis a message that is never delivered, since a policy bank of its own refuses it, whatever is in it; the
answer names what was found. While that is not right, the file DOWN is there, and the links (HAProxy) take the filter
for one that does not listen. Postmaster hears of it once a day, and of official signatures that are old.

A host has this file as /usr/local/lib/postamt/filter-test, so it needs nothing but files.py, which lies beside it, and
Python's standard library.
"""

# A command has no AnsibleModule that would run programs, print and end for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import argparse
import calendar
import os
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if __name__ != "__main__" or TYPE_CHECKING:
    from ansible_collections.postamt.mail.plugins.module_utils._engine import files
else:
    sys.dont_write_bytecode = True
    import files

DOWN = "/run/postamt-filter/down"
TOLD = "/run/postamt-filter/told"
STATE = "/var/lib/postamt/clamav"
SIGNATURES = "/var/lib/clamav"
OLD = 2  # days
# Seconds until a wrong answer counts, and that nobody listens: amavis takes a while to start
WRONG, SILENT, PAUSE = 10.0, 60.0, 5.0
PATIENCE = 100.0  # seconds for an answer: as long as Postfix waits (smtpd_proxy_timeout)
UNSCANNED = "the scanner does not answer, and mail passes unscanned (mail_antivirus_failure)"  # as the site wants it
# What the signature of this collection's own finds, and what every other scanner does
SAMPLES = (
    "postamt.mail filter test 6f1d2c0b9ae84f57",
    "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
)
_PART = "--part\r\nContent-Type: text/plain\r\n\r\n{}\r\n"
_MESSAGE = (
    "From: <{sender}>\r\nTo: <{sender}>\r\nSubject: test of the filter\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=part\r\n\r\n{parts}--part--\r\n"
)
_LETTER = """\
To: postmaster
Subject: The content filter of {host} {state}
Auto-Submitted: auto-generated

{reasons}

{what}
The test runs each minute: journalctl -u postamt-filter-test
"""
_IS_OUT = """\
Other hosts of the site pass this filter over, and go on with another one; where
there is no other, mail waits.
"""


def answer(where: str, client: str) -> str:
    """Return what amavis answers to the test message.

    where: the path of its socket. client: the address for which it has the policy bank.
    """
    sender = f"postmaster@{socket.getfqdn()}"
    content = _MESSAGE.format(sender=sender, parts="".join(map(_PART.format, SAMPLES)))
    with smtplib.LMTP(where, local_hostname="localhost", timeout=PATIENCE) as link:
        link.ehlo()
        code, said = link.docmd("XFORWARD", f"ADDR={client} NAME=filter-test")
        if code != 250:  # without it the message would be a real one
            return f"{code} {said.decode('utf-8', 'replace')}"
        try:
            link.sendmail(sender, [sender], content)
        except smtplib.SMTPRecipientsRefused as refused:
            code, said = refused.recipients[sender]
        except smtplib.SMTPResponseException as refused:
            code, said = refused.smtp_code, _bytes(refused.smtp_error)
    return f"{code} {said.decode('utf-8', 'replace')}".replace("\n", " ")


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def tested(where: str, client: str, virus: bool) -> str:
    """Return what is wrong with the answer, "" where it is right."""
    start = time.monotonic()
    while True:
        try:
            said = answer(where, client)
            break
        except (ConnectionRefusedError, FileNotFoundError) as error:  # it takes its socket away when it stops
            if time.monotonic() > start + SILENT:
                return f"amavis does not listen at {where}: {error}"
            time.sleep(PAUSE)
        except (OSError, smtplib.SMTPException) as error:
            return f"amavis does not answer at {where}: {error}"
    if said.startswith("554") and "UNCHECKED" in said:
        return UNSCANNED
    if not said.startswith("554") or (virus and "INFECTED" not in said):
        return f"amavis did not refuse the test message{' as a virus' if virus else ''}: {said}"
    return ""


def changed() -> Iterator[str]:
    """Yield a sentence for each file of signatures that is not as the last run wrote it."""
    if files.exists(f"{STATE}/pending/mark.json"):  # a run changes them right now
        return
    for path, digest in files.load(f"{STATE}/manifest.json").get("files", {}).items():
        if os.path.dirname(path) == SIGNATURES:
            yield from _difference(path, digest)


def _difference(path: str, digest: str) -> Iterator[str]:
    try:
        same = digest == files.digest(path)
    except files.Refused as refused:  # clamd's user may put anything in its place
        yield str(refused)
    else:
        if not same:
            yield f"{path} is not as the last run wrote it; the next run puts it right"


def outdated(now: float) -> str:
    """Return a sentence where the official signatures are old; now: seconds since the epoch."""
    made = max((_made(f"{SIGNATURES}/daily.{kind}") for kind in ("cvd", "cld")), default=0.0)
    if not made:
        return f"{SIGNATURES} has no official signatures (daily.cvd); look at: journalctl -u clamav-freshclam"
    days = int((now - made) / 86400)
    if days < OLD:
        return ""
    return f"the official signatures are {days} days old; look at: journalctl -u clamav-freshclam"


def _made(path: str) -> float:
    """Return when a database was made, by its head (ClamAV-VDB:24 Nov 2026 07-26 +0000:...), 0 where there is none."""
    try:
        day = files.beginning(path, 512).decode("ascii", "replace").split(":")[1]
        return float(calendar.timegm(time.strptime(day.rpartition(" ")[0], "%d %b %Y %H-%M")))
    except (OSError, ValueError, IndexError):
        return 0.0


def tell(reasons: Iterable[str], out: bool) -> None:
    """Write to postmaster, once a day as long as the same is wrong."""
    reasons = list(reasons)
    text = "\n".join(f"- {reason}" for reason in reasons)
    # What amavis says, after a colon, has another number each time.
    today = "\n".join([time.strftime("%F"), *(reason.partition(": ")[0] for reason in reasons)])
    if files.text(TOLD) == today:
        return
    state = "does not pass its test" if out else "is not as it should be"
    letter = _LETTER.format(host=socket.getfqdn(), state=state, reasons=text, what=_IS_OUT if out else "")
    subprocess.run(("sendmail", "-t", "-oi"), input=letter, text=True, check=True, timeout=60)
    files.replace(TOLD, today.encode())


def main() -> int:
    """Run the test; returns the exit status."""
    parser = argparse.ArgumentParser("filter-test", description="Test the content filter of this host.")
    parser.add_argument("where", help="where amavis listens: the path of a socket")
    parser.add_argument("client", help="the client's address for which amavis delivers nothing")
    parser.add_argument("--virus", action="store_true", help="a scanner has to find the virus in the message")
    parser.add_argument("--official", action="store_true", help="the official signatures have to be recent")
    given = parser.parse_args()
    start = time.monotonic()
    while True:
        wrong = [*filter(None, [tested(given.where, given.client, given.virus)]), *changed()]
        if not wrong or time.monotonic() > start + WRONG:
            break
        time.sleep(PAUSE)
    out = [reason for reason in wrong if reason != UNSCANNED]
    if out:
        files.replace(DOWN, "".join(f"{reason}\n" for reason in out).encode(), 0o644)  # the links read it
    else:
        files.remove(DOWN)
    reasons = [*wrong, *filter(None, [outdated(time.time()) if given.official else ""])]
    for reason in reasons:
        print(reason, file=sys.stderr, flush=True)
    try:
        if reasons:
            tell(reasons, bool(out))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"postmaster has not been told: {error}", file=sys.stderr)
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main())

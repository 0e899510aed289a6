# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command postamt-certificates: serve, install, next-key, warn.

A host has it as /usr/local/sbin/postamt-certificates, which calls this file in /usr/local/lib/postamt, where what it
imports lies too: it needs nothing but that, Python's standard library and openssl(1).
"""

# A command has no AnsibleModule that would print and end for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import argparse
import grp
import os
import sys
import time
from collections.abc import Sequence

from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls.commands import CertificateError, call, run
from ansible_collections.postamt.mail.plugins.module_utils._tls.lock import lock
from ansible_collections.postamt.mail.plugins.module_utils._tls.reload import STATE, serve
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import FOLDER, GENERATE, GROUP, Store
from ansible_collections.postamt.mail.plugins.module_utils._tls.warn import WARN_DAYS, warn

PUBLIC = "public"  # the certificate that users and other servers see
BROUGHT = "/etc/postamt/certificates.json"  # names of certificates that a program brings: what each must be for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser("postamt-certificates", description="The certificates of this mail host.")
    verbs = parser.add_subparsers(dest="command", required=True)
    verbs.add_parser("serve", help="reload exactly the programs that show another certificate than the one on disk")
    install = verbs.add_parser("install", help="take a new certificate, and serve it; for hooks of ACME clients")
    install.add_argument("name", help="such as public: a name of mail_certificates")
    chain = "file of the certificate and its intermediate certificates, PEM"
    install.add_argument("chain", type=os.path.abspath, help=chain)
    install.add_argument("key", type=os.path.abspath, help="file of its private key, PEM, without a pass phrase")
    following = verbs.add_parser("next-key", help="make the key that public has next, and print its SHA-256")
    following.add_argument("--type", choices=sorted(GENERATE), default="ec", help="as key_type of mail_certificates")
    verbs.add_parser("warn", help=f"write to postmaster of what expires in {', '.join(map(str, WARN_DAYS))} days")
    given = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        store = Store(FOLDER, grp.getgrnam(GROUP).gr_gid, run)
        with lock(600, whose=f"postamt-certificates {given.command}"):
            if given.command == "warn":
                record = f"{STATE}/certificates/warned.json"
                done = warn(store, record, time.time(), lambda letter: call("sendmail", "-t", "-oi", data=letter))
                problems: list[str] = []
            elif given.command == "next-key":
                if PUBLIC in files.load(BROUGHT):
                    raise CertificateError(f"another program brings certificate {PUBLIC}, and its key")
                done, problems = [store.prepared(PUBLIC, given.type)], []
            else:
                news = given.command == "install" and store.replaced(
                    given.name, given.chain, given.key, files.load(BROUGHT)
                )
                reloaded, problems = serve()
                done = [f"installed certificate {given.name}"] if news else []
                done += [f"reloaded {title}, since {why}" for title, why in reloaded.items()]
    except (CertificateError, OSError, KeyError) as error:
        print(f"postamt-certificates: {error}", file=sys.stderr)
        return 1
    print("; ".join(done) or "nothing to do")
    for problem in problems:
        print(f"postamt-certificates: {problem}", file=sys.stderr)
    return 1 if problems else 0

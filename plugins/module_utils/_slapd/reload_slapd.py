# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have slapd read its certificate again, connections being kept.

It does so when its TLS settings are replaced by the same values, all of them at once. A host has this file as
/usr/local/lib/postamt/reload-slapd, and the manifest of slapd names it as the way to reload.
"""

# A command has no AnsibleModule that would run programs, print and end for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import subprocess
import sys

ROOT = ("-Q", "-Y", "EXTERNAL", "-H", "ldapi:///")
NAMES = ("olcTLSCertificateFile", "olcTLSCertificateKeyFile", "olcTLSCACertificateFile")


def again(entry: str) -> str:
    """Return the change that replaces the TLS settings of an entry by themselves; both are LDIF."""
    lines = {line.partition(":")[0]: line for line in entry.splitlines()}
    settings = "-\n".join(f"replace: {name}\n{lines[name]}\n" for name in NAMES if name in lines)
    return f"dn: cn=config\nchangetype: modify\n{settings}"


def call(*command: str, data: str | None = None) -> str:
    """Return what a command prints; ends with its last line where it fails."""
    done = subprocess.run(command, input=data, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        sys.exit(f"{command[0]}: {words[-1]}")
    return done.stdout


if __name__ == "__main__":
    search = ("-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", "cn=config", *NAMES)
    call("ldapmodify", *ROOT, data=again(call("ldapsearch", *ROOT, *search)))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands of the host, for what runs there without an AnsibleModule.

A host has this file as /usr/local/lib/postamt/commands.py.
"""

# What runs as a command has no AnsibleModule that would run programs for it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}


class CertificateError(Exception):
    """The host cannot do what it was asked; the text says why."""


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run a command; returns exit code, output and errors, as AnsibleModule.run_command does."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def call(*command: str, data: str | None = None) -> str:
    """Return what a command prints; raises CertificateError with its last line where it fails. data: its input."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    except OSError as error:
        raise CertificateError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise CertificateError(f"{' '.join(command[:2])}: {words[-1]}")
    return done.stdout

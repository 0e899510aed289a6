# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates as openssl(1) makes them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SAN = ("-addext", "subjectAltName=DNS:mail.example.org")
OTHERS = ("-addext", "subjectAltName=DNS:other.example.net")


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def issue(folder: Path, name: str, days: int = 30, *more: str, key: str = "rsa:2048") -> tuple[Path, Path]:
    """Return the files of a new certificate and its key; more: options of openssl-req(1)."""
    chain, private = folder / f"{name}.pem", folder / f"{name}.key"
    arguments = ["openssl", "req", "-x509", "-newkey", key, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                 *(more or SAN), "-out", str(chain), "-keyout", str(private)]  # fmt: skip
    assert run(arguments)[0] == 0
    return chain, private

#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the real Postfix of each release's test image for its parameters, and write them as data for the checks."""

from __future__ import annotations

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "plugins/plugin_utils/_programs/postfix_parameters.json"
RELEASES = {"bookworm": "3.7", "trixie": "3.10"}


def main() -> None:
    found = {}
    for release, version in RELEASES.items():
        command = ["podman", "run", "--rm", f"localhost/postamt-test:{release}", "postconf", "-d"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found[version] = sorted({line.split(" = ")[0].split(" =")[0] for line in lines})
    TARGET.write_text(json.dumps(found, indent=0) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

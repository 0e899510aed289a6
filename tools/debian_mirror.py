"""Debian's mirrors as this machine's apt is configured, for the images that tools/hosts.py builds."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

FIELDS = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"
SUITES = ("trixie", "bookworm", "stable", "oldstable", "testing", "sid", "unstable")


class Mirrors(NamedTuple):
    """Where packages come from, and where their security updates come from."""

    packages: str
    security: str


DEFAULT = Mirrors("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


def mirrors(*options: str) -> Mirrors:
    """Return the mirrors to use: $DEBIAN_MIRROR, else apt's own, else Debian's for everybody.

    options: further words for apt-get(8). Security updates are beside $DEBIAN_MIRROR, under the usual name.
    """
    if wish := os.environ.get("DEBIAN_MIRROR"):
        return Mirrors(wish, f"{wish}-security")
    found: dict[str, str] = {}
    # apt knows who publishes a suite once its lists are fetched; before that, the names have to do
    for option, ours in (
        ("--release-info", lambda site, suite, origin: origin == "Debian"),
        ("--no-release-info", lambda site, suite, origin: suite in SUITES and "/debian" in site),
    ):
        for line in _targets(option, *options):
            site, suite, component, origin = (*line.split(" ", 3), "")[:4]
            suite, _, kind = suite.partition("-")
            # a plain image has neither certificates for https:// nor a list of mirrors
            if component == "main" and site.startswith("http://") and ours(site, suite, origin):
                found.setdefault("security" if kind == "security" else "packages", site)
    return DEFAULT._replace(**found)


def _targets(*options: str) -> list[str]:
    """Return a line for each index of packages that apt would fetch; none where apt is missing or misconfigured."""
    try:
        command = ["apt-get", *options, "indextargets", "--format", FIELDS, "Created-By: Packages"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []

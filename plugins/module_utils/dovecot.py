# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Dovecot checks a staged configuration, and takes a new one up."""

from __future__ import annotations

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.postamt.mail.plugins.module_utils import units
from ansible_collections.postamt.mail.plugins.module_utils.program import Contents, Program, run

MAIN = "/etc/dovecot/dovecot.conf"


class Dovecot(Program):
    name = "dovecot"
    title = "Dovecot"
    checker = "/usr/bin/doveconf"
    last = (MAIN,)
    age = 5.0  # a Sieve script must be older than what sievec made of it

    def product(self, build: str, path: str) -> str:
        return f"{path.removesuffix('.sieve')}.svbin"

    def build(self, build: str, path: str, stage: str) -> None:
        """Compile a global Sieve script (sievec(1)): deliveries run as users who could not write the result."""
        built = units.output("sievec", "-c", stage + MAIN, stage + path, stage + self.product(build, path), check=False)
        if built.returncode != 0:
            raise units.Failed("; ".join((built.stderr or built.stdout).replace(stage, "").strip().splitlines()[:3]))

    def build_in_place(self, build: str, path: str) -> None:
        """Compile it where it lies: a binary that names another script is compiled anew at each delivery."""
        # named, since without that it goes by what a running Dovecot has read
        units.output("sievec", "-c", MAIN, path)

    def check(self, stage: str) -> list[str]:
        """Ask doveconf for all of the settings, certificates opened (doveconf(1)); it tells the first error only."""
        version = units.output("dovecot", "--version", check=False).stdout
        strict = ["-e", "/bin/true"] if version.startswith("2.3") else ["-F"]
        if self.dry and not all(map(os.path.exists, _certificates(stage + MAIN))):
            strict = ["-n"]  # the strict way opens them, and an earlier task of this run would have made them
        found = units.output("doveconf", "-c", stage + MAIN, *strict, check=False)
        if found.returncode == 0:
            return []
        lines = [line for line in found.stderr.splitlines() if "Fatal" in line or "Error" in line or "Panic" in line]
        return [line.replace(stage, "") for line in lines[:1]] or [f"doveconf: exit code {found.returncode}"]

    def ports(self, stage: str) -> set[tuple[str, int]]:
        asked = ("doveconf", "-c", stage + MAIN)
        enabled = units.output(*asked, "-h", "protocols", check=False).stdout
        return listeners(units.output(*asked, "service", check=False).stdout, enabled)

    def changed_settings(self, old: Contents, new: Contents) -> list[str]:
        """Return the lines of dovecot.conf that came and went, and the other files."""
        was, now = ([line.strip() for line in (side.get(MAIN) or "").splitlines()] for side in (old, new))
        came = [line for line in now if line not in was]
        went = [f"no more {line}" for line in was if line not in now]
        others = [path for path in super().changed_settings(old, new) if path != MAIN]
        return [*(came + went if MAIN in new else ()), *others]


def listeners(services: str, protocols: str) -> set[tuple[str, int]]:
    """Return address (empty for all) and port of the enabled listeners, from what doveconf prints of both settings."""
    lines = [line.partition("=") for line in protocols.splitlines()]
    enabled = {name for names, _equals, value in lines if value.strip() != "no" for name in names.split()}
    found = set()
    for block in re.split(r"(?m)^service ", services):
        protocol = re.search(r"(?m)^  protocol = (\S+)", block)
        if protocol and protocol[1] not in enabled:
            continue
        for listener in re.findall(r"inet_listener [^{]*\{([^{}]*)\}", block):
            said = dict(re.findall(r"(?m)^\s*(port|address|listen) = (\S+)", listener))
            if said.get("port", "0") != "0":
                found.add((said.get("address") or said.get("listen") or "", int(said["port"])))
    return found


def _certificates(path: str) -> list[str]:
    """Return the certificate and key files that a dovecot.conf names."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^\s*ssl_(?:server_)?(?:cert|key)(?:_file)? = <?(/\S+)", file.read(), re.MULTILINE)


def carry_out(module: AnsibleModule) -> None:
    """Carry out the plan of the module's request; ends the module."""
    run(Dovecot(), module)

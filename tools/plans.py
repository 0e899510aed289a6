#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write what each host of the examples and of the scenarios would get, on both releases, without any host.

    tools/plans.py before                      at one commit
    tools/plans.py after; diff -r before after at another: a change of the code's structure changes no plan
    tools/plans.py folder --inventory mine/hosts.yml   inventories of one's own, each in a folder of its own

Generated passwords, addresses and keys are made up, and the same each time.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
INVENTORIES = [*REPOSITORY.glob("examples/*/hosts.yml"), *REPOSITORY.glob("molecule/*/inventory.yml")]
RELEASES = ("bookworm", "trixie")


def listed(inventory: Path) -> dict[str, Any]:
    """Return an inventory as Ansible reads it: groups' hosts, and each host's variables."""
    done = subprocess.run(["ansible-inventory", "-i", str(inventory), "--list"], check=True, stdout=subprocess.PIPE)
    text = done.stdout.decode().replace("{{ lookup('env', 'MOLECULE_PROJECT_DIRECTORY') }}", str(REPOSITORY))
    found: dict[str, Any] = json.loads(text)
    return found


def members(inventory: dict[str, Any], group: str) -> list[str]:
    content = inventory.get(group, {})
    below = [name for child in content.get("children", ()) for name in members(inventory, child)]
    return list(dict.fromkeys([*content.get("hosts", ()), *below]))


def plans(inventory: dict[str, Any], release: str, settled: bool) -> dict[str, Any]:
    """Return each host's plan of each program; settled: as on a host that has been set up."""
    from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
    from ansible_collections.postamt.mail.plugins.plugin_utils._model import dkim_keys
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import FUNCTIONS, HostInput, Look
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import field_types
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Secrets
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Count, IPAddress, Word
    from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import HostVariables

    class Made(Secrets):
        def get(self, name: str) -> str:
            return self.known.get(name, f"made-for-{name}")

    def keys_of(domain: str) -> dkim_keys.DomainKeys:
        """Return an Ed25519 key alone, as of a domain that brought it: no RSA key can be made from a seed."""
        seed = base64.b64encode(hashlib.sha256(domain.encode()).digest())
        return dkim_keys.DomainKeys(dkim_keys.KeySet("20000101", (dkim_keys.key_from(seed, "ed20000101"),)), kept=False)

    names = members(inventory, "mail")
    variables = inventory["_meta"]["hostvars"]
    hosts = {}
    for number, name in enumerate(names, 1):
        said = {key: variables[name][key] for key in field_types(HostVariables) if key in variables[name]}
        look = Look(
            release=Word(variables[name].get("lab_release", release)),
            memory=Count(8 << 30),
            cores=Count(2),
            addresses=[IPAddress(f"192.0.2.{number}"), IPAddress(f"2001:db8::{number}")],
            claimed=[Word(program) for program in compose.programs()] if settled else [],
        )
        mine = [group for group in inventory if name in members(inventory, group)]
        hosts[name] = HostInput(mine, said, look)
    site_variables = {key: value for key, value in variables[names[0]].items() if key.startswith("mail_")}
    site_variables = {key: value for key, value in site_variables.items() if key not in field_types(HostVariables)}
    site_variables["mail_state_dir"] = "/nowhere"
    groups = {str(group): members(inventory, group) for group in FUNCTIONS if group in inventory}
    site = parse_site(site_variables, hosts, compose.concerns().values(), groups=groups)
    site.secrets = Made()
    site.dkim_keys = {domain: keys_of(domain) for domain in site.domains}
    found = {}
    for name, host in site.hosts.items():
        for program in compose.programs():
            kinds = {kind: f"{program}_{kind}" for kind in ("settings", "services")}
            given = {kind: variables[name][word] for kind, word in kinds.items() if word in variables[name]}
            found[f"{name}.{program}"] = compose.plan(program, site, host, given)
    return found


def changed(inventory: dict[str, Any]) -> dict[str, Any]:
    """Return the inventory with the change that its scenario tries."""
    copy: dict[str, Any] = json.loads(json.dumps(inventory))
    for variables in copy["_meta"]["hostvars"].values():
        variables.update(variables.get("lab_change", {}))
    return copy


def readable(value: Any) -> Any:
    """Texts of several lines as lists, and files by their paths, so that a difference is a line's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return readable(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): readable(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) and "path" in item for item in value):
        return {item["path"]: readable(item) for item in value}
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    if isinstance(value, str) and "\n" in value:
        return value.split("\n")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inventory", type=Path, nargs="+", default=INVENTORIES)
    asked = parser.parse_args()
    sys.path.insert(0, os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(REPOSITORY / ".cache" / "collections")))
    for path in asked.inventory:
        inventory = listed(path)
        for kind, wanted, settled in (
            ("fresh", inventory, False),
            ("settled", inventory, True),
            ("changed", changed(inventory), True),
        ):
            for release in RELEASES:
                folder = asked.folder / path.parent.name / f"{kind}-{release}"
                folder.mkdir(parents=True, exist_ok=True)
                for name, plan in plans(wanted, release, settled).items():
                    text = json.dumps(readable(plan), indent=1, sort_keys=True, default=str)
                    text = text.replace(str(REPOSITORY), "REPOSITORY")
                    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No service may do more than it needs: each unit that a site brings about has its limits, those to come included."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, unit_files
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import UNITS
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import SANDBOX, sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.whole_sites import sites

FOLDER = Path(unit_files.__file__).parents[1]
LEAST = (
    "CapabilityBoundingSet",
    "ProtectSystem",
    "ProtectKernelModules",
    "RestrictAddressFamilies",
    "SystemCallFilter",
)


def files_and_units(site: Site) -> t.Iterator[tuple[str, dict[str, str], set[str]]]:
    """Yield for each program of each host its unit files by name, and the services that it runs."""
    for host in site.hosts.values():
        for program in compose.programs():
            plan = compose.plan(program, site, host)
            files = {f["path"].removeprefix(f"{UNITS}/"): f["content"] for f in plan["files"] if UNITS in f["path"]}
            running = {unit["name"] for unit in plan["units"] if unit["running"] and unit["name"].endswith(".service")}
            yield f"{program} of {host.name}", files, running


def limited(unit: str) -> bool:
    """Tell whether a unit file or a drop-in says what its service may not do."""
    return set(LEAST) <= {line.partition("=")[0] for line in unit.splitlines()}


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
def test_every_service_has_its_limits(release: str) -> None:
    seen = set()
    for site in sites(release):
        for where, files, running in files_and_units(site):
            for name, content in files.items():
                if name.endswith(".service"):
                    seen.add(name)
                    assert limited(content), f"{name} of {where}: unit_files.sandbox() is not in it"
            for name in running - set(files):
                # Debian 12 has a wrapper, whose process is another unit's; 13 has limits of its own.
                drop_in = "postfix@-.service" if name == "postfix.service" else name
                if name != "postfix.service" or release == "bookworm":
                    found = [content for path, content in files.items() if path.startswith(f"{drop_in}.d/")]
                    assert any(map(limited, found)), f"{name} of {where}: no drop-in has limits"
    sources = "".join(path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py"))
    named = set(re.findall(r"postamt-[a-z-]+\.service", sources))
    assert len(named) > 5 and seen >= {*named, "saslauthd-postfix.service"}, "these sites do not bring it along"


def test_postfix_may_end_the_processes_of_a_service_that_is_no_more() -> None:
    """Else it waits for them, and serves nobody."""
    drop_ins = {"trixie": "postfix.service.d/postamt-kill.conf", "bookworm": "postfix@-.service.d/postamt-sandbox.conf"}
    for release, drop_in in drop_ins.items():
        site = next(sites(release))
        found = [files for where, files, _running in files_and_units(site) if where.startswith("postfix of ")]
        assert found and all("CAP_KILL" in files[drop_in] for files in found)


def test_a_program_may_be_left_out() -> None:
    site = next(sites("trixie", mail_unsandboxed=["dovecot"]))
    found = {name: content for _where, files, _running in files_and_units(site) for name, content in files.items()}
    assert "=" not in found["dovecot.service.d/postamt-sandbox.conf"]
    assert "ProtectSystem=full" in found["amavis.service.d/postamt-sandbox.conf"]


def test_a_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(SiteError, match="mail_unsandboxed"):
        next(sites("trixie", mail_unsandboxed=["exim"]))


def test_a_unit_says_what_it_needs_instead() -> None:
    lines = sandbox(ProtectSystem="full", PrivateTmp=None, ReadWritePaths="/srv").splitlines()
    assert "ProtectSystem=full" in lines and "ReadWritePaths=/srv" in lines
    assert not [line for line in lines if line.startswith("PrivateTmp")]
    assert len(lines) == len(SANDBOX)

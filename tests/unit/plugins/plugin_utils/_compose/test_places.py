# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What two programs may not share, since one that is to go does so when another has come."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.tests.lib.whole_sites import sites

ASKED = ("milter_", "dns_")  # begin the health checks of Postfix that ask another program


def places(program: str, plan: compose.Plan) -> t.Iterator[tuple[str, str]]:
    """Yield each port, socket, file and unit of a program, with its kind."""
    for file in plan["files"]:
        yield "file", file["path"]
    for unit in plan["units"]:
        yield "unit", unit["name"]
    own = (check for check in plan["questions"] if program == "rspamd" or not check["kind"].startswith(ASKED))
    for said in (*(check["arguments"] for check in own), *plan["serves"]):
        if said.get("port"):
            yield "port", str(said["port"])
        elif str(said.get("path", "")).startswith("/"):
            yield "socket", said["path"]


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
def test_no_two_programs_have_the_same_place_on_any_host(release: str) -> None:
    owners: dict[tuple[str, str], set[str]] = {}
    for site in sites(release):
        for host in site.hosts.values():
            for program in compose.programs():
                for place in places(program, compose.plan(program, site, host)):
                    owners.setdefault(place, set()).add(program)
    assert {place: programs for place, programs in owners.items() if len(programs) > 1} == {}
    assert {kind for kind, _name in owners} == {"file", "unit", "port", "socket"}
    lacking = {"tlsrpt_reporter"} if release == "bookworm" else set()  # for which its Postfix is too old
    assert set.union(*owners.values()) == set(compose.programs()) - lacking

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory: what concerns take adds up, and a host that has too little is refused with what may be done."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Count
from ansible_collections.postamt.mail.tests.lib.bare import BARE

NAME = "mail.example.org"


def site(has: int, swap: int = 0, filtering: bool = False, **takes: Memory) -> Site:
    """Return a site of one host that has so many MB, with a further concern for each word that takes memory."""
    more = []
    for name, one in takes.items():
        concern = types.ModuleType(name)
        concern.memory = lambda site, host, one=one: one  # type: ignore[attr-defined]
        more.append(concern)
    given: dict[str, t.Any] = {"mail_domains": ["example.org"], **BARE}
    if filtering:
        given["mail_content_filter"] = "before_queue"
    look = Look(memory=Count(has * MB), swap=Count(swap * MB), cores=Count(8))
    return parse_site(given, {NAME: HostInput(look=look)}, [*compose.concerns().values(), *more])


def test_what_concerns_take_adds_up() -> None:
    found = site(1000, one=Memory(100 * MB, "one 100 MB", "web"), two=Memory(200 * MB, "two 200 MB", "lists"))
    host = found.hosts[NAME]
    assert memory.needed(found, host) == 650 * MB
    assert memory.rest(found, host) == 350 * MB
    assert memory.sentence(found, host) == (
        "lists, web: 650 of 1000 MB: 350 MB for the system and mail, two 200 MB, one 100 MB"
    )


def test_a_further_concern_leaves_the_filter_less() -> None:
    def processes(**takes: Memory) -> str:
        found = site(4000, 0, True, **takes)
        plan = compose.plan("amavis", found, found.hosts[NAME])
        return next(
            str(line) for file in plan["files"] for line in file["content"].splitlines() if "$max_servers" in line
        )

    assert processes() == "$max_servers = 16;"
    assert processes(web=Memory(1700 * MB, "web 1700 MB", "web")) == "$max_servers = 6;"


def test_too_little_is_refused_with_each_way_out() -> None:
    web = Memory(900 * MB, "web 900 MB", "web", instead="set mail_web: false")
    with pytest.raises(SiteError) as caught:
        site(1000, swap=100, web=web)
    assert str(caught.value.problems[0]) == (
        f"memory of host {NAME}: is too little for the web: 1250 of 1000 MB: 350 MB for the system and mail, "
        "web 900 MB; set mail_web: false, or add 151 MB of memory or swap"
    )
    assert site(1000, swap=250, web=web)
    assert site(0, web=web), "a host of which nothing is known"

"""While mail goes its ways, the directory tells what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from ansible_collections.postamt.mail.tests.lib import searches
from ansible_collections.postamt.mail.tests.lib.site import Connect, Site


@pytest.fixture(scope="session", autouse=True)
def asked(site: Site, connect: Connect) -> Iterator[Callable[[], dict[str, set[str]]]]:
    """What each host's directory has been asked so far: asked() -> filters by host."""
    with ExitStack() as stack:
        hosts = {name: connect(name) for name in site.groups.get("mail_directory", [site.name])}
        since = {name: stack.enter_context(searches.logging(host, "stats")) for name, host in hosts.items()}
        yield lambda: {name: searches.asked(host, since[name]) for name, host in hosts.items()}

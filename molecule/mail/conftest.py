"""While mail goes its ways, the directory tells what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import searches


@pytest.fixture(scope="session", autouse=True)
def asked(site: Any, connect: Callable[[str], Any]) -> Iterator[Callable[[], dict[str, set[str]]]]:
    """What each host's directory has been asked so far: asked() -> filters by host."""
    with ExitStack() as stack:
        hosts = {name: connect(name) for name in site.groups.get("mail_directory", [site.name])}
        since = {name: stack.enter_context(searches.logging(host, "stats")) for name, host in hosts.items()}
        yield lambda: {name: searches.asked(host, since[name]) for name, host in hosts.items()}

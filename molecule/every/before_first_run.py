"""What holds on a fresh host, before the first run: check mode succeeds and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trees import tree


def test_check_mode_on_a_fresh_host_leaves_no_trace(host: Any, play: Callable[..., Any]) -> None:
    before = tree(host)
    done = play(check=True)
    assert not done.failed, done.stdout
    assert tree(host) ^ before == set()

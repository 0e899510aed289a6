"""What holds on a fresh host, before the first run: check mode succeeds and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Folders that a host changes by itself, logs, and what Ansible keeps for its own connection
NOT_OURS = (
    "/dev",
    "/proc",
    "/root/.ansible",
    "/run",
    "/sys",
    "/tmp",
    "/var/cache/apt/archives",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp",
)


def tree(host: Any) -> set[str]:
    """Each file's name, kind, mode, owner, target, and for plain files size and time of change."""
    pruned = " -o ".join(f"-path {folder}" for folder in NOT_OURS)
    shown = "%p %y %m %u %g %l"
    return set(
        host.check_output(
            f"find / \\( {pruned} \\) -prune -o -type f -printf '{shown} %s %T@\\n' -o -printf '{shown}\\n'"
        ).splitlines()
    )


def test_check_mode_on_a_fresh_host_leaves_no_trace(host: Any, play: Callable[..., Any]) -> None:
    before = tree(host)
    done = play(check=True)
    assert not done.failed, done.stdout
    assert tree(host) ^ before == set()

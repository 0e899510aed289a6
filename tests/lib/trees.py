"""What a host's file system looks like, to see that something left no trace."""

from __future__ import annotations

import time

from ansible_collections.postamt.mail.tests.lib.hosts import Host

# Folders that a host or a running Postfix changes by itself, logs, and what Ansible keeps for its own connection
NOT_OURS = (
    "/dev",
    "/proc",
    "/root/.ansible",
    "/run",
    "/sys",
    "/tmp",
    "/var/backups",  # by dpkg, every midnight
    "/var/cache/apt/archives",
    "/var/lib/postfix",
    "/var/lib/systemd",
    "/var/log",
    "/var/spool/postfix/pid",
    "/var/tmp",
)


def tree(host: Host) -> set[str]:
    """Each file's name, kind, mode, owner, target, and for plain files size and time of change."""
    pruned = " -o ".join(f"-path {folder}" for folder in NOT_OURS)
    shown = "%p %y %m %u %g %l"
    return set(
        host.check_output(
            f"find / \\( {pruned} \\) -prune -o -type f -printf '{shown} %s %T@\\n' -o -printf '{shown}\\n'"
        ).splitlines()
    )


def tree_at_rest(host: Host, wait: float = 20) -> set[str]:
    """Return tree(host) as soon as two looks agree: daemons still write for a moment after they have had mail."""
    until = time.monotonic() + wait
    found = tree(host)
    while time.monotonic() < until:
        time.sleep(0.5)
        before, found = found, tree(host)
        if found == before:
            return found
    raise AssertionError("files keep changing")

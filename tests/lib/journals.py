"""What daemons have told that should make somebody look."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.postamt.mail.tests.lib.hosts import Host

# What the machine of the tests causes: a container's kernel lacks something, and a busy one lets Dovecot wait.
MACHINE = (
    r"\S+\.service: ProtectHostname=yes is configured, but the kernel does not support UTS namespaces, .*",
    r"\w+: Warning: Time moved forwards? by [\d.]+ seconds - adjusting timeouts\.",
)


def warnings(host: Host, units: str, caused: Iterable[str]) -> list[str]:
    """Return the warnings and errors of units, without those that the tests have caused.

    units: patterns as journalctl(1) has them. caused: patterns of whole lines, so that nothing else hides behind one.
    """
    words = " ".join(f"-u '{unit}'" for unit in units.split())
    lines = host.check_output(f"journalctl -q -o cat -p warning {words}").splitlines()
    expected = re.compile("|".join(f"(?:{pattern})" for pattern in (*MACHINE, *caused)))
    return [line for line in lines if not expected.fullmatch(line)]

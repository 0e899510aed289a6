# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tlsrpt-reporter for tests: its wheel from PyPI, what it has counted, and a day that ends at once."""

from __future__ import annotations

import fcntl
import subprocess
import sys

from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Scenario
from ansible_collections.postamt.mail.tests.lib.waiting import within

COUNTS, SENDS = "postamt-tlsrpt-collectd", "postamt-tls-reports"
STATE = "/var/lib/postamt-tlsrpt"
_PINNED = "tlsrpt-reporter==0.6.0"
_DROP_IN = f"/run/systemd/system/{SENDS}.service.d"
_COUNTED = f"""
import sqlite3
link = sqlite3.connect("file:{STATE}/collectd.sqlite?mode=ro", uri=True)
print(*(domain for domain, in link.execute("SELECT DISTINCT domain FROM finalresults")))
"""


def wheel(scenario: Scenario) -> str:
    """Return the file that an administrator would have downloaded."""
    folder = scenario.folder.parent.parent / "tlsrpt-reporter"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "wb") as lock:  # the scenario of the other release wants it at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(folder.glob("*.whl")):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), _PINNED]
            subprocess.run(command, check=True)
    (found,) = folder.glob("*.whl")
    return str(found)


def counted(host: Host) -> set[str]:
    """Return the domains to which connections of today have been counted."""
    return set(host.check_output("python3 -c %s", _COUNTED).split())


def end_the_day(host: Host) -> None:
    """Have what was counted today be yesterday's, which tlsrpt-collectd does for tests, and send the reports now."""
    today, yesterday = (f"{STATE}/collectd.sqlite{suffix}" for suffix in ("", ".yesterday"))
    before = host.check_output("stat -c %%i %s", today)
    host.check_output(f"systemctl stop {SENDS}.timer; systemctl kill -s USR2 --kill-whom=main {COUNTS}")
    assert within(10, lambda: host.run("stat -c %%i %s", yesterday).stdout.strip() == before)
    host.check_output(f"rm -f {STATE}/reportd.sqlite; mkdir -p {_DROP_IN}")  # it knows that yesterday was empty
    try:
        host.check_output(
            f"printf '[Service]\\nEnvironment=TLSRPT_REPORTD_SPREAD_OUT_DELIVERY=1\\n' > {_DROP_IN}/test.conf"
        )
        host.check_output(f"systemctl daemon-reload; systemctl start {SENDS}.service")
    finally:
        host.run(f"rm -r {_DROP_IN}; systemctl daemon-reload")

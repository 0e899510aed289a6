"""Root's umask on a host may be strict (pam_umask, sudo): what others have to read can be read all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import MailFlows, RunAgain

STRICT = "/usr/local/sbin/python-strict"
TABLES, LIBRARY = "/etc/postfix/tables", "/usr/local/lib/postamt"


@pytest.fixture
def strict(host: Host) -> Iterator[dict[str, str]]:
    """Variables of a run whose modules have a umask of 077."""
    host.check_output(
        f"printf '#!/bin/sh\\numask 077\\nexec /usr/bin/python3 \"$@\"\\n' > {STRICT} && chmod 755 {STRICT}"
    )
    yield {"ansible_python_interpreter": STRICT}
    host.check_output(f"rm {STRICT}")


def test_modes_do_not_depend_on_it_and_are_repaired(
    host: Host, play: RunAgain, mail_flows: MailFlows, strict: dict[str, str]
) -> None:
    host.check_output(f"rm -r {TABLES} && chmod 700 {LIBRARY}")
    done = play(strict)
    assert not done.failed
    assert f"corrected owner and mode of folder {LIBRARY}" in done.actions
    assert host.check_output(f"stat -c '%U %a' {TABLES} {LIBRARY}").splitlines() == ["root 755"] * 2
    mail_flows()
    assert play().changed == []

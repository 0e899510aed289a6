"""What the tests of broken runs share: mail as a sign of life, and a Python that breaks where it is told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, BEN, STRANGER
from ansible_collections.postamt.mail.tests.lib.site import Ask, MailFlows, Site, Traced

TRACED = "/usr/local/sbin/python-traced"


@pytest.fixture
def mail_flows(site: Site, ask: Ask) -> MailFlows:
    """A stranger's message and a user's are delivered and read."""

    def mail_flows() -> None:
        tokens = new_token(), new_token()
        assert smtp_send(ask(25), STRANGER, [BEN], message(STRANGER, BEN, tokens[0])).accepted
        login = (ANNA, site.passwords[ANNA])
        assert smtp_send(ask(587), ANNA, [BEN], message(ANNA, BEN, tokens[1]), tls="starttls", login=login).accepted
        for token in tokens:
            assert imap_find(ask(993), BEN, site.passwords[BEN], token, wait=20)

    return mail_flows


@pytest.fixture
def traced(host: Host) -> Iterator[Traced]:
    """Have strace(1) do something to the modules of a run: traced("...") returns the run's variables for it."""

    def traced(options: str) -> dict[str, str]:
        script = f'#!/bin/sh\nexec strace -f --seccomp-bpf -qqq -o /dev/null {options} /usr/bin/python3 "$@"\n'
        host.check_output(f"printf %s {shlex.quote(script)} > {TRACED} && chmod 755 {TRACED}")
        return {"ansible_python_interpreter": TRACED}

    yield traced
    host.run(f"rm -f {TRACED}")

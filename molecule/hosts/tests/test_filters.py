"""A filter that does not find what it must, or whose disk is full, is passed over until it is well again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.letters import ANNA, EICAR, STRANGER, code, letter
from ansible_collections.postamt.mail.tests.lib.links import states
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, Site

PassedOver = Callable[[bool], None]
MX = ("mx1.example.test", "mx2.example.test")
FILTER = "filter1.example.test"
HOSTS = str(Path(__file__).resolve().parents[3] / "tools" / "hosts.py")
OWN = "/var/lib/clamav/eicar.ndb"


@pytest.fixture
def passed_over(connect: Connect) -> PassedOver:
    """Have the filter test itself, and wait until both exchangers know that it is away, or back."""

    def passed_over(away: bool) -> None:
        assert (connect(FILTER).run("systemctl start postamt-filter-test").rc != 0) == away
        until = time.monotonic() + 15
        wanted = "DOWN" if away else "UP"
        while (found := [states(connect(mx), "to-filter-world")["filter1"] for mx in MX]) != [wanted] * 2:
            assert time.monotonic() < until, found
            time.sleep(0.5)

    return passed_over


@pytest.fixture
def other_signatures(connect: Connect) -> Iterator[None]:
    """clamd of the filter with signatures that do not find EICAR."""
    host = connect(FILTER)
    host.check_output(
        f"cp -p {OWN} /root/own && echo 'Other:0:*:414141414141' > {OWN} && systemctl reload clamav-daemon"
    )
    yield
    host.check_output(f"cp -p /root/own {OWN} && systemctl reload clamav-daemon")


@pytest.fixture
def full_disk(site: Site, connect: Connect) -> Iterator[None]:
    """amavis of the filter has no room for a message."""
    folder, container, host = "/var/lib/amavis/tmp", site.hosts[FILTER]["lab_container"], connect(FILTER)
    kind = f"size=64k,mode=0750,uid={host.user('amavis').uid},gid={host.user('amavis').gid}"
    subprocess.run([HOSTS, "mount", container, "--", "-t", "tmpfs", "-o", kind, "tmpfs", folder], check=True)
    host.run(f"dd if=/dev/zero of={folder}/filled bs=4k")
    yield
    subprocess.run([HOSTS, "umount", container, "--", "--lazy", folder], check=True)


@pytest.mark.parametrize("fault", ["other_signatures", "full_disk"])
def test_a_filter_that_fails_its_test_gets_no_mail(
    request: pytest.FixtureRequest,
    site: Site,
    connect: Connect,
    ask: Ask,
    passed_over: PassedOver,
    fault: str,
) -> None:
    passed_over(False)
    request.getfixturevalue(fault)
    passed_over(True)
    for number in range(8):
        to = site.endpoint(25, host=MX[number % 2])
        assert code(smtp_send(to, STRANGER, [ANNA], letter(new_token(), files={"a.txt": EICAR}))) == 554
        assert code(smtp_send(to, STRANGER, [ANNA], letter(new_token()))) == 250
    subject = f"The content filter of {FILTER} does not pass its test"
    assert fault == "full_disk" or imap_find(ask(993), ANNA, site.passwords[ANNA], subject, wait=20)


def test_it_gets_mail_again_when_it_is_well(passed_over: PassedOver, connect: Connect) -> None:
    passed_over(False)
    kept = connect(FILTER).run("grep -rl 'Subject: test of the filter' /var/lib/amavis/virusmails")
    assert kept.stdout == "", "the test's messages are in the quarantine"

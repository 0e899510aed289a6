"""Disks that are full or read-only: the run says where, nothing is changed, mail goes on or waits."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import BEN, STRANGER
from ansible_collections.postamt.mail.tests.lib.site import Ask, MailFlows, RunAgain, Site

Mount = Callable[..., AbstractContextManager[None]]
OnFolder = Callable[[str], AbstractContextManager[None]]
HOSTS = str(Path(__file__).resolve().parents[3] / "tools" / "hosts.py")
CHANGE = {
    "mail_message_size_limit": "25M",
    "mail_header_checks": [{"match": "^Subject: .*lottery", "action": "reject", "text": "no"}],
}
SPOOL = "/var/spool/postfix"


@pytest.fixture
def mounted(host: Host, site: Site) -> Mount:
    """Mount something over a folder for a while."""
    container = site.vars["lab_container"]

    @contextmanager
    def mounted(folder: str, *options: str) -> Iterator[None]:
        subprocess.run([HOSTS, "mount", container, "--", *options, folder], check=True)
        # Otherwise what is unmounted below it is unmounted in the folder beneath, too: /etc/hosts of the container.
        subprocess.run([HOSTS, "mount", container, "--", "--make-rslave", folder], check=True)
        try:
            yield
        finally:
            subprocess.run([HOSTS, "umount", container, "--", "--lazy", folder], check=True)

    return mounted


@pytest.fixture
def small_disk(host: Host, mounted: Mount) -> OnFolder:
    """Put a folder on a small disk of its own, with what it holds."""

    @contextmanager
    def small_disk(folder: str) -> Iterator[None]:
        host.check_output(f"rm -rf /root/copy && cp -a {folder} /root/copy")
        with mounted(folder, "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs"):
            host.check_output(f"cp -a /root/copy/. {folder}/")
            yield

    return small_disk


@pytest.fixture
def filled(host: Host) -> OnFolder:
    """Fill the disk of a folder for a while."""

    @contextmanager
    def filled(folder: str) -> Iterator[None]:
        host.check_output(f"! dd if=/dev/zero of={folder}/filled bs=4k")
        try:
            yield
        finally:
            host.check_output(f"rm {folder}/filled")

    return filled


FOLDERS = {"swap": "/etc/postfix"}
if os.environ.get("SOAK"):
    FOLDERS |= {"stage": "/run/postamt", "record": "/var/lib/postamt"}


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS.keys())
def test_the_disk_is_full(
    host: Host,
    play: RunAgain,
    mail_flows: MailFlows,
    small_disk: OnFolder,
    filled: OnFolder,
    folder: str,
) -> None:
    with small_disk(folder), filled(folder):
        said = play(CHANGE, tags="postfix").message
        assert "No space left on device" in said
        assert folder in said
        assert "nothing was changed" in said
        mail_flows()
    assert host.check_output("find /etc -name '*.postamt-new'") == ""
    made = play(CHANGE)
    assert not made.failed
    assert not any("half done" in action for action in made.actions)
    mail_flows()
    assert not play().failed


def test_etc_is_read_only(host: Host, play: RunAgain, mail_flows: MailFlows, mounted: Mount) -> None:
    with mounted("/etc", "--rbind", "-o", "ro", "/etc"):
        said = play(CHANGE, tags="postfix").message
        assert "Read-only file system" in said
        assert "nothing was changed" in said
        mail_flows()
    # Services have an /etc of their own, in which this mount, unlike a disk that is read-only, would stay.
    host.check_output("systemctl restart slapd saslauthd-postfix dovecot postfix")
    assert not play(CHANGE).failed
    assert not play().failed


def test_the_queue_is_full(
    host: Host,
    play: RunAgain,
    ask: Ask,
    mail_flows: MailFlows,
    small_disk: OnFolder,
    filled: OnFolder,
) -> None:
    """Postfix tells senders to come back; a change is made all the same."""
    programs = "saslauthd-postfix dovecot postamt-rspamd postfix"
    host.check_output(f"systemctl stop {programs}")
    try:
        with small_disk(SPOOL):
            host.check_output(f"systemctl start {programs}")
            with filled(SPOOL):
                later = smtp_send(ask(25), STRANGER, [BEN], message(STRANGER, BEN, new_token()))
                assert not later.accepted
                assert later.mail.code == 452, later
                made = play(CHANGE, tags="postfix")
                assert not made.failed
            mail_flows()
            assert play(CHANGE).changed == []
            host.check_output(f"systemctl stop {programs}")
    finally:
        host.check_output(f"systemctl restart {programs}")
    mail_flows()
    assert not play().failed

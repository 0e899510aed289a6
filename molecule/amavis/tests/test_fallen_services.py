"""Services that strangers have taken over: what they put into their own folders leads root nowhere."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, RunOther

Acting = Callable[[str, str], None]
Canary = Callable[[], str]
CANARY = "/srv/canary"
TEXT = "what nobody but root may read"
SIGNATURES = "/var/lib/clamav/eicar.ndb"
SITE = "/var/lib/amavis/bayes/site"
SPOOL = "/var/lib/amavis/learn"
QUARANTINE = "/var/lib/amavis/virusmails"
TOUCHED = "it is not touched; look at it and move it away"


@pytest.fixture
def acting(host: Host) -> Acting:
    """Do something as a service's user."""

    def acting(user: str, script: str) -> None:
        host.check_output(f"runuser -u {user} -- sh -c {shlex.quote(script)}")

    return acting


@pytest.fixture
def canary(host: Host) -> Iterator[Canary]:
    """A folder of root's; canary() is its state, to the time of the last change of an owner or mode."""
    host.check_output(
        f"mkdir -p {CANARY}/below && cd {CANARY} && umask 077 && echo {shlex.quote(TEXT)} | tee file below/file x.pid"
    )

    def canary() -> str:
        return str(host.check_output(f"find {CANARY} -printf '%p %y %m %U %G %n %s %T@ %C@\\n' | sort"))

    before = canary()
    yield canary
    assert canary() == before
    host.check_output(f"rm -r {CANARY}")


FOLDERS = {
    "amavis": f"/var/lib/amavis /var/lib/amavis/bayes {SPOOL} {SPOOL}/tmp {QUARANTINE}",
    "clamav": "/var/lib/clamav",
    "debian-spamd": "/var/lib/spamassassin",
    "openldap": "/etc/ldap/slapd.d /var/lib/ldap-mail /run/slapd",
    "postfix": "/var/spool/postfix/private /var/lib/postfix",
    "vmail": "/var/vmail",
}


def test_what_nobody_asks_for_is_in_nobodys_way(host: Host, play: RunAgain, acting: Acting, canary: Canary) -> None:
    for user, folders in FOLDERS.items():
        plant = f"ln -s {CANARY}/file $f/zz-link; ln -s {CANARY} $f/zz-folder; mkfifo $f/zz-fifo"
        acting(user, f"set -e; for f in {folders}; do {plant}; done")
    try:
        done = play(check=True)
        assert not done.failed
        assert done.changed == []
        assert TEXT not in done.stdout
    finally:
        host.check_output(f"cd / && for f in {' '.join(FOLDERS.values())}; do rm -f $f/zz-*; done")


def test_clamds_folder(play: RunAgain, acting: Acting, canary: Canary) -> None:
    acting("clamav", f"mv {SIGNATURES} {SIGNATURES}.aside && ln -s {CANARY}/file {SIGNATURES}")
    try:
        read = play(check=True, tags="clamav")
        assert f"{SIGNATURES} is a symbolic link, in a folder that clamav may change: {TOUCHED}" in read.message
        assert TEXT not in read.stdout
        acting("clamav", f"rm {SIGNATURES} && mkfifo {SIGNATURES}")
        assert f"{SIGNATURES} is a FIFO, in a folder that clamav may change: {TOUCHED}" in play(tags="clamav").message
    finally:
        acting("clamav", f"mv {SIGNATURES}.aside {SIGNATURES}")


def test_amavis_folders(host: Host, play: RunAgain, acting: Acting, canary: Canary) -> None:
    acting("amavis", f"mv {SITE} {SITE}.aside && ln -s {CANARY} {SITE}")
    try:
        said = f"{SITE} is a symbolic link, in a folder that amavis may change: {TOUCHED}"
        assert said in play(tags="amavis").message
        removal = play(playbook="postamt.mail.remove", check=True)
        assert not removal.failed
        assert f"left {SITE}, since {said}" in removal.actions
    finally:
        acting("amavis", f"rm {SITE} && mv {SITE}.aside {SITE}")
    # a folder that is exchanged for a link without a pause, and whose mode is wrong at each look
    there, away = "unlink 'new'; rename 'old', 'new'", f"rename 'new', 'old'; symlink '{CANARY}', 'new'"
    loop = f"while (1) {{ chmod 0777, 'new'; {away}; {there} }}"
    host.check_output(
        f"systemd-run --quiet --unit=exchange -p User=amavis -p WorkingDirectory={SPOOL} perl -e {shlex.quote(loop)}"
    )
    try:
        play(tags="amavis")
    finally:
        host.check_output("systemctl stop exchange")
        acting(
            "amavis",
            f"cd {SPOOL}; rm -f new 2>/dev/null; mv -T old new 2>/dev/null; rm -rf old; mkdir -p new; chmod 700 new",
        )


def test_learning_goes_on_however_often_it_has_begun(host: Host, acting: Acting, canary: Canary) -> None:
    begun = "journalctl -q -o cat -u postamt-learn.service | grep -c ^Starting"
    before = int(host.run(begun).stdout)
    acting("amavis", f"cd {SPOOL} && mv new old && ln -s {CANARY} new")  # a folder that never gets empty
    try:
        until = time.monotonic() + 60
        while int(host.run(begun).stdout) < before + 8:  # systemd's own limit is 5 in 10 seconds
            assert time.monotonic() < until
            time.sleep(0.5)
    finally:
        acting("amavis", f"cd {SPOOL} && rm new && mv old new")
    assert host.service("postamt-learn.path").is_running


def test_the_quarantine(host: Host, acting: Acting, ansible: RunOther, canary: Canary) -> None:
    acting(
        "amavis",
        f"cd {QUARANTINE}; mkfifo clean-fifo; ln -s {CANARY}/file clean-link; ln -s {CANARY} folder; mkdir -p deep/er;"
        f"ln -s /etc deep/er/etc",
    )
    # a second name, which the kernel lets users make where it is told to
    host.check_output(f"cp -p {CANARY}/file /srv/other && ln /srv/other {QUARANTINE}/clean-hard")
    try:
        said = " ".join(ansible("postamt.mail.quarantine").split())
    finally:
        host.check_output(f"rm /srv/other {QUARANTINE}/clean-hard")
        acting("amavis", f"cd {QUARANTINE}; rm -r clean-fifo clean-link folder deep")
    assert TEXT not in said
    assert "failed=0" in said
    for name, kind in (
        ("clean-fifo", "a FIFO"),
        ("clean-link", "a symbolic link"),
        ("folder", "a symbolic link"),
        ("deep/er/etc", "a symbolic link"),
        ("clean-hard", "a file with a second name elsewhere (hard link)"),
    ):
        assert f"{QUARANTINE}/{name} is {kind}" in said

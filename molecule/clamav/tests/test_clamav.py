"""clamd alone: it finds what the site's signatures say, and bad ones never replace good ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import attempts
from ansible_collections.postamt.mail.tests.lib import letters
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Site

EICAR = letters.EICAR.decode()
ASK = """
import socket
link = socket.socket(socket.AF_UNIX)
link.connect("/run/clamav/clamd.ctl")
link.sendall(b"nSCAN /srv/scanned\\n")
print(link.makefile().read().strip())
"""


def found(host: Host, text: str) -> bool:
    said = host.check_output("printf %%s %s > /srv/scanned; python3 -c %s", text, ASK)
    assert said.endswith((" OK", " FOUND")), said
    return str(said).endswith(" FOUND")


def test_it_runs_as_nobody_special(host: Host) -> None:
    assert host.service("clamav-daemon").is_running
    assert host.service("clamav-daemon").is_enabled
    assert host.check_output("ps -C clamd -o user=") == "clamav"
    socket = host.file("/run/clamav/clamd.ctl")
    assert (socket.user, socket.group, socket.mode) == ("clamav", "clamav", 0o660)


def test_nothing_is_fetched_where_the_site_brings_its_own(host: Host) -> None:
    assert not host.service("clamav-freshclam").is_running
    at_boot = host.run("systemctl is-enabled clamav-freshclam-once.service clamav-freshclam-once.timer").stdout
    assert "enabled" not in at_boot.split()


def test_it_finds_eicar_and_nothing_else(host: Host) -> None:
    assert found(host, EICAR)
    assert not found(host, "hello")


def test_new_signatures_are_taken_up_by_a_reload(host: Host, site: Site, play: RunAgain, tmp_path: Path) -> None:
    own = tmp_path / "own.ndb"
    own.write_text("Own-Test:0:*:" + b"a phrase that only we ban".hex() + "\n")
    both = {"mail_clamav_signatures": [*site.vars["mail_clamav_signatures"], str(own)]}
    assert play(both).actions == ["wrote /var/lib/clamav/own.ndb", "reloaded ClamAV"]
    assert any(found(host, "this is a phrase that only we ban, is it not") for _attempt in attempts(20))
    assert play(both).changed == []
    assert play().actions == ["removed /var/lib/clamav/own.ndb", "reloaded ClamAV"]
    assert any(not found(host, "a phrase that only we ban") for _attempt in attempts(20))
    assert play().changed == []


@pytest.fixture
def mirror(host: Host) -> Iterator[str]:
    """A web server on the host with one file of signatures; what it was asked for is in its journal."""
    host.check_output("mkdir -p /srv/mirror && cp /var/lib/clamav/eicar.ndb /srv/mirror/fetched.ndb")
    host.check_output("systemd-run --collect -u mirror python3 -u -m http.server -b 127.0.0.1 -d /srv/mirror 8765")
    yield "127.0.0.1:8765"
    host.run("systemctl stop mirror")


def test_signatures_come_from_elsewhere_too(host: Host, play: RunAgain, mirror: str) -> None:
    """Debian's unit would wait for the official ones."""
    fetched = {"mail_clamav_signatures": [], "mail_clamav_urls": [f"http://{mirror}/fetched.ndb"]}
    assert not play(fetched).failed
    assert host.service("clamav-freshclam").is_running
    host.check_output("systemctl restart clamav-daemon")
    assert not host.file("/var/lib/clamav/eicar.ndb").exists
    assert found(host, EICAR)
    assert play(fetched).changed == []
    assert not play().failed
    assert not host.service("clamav-freshclam").is_running


def test_a_private_mirror_is_asked_and_its_silence_stops_nothing(host: Host, play: RunAgain, mirror: str) -> None:
    asked = {"mail_clamav_official": True, "mail_clamav_mirror": mirror}
    assert not play(asked).failed
    until = time.monotonic() + 20
    while "GET /daily.c" not in host.run("journalctl -q -o cat -u mirror").stdout:
        assert time.monotonic() < until, host.run("journalctl -q -o cat -u clamav-freshclam | tail").stdout
        time.sleep(0.5)
    assert found(host, EICAR)
    assert play(asked).changed == []
    assert not play().failed


def test_signatures_that_cannot_be_fetched_are_a_reason_and_do_not_end_the_scanner(
    host: Host, play: RunAgain, mirror: str
) -> None:
    host.check_output("rm -f /var/lib/clamav/fetched.ndb")  # which a test before has had fetched
    done = play({"mail_clamav_signatures": [], "mail_clamav_official": True, "mail_clamav_mirror": mirror})
    for sentence in ("the next run tries again", "freshclam cannot fetch signatures: ", "mail_clamav_official"):
        assert sentence in done.message
    assert "nor did it before" not in done.message
    assert found(host, EICAR)
    assert not play().failed
    assert play().changed == []


def test_bad_signatures_and_bad_options_are_refused(host: Host, site: Site, play: RunAgain, tmp_path: Path) -> None:
    bad = tmp_path / "bad.ndb"
    bad.write_text("this is no signature\n")
    for wrong, sentence in (
        ({"mail_clamav_signatures": [*site.vars["mail_clamav_signatures"], str(bad)]}, "bad.ndb"),
        ({"mail_clamav_signatures": ["absent.ndb"]}, "is 'absent.ndb': must be a file on the controller"),
        ({"clamav_settings": {"MaxThread": 3}}, "Unknown option MaxThread"),
    ):
        done = play(wrong)
        assert done.failed and not done.changed
        assert sentence in done.stdout
    assert found(host, EICAR)
    assert play().changed == []

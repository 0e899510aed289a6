"""clamd alone: it finds what the site's signatures say, and bad ones never replace good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EICAR = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
ASK = """
import socket
link = socket.socket(socket.AF_UNIX)
link.connect("/run/clamav/clamd.ctl")
link.sendall(b"nSCAN /var/tmp/scanned\\n")
print(link.makefile().read().strip())
"""


def found(host: Any, text: str) -> bool:
    said = host.check_output("printf %%s %s > /var/tmp/scanned; python3 -c %s", text, ASK)
    assert said.endswith((" OK", " FOUND")), said
    return str(said).endswith(" FOUND")


def test_it_runs_as_nobody_special(host: Any) -> None:
    assert host.service("clamav-daemon").is_running
    assert host.service("clamav-daemon").is_enabled
    assert host.check_output("ps -C clamd -o user=") == "clamav"
    socket = host.file("/run/clamav/clamd.ctl")
    assert (socket.user, socket.group, socket.mode) == ("clamav", "clamav", 0o660)


def test_nothing_is_fetched_where_the_site_brings_its_own(host: Any) -> None:
    assert not host.service("clamav-freshclam").is_running


def test_it_finds_eicar_and_nothing_else(host: Any) -> None:
    assert found(host, EICAR)
    assert not found(host, "hello")


def test_new_signatures_are_taken_up_by_a_reload(host: Any, site: Any, play: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.ndb"
    own.write_text("Own-Test:0:*:" + b"a phrase that only we ban".hex() + "\n")
    both = {"mail_clamav_signatures": [*site.vars["mail_clamav_signatures"], str(own)]}
    assert play(both).actions == ["wrote /var/lib/clamav/own.ndb", "reloaded ClamAV"]
    host.run("sleep 2")
    assert found(host, "this is a phrase that only we ban, is it not")
    assert play(both).changed == []
    assert play().actions == ["removed /var/lib/clamav/own.ndb", "reloaded ClamAV"]
    host.run("sleep 2")
    assert not found(host, "a phrase that only we ban")
    assert play().changed == []


def test_bad_signatures_and_bad_options_are_refused(host: Any, site: Any, play: Any, tmp_path: Path) -> None:
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

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other mail servers are found with their units and their queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import rivals, units

INSTALLED = """\
installed\tbash\tbash\t
installed\texim4-base\texim4\t
installed\texim4-daemon-light\texim4\texim4-localscanapi-6.0, mail-transport-agent
config-files\tsendmail-bin\tsendmail\tmail-transport-agent
"""
OWNED = """\
/etc/init.d/exim4
/usr/lib/systemd/system/exim4-base.timer
/usr/lib/systemd/system/exim4@.service
/usr/sbin/exim4
"""


def said(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    answers = {"-W": installed, "-L": OWNED}
    monkeypatch.setattr(units, "output", lambda *words, **_how: units.Output(0, answers[words[1]], ""))
    monkeypatch.setattr(units, "states", lambda names: {name: units.UnitState(name, active=True) for name in names})


def test_a_mail_server_with_its_units_and_its_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said(monkeypatch, INSTALLED)
    for name in ("1-H", "1-D", "a/2-H"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setitem(rivals.QUEUES, "exim4", (rivals.QUEUES["exim4"][0], str(tmp_path)))
    (found,) = rivals.found()
    assert found.package == "exim4-daemon-light"
    assert found.units == ("exim4-base.timer", "exim4.service")
    assert found.mail == f"2 messages wait in its queue, {tmp_path}"
    assert "exim4-daemon-light is this host's mail server; 2 messages wait" in rivals.refusal([found])


def test_mail_that_waits_for_a_daemon_to_start_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said(monkeypatch, "half-configured\tsendmail-bin\tsendmail\tmail-transport-agent\n")
    pattern, *folders = rivals.QUEUES["sendmail"]
    assert folders == ["/var/spool/mqueue", "/var/spool/mqueue-client"]
    queues = [tmp_path / "mqueue", tmp_path / "mqueue-client"]
    for queue in queues:
        queue.mkdir()
    (queues[1] / "qf6AR7sNR1002065").touch()
    monkeypatch.setitem(rivals.QUEUES, "sendmail", (pattern, *map(str, queues)))
    (found,) = rivals.found()
    assert found.mail == f"1 message waits in its queue, {queues[0]} and {queues[1]}"


def test_a_queue_of_an_unknown_form_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "installed\tcourier-mta\tcourier\tmail-transport-agent\n")
    (found,) = rivals.found()
    assert "is this host's mail server; whether mail waits in its queue is not known" in rivals.refusal([found])


def test_postfix_is_no_rival_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "installed\tpostfix\tpostfix\tdefault-mta, mail-transport-agent\n")
    assert rivals.found() == [] and rivals.refusal([]) == ""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter's test: which signatures are wrong or old, and that postmaster hears of it once a day."""

from __future__ import annotations

import calendar
import hashlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs import postamt_filter_test as filter_test


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "SIGNATURES", "TOLD"):
        monkeypatch.setattr(filter_test, name, str(tmp_path / name.lower()))
    (tmp_path / "state" / "pending").mkdir(parents=True)
    (tmp_path / "signatures").mkdir()
    return tmp_path


def test_signatures_are_those_that_the_run_wrote(places: Path) -> None:
    names = {name: str(places / "signatures" / name) for name in ("same.ndb", "other.ndb", "link.ndb", "pipe.ndb")}
    digest = hashlib.sha256(b"x").hexdigest()
    manifest = {"files": {**dict.fromkeys(names.values(), digest), "/etc/clamav/clamd.conf": digest}}
    (places / "state" / "manifest.json").write_text(json.dumps(manifest))
    Path(names["same.ndb"]).write_text("x")
    Path(names["other.ndb"]).write_text("y")
    os.chmod(places / "signatures", 0o777)  # clamd's user may put anything there
    os.symlink(names["same.ndb"], names["link.ndb"])
    os.mkfifo(names["pipe.ndb"])
    assert [words.split()[0] for words in filter_test.changed()] == [names[n] for n in list(names)[1:]]
    (places / "state" / "pending" / "mark.json").touch()
    assert list(filter_test.changed()) == [], "a run is changing them"


def test_official_signatures_grow_old(places: Path) -> None:
    now = calendar.timegm((2026, 11, 26, 12, 0, 0))
    assert "no official signatures" in filter_test.outdated(now)
    (places / "signatures" / "daily.cvd").write_bytes(b"ClamAV-VDB:20 Nov 2026 07-26 +0000:27500:1:90:x")
    assert "are 6 days old" in filter_test.outdated(now)
    (places / "signatures" / "daily.cld").write_bytes(b"ClamAV-VDB:25 Nov 2026 07-26 +0000:27505:1:90:x")
    assert filter_test.outdated(now) == ""
    assert "are 2 days old" in filter_test.outdated(now + 86400)


def test_postmaster_hears_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    letters: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda *_words, **options: letters.append(options["input"]))
    for reasons in (["a"], ["a"], ["a", "b"]):
        filter_test.tell(reasons, out=True)
    assert len(letters) == 2
    assert letters[1].startswith("To: postmaster\nSubject: The content filter of ")
    assert "- a\n- b\n\nOther hosts of the site pass this filter over" in letters[1]


def test_a_letter_that_does_not_go_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_words: Any, **_options: Any) -> None:
        raise subprocess.CalledProcessError(75, "sendmail")

    monkeypatch.setattr(subprocess, "run", broken)
    for _try in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            filter_test.tell(["a"], out=False)


def test_a_filter_that_hangs_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_test, "PATIENCE", 0.1)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "world"))
        hung.listen()
        assert "amavis does not answer at" in filter_test.tested(str(tmp_path / "world"), "127.127.127.127", False)


def test_a_filter_that_starts_has_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_test, "SILENT", 0.3)
    waited: list[float] = []
    monkeypatch.setattr(filter_test, "PAUSE", 0.1)
    sleep = time.sleep

    def wait(seconds: float) -> None:
        waited.append(seconds)
        sleep(seconds)

    monkeypatch.setattr("time.sleep", wait)
    assert "amavis does not listen at" in filter_test.tested(str(tmp_path / "away"), "127.127.127.127", False)
    assert len(waited) > 1, "amavis takes its socket away when it stops"


def test_what_amavis_says_with_another_number_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    letters: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda *_words, **options: letters.append(options["input"]))
    for number in range(3):
        filter_test.tell([f"amavis did not refuse the test message: 250 2.0.0 from MTA: queued as {number}"], out=True)
    assert len(letters) == 1

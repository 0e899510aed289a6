# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking away what the collection wrote, also where a change was left half done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files, remove
from ansible_collections.postamt.mail.plugins.module_utils._engine.remove import Removal

STRANGE = "by somebody\n"


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a host with one program, whose second change was killed between two files."""
    monkeypatch.setattr(remove, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(remove, "RUNTIME", str(tmp_path / "run"))
    etc, home = tmp_path / "etc", tmp_path / "state" / "postfix"
    for folder in (etc / "tables", home / "pending", home / "originals" / str(etc)[1:]):
        folder.mkdir(parents=True)
    ours = {"main.cf": "old\n", "master.cf": "ours\n", "edited": "ours\n", "tables/x": "ours\n"}
    for name, text in {**ours, "added": "new\n", "other": STRANGE}.items():
        (etc / name).write_text(text)
    digests = {str(etc / name): files.digest(str(etc / name)) for name in ours}
    (etc / "edited").write_text(STRANGE)
    original = home / "originals" / str(etc)[1:] / "main.cf"
    original.write_text("before us\n")
    original.chmod(0o640)
    (home / "pending" / "0").write_text("old\n")
    mark = {
        "files": [{"path": str(etc / "main.cf"), "copy": "0"}, {"path": str(etc / "added"), "copy": ""}],
        "digests": {str(etc / "main.cf"): "what never came", str(etc / "added"): files.digest(str(etc / "added"))},
    }
    (home / "pending" / "mark.json").write_text(json.dumps(mark))
    manifest = {"files": digests, "folders": [str(etc / "tables")], "units": [], "ran": [], "watch": {}}
    (home / "manifest.json").write_text(json.dumps(manifest))
    return etc


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_only_ours_goes_and_the_original_comes_back(etc: Path) -> None:
    whole = contents(etc.parent)
    predicted = Removal("postfix", dry=True)
    predicted.execute()
    assert contents(etc.parent) == whole
    done = Removal("postfix", dry=False)
    done.execute()
    assert contents(etc) == {"main.cf": "before us\n", "other": STRANGE}
    assert (etc / "main.cf").stat().st_mode & 0o777 == 0o640
    assert not (etc / "tables").exists()
    kept = f"state/postfix/changed{etc}/edited"
    assert contents(etc.parent) == {"etc/main.cf": "before us\n", "etc/other": STRANGE, kept: STRANGE}
    assert [words.split(" ", 2)[2] for words in predicted.actions] == [words.split(" ", 1)[1] for words in done.actions]
    assert remove.claimed([]) == []


def test_a_killed_removal_is_finished(etc: Path) -> None:
    Removal("postfix", dry=False).take_away(str(etc / "main.cf"))
    Removal("postfix", dry=False).execute()
    assert contents(etc) == {"main.cf": "before us\n", "other": STRANGE}


def test_links_of_a_service_are_left_and_keep_nothing_from_going(etc: Path, tmp_path: Path) -> None:
    """Of two folders of ours in a service's folder, one is a link to a folder of root's, the other holds a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("bus.pid", "file"):
        (outside / name).write_text(STRANGE)
    service = tmp_path / "service"
    service.mkdir()
    service.chmod(0o777)
    (service / "site").symlink_to(outside)
    (service / "rules").mkdir()
    (service / "rules" / "x.pid").symlink_to(outside / "file")
    (service / "rules" / "folder.pid").mkdir()
    os.mkfifo(service / "fifo")
    record = tmp_path / "state" / "postfix" / "manifest.json"
    manifest = json.loads(record.read_text())
    manifest["folders"] += [str(service / name) for name in ("site", "rules")]
    manifest["files"] |= {str(service / "site" / "file"): "ours", str(service / "fifo"): "ours"}
    record.write_text(json.dumps(manifest))
    predicted = Removal("postfix", dry=True)
    predicted.execute()
    done = Removal("postfix", dry=False)
    done.execute()
    assert contents(outside) == {"bus.pid": STRANGE, "file": STRANGE}
    left = [words for words in done.actions if words.startswith("left ")]
    assert [words.split(",")[0].removeprefix(f"left {service}/") for words in left] == ["fifo", "site/file", "site"]
    assert left == [words for words in predicted.actions if words.startswith("left ")]
    assert contents(etc) == {"main.cf": "before us\n", "other": STRANGE}
    assert remove.claimed([]) == []


def test_folders_of_a_service_keep_nothing_from_going(etc: Path, tmp_path: Path) -> None:
    """A service has put folders in place of a file of ours, and of the one that waits for its rename."""
    service = tmp_path / "service"
    (service / "own.ndb").mkdir(parents=True)
    (service / ".other.ndb.postamt-new").mkdir()
    (service / "other.ndb").write_text(STRANGE)
    service.chmod(0o777)
    record = tmp_path / "state" / "postfix" / "manifest.json"
    manifest = json.loads(record.read_text())
    manifest["files"] |= {str(service / name): "ours" for name in ("own.ndb", "other.ndb")}
    record.write_text(json.dumps(manifest))
    done = Removal("postfix", dry=False)
    done.execute()
    left = [words.split(",")[0] for words in done.actions if words.startswith("left ")]
    assert left == [f"left {service}/other.ndb", f"left {service}/own.ndb"]
    assert contents(etc) == {"main.cf": "before us\n", "other": STRANGE}


def test_what_is_in_place_of_the_quarantine_does_not_fail_the_end(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service").chmod(0o777)
    (tmp_path / "service" / "virusmails").symlink_to("/etc")
    assert remove._full(str(tmp_path / "service" / "virusmails"))


def test_what_others_ask_goes_after_them_and_what_nobody_names_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove, "STATE", str(tmp_path))
    for name in ("former", "ldap", "postfix", "amavis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "dovecot").mkdir()  # nothing of it is left
    assert remove.claimed(["postfix", "amavis", "dovecot", "ldap"]) == ["postfix", "amavis", "ldap", "former"]


def test_what_stays_is_named_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove, "STATE", str(tmp_path / "state"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mail").touch()
    (tmp_path / "empty").mkdir()
    known = {"the queue": f"{tmp_path}/full", "the rest": f"{tmp_path}/empty", "gone": f"{tmp_path}/gone", "none": ""}
    assert remove.places({**known, "mailboxes": "maildir:~/Maildir"}) == {
        "the queue": f"{tmp_path}/full",
        "mailboxes": "maildir:~/Maildir",
    }

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is reloaded, and how its manifest says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls import reload
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.tests.lib.openssl import issue


def keep(folder: Path, program: str, **manifest: Any) -> Path:
    """Keep the manifest of a program that shows certificates; returns the folder of all."""
    (folder / "state" / program).mkdir(parents=True)
    (folder / "state" / program / "manifest.json").write_text(json.dumps(manifest))
    return folder / "state"


def test_what_is_shown_already_is_remembered(shown: dict[str, Any], tmp_path: Path) -> None:
    manifest = tmp_path / "state" / "other" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    watched = shown["certificates"][0]
    manifest.write_text(json.dumps({"files": ["/a"], "serves": [shown], "watch": {watched: "older"}}))
    assert reload.serve(str(tmp_path / "state")) == ({}, [])
    kept = json.loads(manifest.read_text())
    assert kept == {"files": ["/a"], "serves": [shown], "watch": {watched: files.digest(watched)}}
    assert manifest.stat().st_mode & 0o777 == 0o600


def test_a_program_is_reloaded_as_its_manifest_says(
    store: Store, shown: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.5)
    told, chain = tmp_path / "told", shown["certificates"][0]
    command = ["dd", f"of={told}", "if=/dev/null"]
    state = keep(tmp_path, "clock", title="the clock", serves=[shown], watch={chain: "old"}, reload=command)
    keep(tmp_path, "quiet", title="who shows nothing", serves=[], reload=["false"])
    assert reload.serve(str(state)) == ({}, []) and not told.exists()

    new, key = issue(tmp_path, "second")
    assert store.replaced("public", str(new), str(key), {"public": ["mail.example.org"]})
    where = f"port {shown['port']} of 127.0.0.1"
    why = f"{where} had another certificate than the one on disk"
    left = [f"the clock still shows another certificate than the one on disk: {where}"]
    assert reload.serve(str(state)) == ({"the clock": why}, left)
    assert told.exists()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["ls", "/no/such/file"], "ls /no/such/file: .*No such file or directory"),
        (["/no/such/command"], "/no/such/command: No such file or directory"),
    ],
)
def test_a_program_that_cannot_be_reloaded_is_named(
    store: Store,
    shown: dict[str, Any],
    tmp_path: Path,
    command: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are reloaded all the same."""
    monkeypatch.setattr(reload, "PATIENCE", 0.5)
    told, chain = tmp_path / "told", shown["certificates"][0]
    keep(tmp_path, "clock", title="the clock", serves=[shown], watch={}, reload=command)
    other = ["dd", f"of={told}", "if=/dev/null"]
    state = keep(tmp_path, "other", title="the other", serves=[shown], watch={chain: "old"}, reload=other)
    new, key = issue(tmp_path, "second")
    assert store.replaced("public", str(new), str(key), {"public": ["mail.example.org"]})
    done, (problem, *_late) = reload.serve(str(state))
    assert list(done) == ["the other"] and told.exists()
    assert re.fullmatch(f"the clock cannot be reloaded: {why}", problem)


@pytest.mark.parametrize("program", ["dovecot", "haproxy", "ldap", "postfix"])
def test_the_manifest_of_the_version_before_is_enough(program: str, tmp_path: Path) -> None:
    state = keep(tmp_path, program, serves=[{"port": 25, "certificates": []}], watch={})
    (found,) = reload.programs(str(state))
    said = compose.programs()[program].PROGRAM.for_host(program)
    assert found.title == said["title"]
    assert found.manifest["reload"] == said["reload"]
    assert found.manifest.get("workers", {}) == said["workers"]


def test_what_a_manifest_says_counts(tmp_path: Path) -> None:
    state = keep(tmp_path, "postfix", serves=[{"port": 25, "certificates": []}], title="Other", reload=["true"])
    (found,) = reload.programs(str(state))
    assert (found.title, found.manifest["reload"]) == ("Other", ["true"])

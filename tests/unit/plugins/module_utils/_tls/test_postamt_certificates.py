# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command on the host."""

from __future__ import annotations

import contextlib
import grp
import os
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._tls import postamt_certificates as command
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store


def test_files_are_found_from_where_the_command_is_called(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(command, "Store", lambda *_words: store)
    monkeypatch.setattr(command, "GROUP", grp.getgrgid(os.getgid()).gr_name)
    monkeypatch.setattr(command, "lock", lambda *_words, **_more: contextlib.nullcontext())
    monkeypatch.setattr(store, "replaced", lambda _name, *paths: asked.extend(map(str, paths[:2])))
    monkeypatch.setattr(command, "serve", lambda: ({}, []))
    assert command.main(["install", "public", "chain.pem", "../key.pem"]) == 0
    assert asked == [f"{tmp_path}/chain.pem", f"{tmp_path.parent}/key.pem"]


def test_the_next_key_is_made_and_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Store", lambda *_words: store)
    monkeypatch.setattr(command, "GROUP", grp.getgrgid(os.getgid()).gr_name)
    monkeypatch.setattr(command, "lock", lambda *_words, **_more: contextlib.nullcontext())
    monkeypatch.setattr(command, "BROUGHT", str(tmp_path / "certificates.json"))
    assert command.main(["next-key", "--type", "rsa"]) == 0
    assert capsys.readouterr().out.strip() == store.seen()["served"]["public"]["next"]
    Path(command.BROUGHT).write_text('{"public": ["mail.example.org"]}')
    assert command.main(["next-key"]) == 1
    assert "another program brings certificate public, and its key" in capsys.readouterr().err

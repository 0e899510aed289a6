# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall's daemon: a table is there as long as there are rules for another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._programs import postamt_firewall as firewall


class Nft(firewall.Nft):
    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, commands: str) -> bool:
        self.ran.append(commands)
        return True


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(firewall, "CONFIGURATION", str(tmp_path / "rules"))
    monkeypatch.setattr(firewall, "LOADED", str(tmp_path / "loaded"))
    monkeypatch.setattr(files, "replace", lambda path, content: Path(path).write_bytes(content))
    return tmp_path


def test_a_table_takes_the_place_of_another_one_at_once(places: Path) -> None:
    (places / "rules").write_text("table inet postamt {}\n")
    nft = Nft()
    assert nft.load()
    assert nft.ran[-1] == "delete table inet postamt\ntable inet postamt {}\n"
    assert (places / "loaded").read_text() == firewall.digest("table inet postamt {}\n")


@pytest.mark.parametrize("there", [True, False])
def test_without_rules_the_old_ones_stay(places: Path, there: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if there:
        (places / "rules").touch()
    nft = Nft()
    assert not nft.load()
    assert nft.ran == [] and not (places / "loaded").exists()
    assert "rules is not there or cannot be read: run postamt.mail.site" in capsys.readouterr().err

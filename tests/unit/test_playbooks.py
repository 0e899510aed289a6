# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run with nothing to do it on is no success."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PLAYBOOKS = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "playbooks").glob("*.yml"))
EMPTY, MISNAMED = "mail: {vars: {mail_domains: [example.org]}}", "mails: {hosts: {a.example.org: }}"


@pytest.mark.parametrize(("playbook", "inventory"), [*((name, EMPTY) for name in PLAYBOOKS), ("site", MISNAMED)])
def test_an_empty_group_ends_the_run(tmp_path: Path, playbook: str, inventory: str) -> None:
    (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), f"postamt.mail.{playbook}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode != 0 and "group mail holds no host" in done.stdout, done.stdout

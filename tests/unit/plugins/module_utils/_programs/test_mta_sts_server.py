# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server of the site's policy is checked with the policy and a certificate beside it, and has port 443."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import hooks, stage, units
from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy
from ansible_collections.postamt.mail.plugins.module_utils._programs.mta_sts_server import (
    CONFIGURATION,
    PEM,
    POLICY,
    MtaStsServer,
)
from ansible_collections.postamt.mail.tests.lib.described import described


def test_its_own_hooks_count_and_not_those_of_the_links() -> None:
    assert hooks.of("mta_sts_server") is MtaStsServer
    assert MtaStsServer(described("mta_sts_server")).ports("/stage") == {("", 443)}


@pytest.mark.parametrize(
    ("status", "said", "wrong"),
    [
        (0, "", []),
        (1, "[NOTICE] (1) : path\n[ALERT] (1) : config : no such file\n", ["config : no such file"]),
        (2, "", ["it is refused"]),
    ],
)
def test_the_staged_files_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str, wrong: list[str]
) -> None:
    staged = Path(f"{tmp_path}{CONFIGURATION}")
    staged.parent.mkdir(parents=True)
    staged.write_text(f"bind :443 ssl crt {PEM}\nfile {POLICY}\n")
    monkeypatch.setattr(haproxy, "throwaway", lambda pem: pem)
    monkeypatch.setattr(
        units, "output", lambda *_command, **_more: SimpleNamespace(returncode=status, stdout="", stderr=said)
    )
    assert MtaStsServer(described("mta_sts_server")).check(str(tmp_path), False) == wrong
    assert staged.read_text() == f"bind :443 ssl crt {tmp_path}/certificate.pem\nfile {tmp_path}{POLICY}\n"


def test_who_finds_the_port_taken_learns_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "listeners", lambda: [units.Listener("0.0.0.0", 443, "7", "nginx", "nginx.service")])
    program = MtaStsServer({**described("mta_sts_server"), "questions": []})
    (said,) = stage._taken_ports(program, "/stage", [])
    assert said.startswith("port 443 is taken by nginx")
    assert said.endswith("; if it is to keep the port, set mail_mta_sts_serve: false")

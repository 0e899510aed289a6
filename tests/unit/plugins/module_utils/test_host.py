# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The look at a host, as far as it needs none."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils import host


class Module:
    """What a look uses of AnsibleModule: commands are run, and one that is not there is an error."""

    def run_command(self, command: list[str], **_how: Any) -> tuple[int, str, str]:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.returncode, found.stdout, found.stderr


def test_a_host_without_nft_has_no_rules_of_nft() -> None:
    module: Any = Module()
    assert host.output(module, "postamt-there-is-no-such-program", "--json") == ""
    assert host.output(module, "sh", "-c", "echo said; exit 1") == "said\n"


def test_a_firewall_is_looked_for_where_no_program_of_it_is(monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = host.firewall(Module())  # type: ignore[arg-type]
    assert not [one for one in found if "nft" in one or "iptables" in one]

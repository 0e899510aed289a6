# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The look at a host, as far as it needs none."""

from __future__ import annotations

import grp
import json
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import host, rivals


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
    found = host.firewall(Module())
    assert not [one for one in found if "nft" in one or "iptables" in one]


def test_who_has_the_number_of_a_user_and_which_other_it_has(monkeypatch: Any) -> None:
    users, groups = {"deploy": 5000, "vmail": 1001}, {"deploy": 5000, "vmail": 1002}

    def known(table: dict[str, int], name: Any) -> Any:
        if isinstance(name, int):
            name = next((one for one, number in table.items() if number == name), None)
        number = table[name]
        return SimpleNamespace(pw_name=name, gr_name=name, pw_uid=number, gr_gid=number)

    for function in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, function, lambda name: known(users, name))
    for function in ("getgrgid", "getgrnam"):
        monkeypatch.setattr(grp, function, lambda name: known(groups, name))
    assert host.in_the_way("vmail", 5000) == [
        "user deploy has 5000", "user vmail has 1001", "group deploy has 5000", "group vmail has 1002"
    ]  # fmt: skip
    users.clear()
    groups.clear()
    assert host.in_the_way("vmail", 5000) == []
    users["vmail"] = groups["vmail"] = 5000
    assert host.in_the_way("vmail", 5000) == []


def test_what_fsck_needs_is_no_mailbox(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "MAILBOXES", str(tmp_path))
    (tmp_path / "lost+found").mkdir()
    assert host.holds() == []
    (tmp_path / "8a1f20c3d4e5f607").mkdir()
    assert host.holds() == ["mailboxes"]


@pytest.mark.parametrize(
    ("member", "inner"),
    [("", True), ("veth0/ifindex", True), ("eth0/device", False), ("bond0/bonding", False), ("eth0.5/uevent", False)],
)
def test_a_bridge_of_guests_is_no_address_of_the_host(
    member: str, inner: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "br0" / "bridge").mkdir(parents=True)
    (tmp_path / "br0" / "brif").mkdir()
    if member:
        (tmp_path / member).parent.mkdir()
        (tmp_path / member).write_text("DEVTYPE=vlan\n")
        (tmp_path / "br0" / "brif" / member.partition("/")[0]).touch()
    monkeypatch.setattr(host, "INTERFACES", str(tmp_path))
    listed = [{"ifname": name, "addr_info": [{"local": local}]} for name, local in (("br0", "10.0.0.1"), ("lo", "::1"))]
    said = {"hostname": "10.0.0.1 192.0.2.1 fe80::1 ", "ip": json.dumps(listed)}
    monkeypatch.setattr(host, "output", lambda _module, command, *_words: said[command])
    assert host.addresses(None) == (["192.0.2.1"] if inner else ["10.0.0.1", "192.0.2.1"])
    said["hostname"] = "10.0.0.1 "
    assert host.addresses(None) == ["10.0.0.1"], "the only one it has"
    said["ip"] = ""
    assert host.addresses(None) == ["10.0.0.1"]


def test_a_masked_unit_is_seen_before_its_package_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "UNITS", str(tmp_path))
    (tmp_path / "postfix.service").symlink_to("/dev/null")
    (tmp_path / "sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    (tmp_path / "own.service").touch()
    (tmp_path / "multi-user.target.wants").mkdir()
    assert host.masked() == ["postfix.service"]


def test_what_is_configured_and_never_set_up_is_unclaimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "STATE", str(tmp_path / "state"))
    for name in ("theirs", "ours"):
        (tmp_path / name).touch()
    (tmp_path / "state" / "ours").mkdir(parents=True)
    (tmp_path / "state" / "ours" / "manifest.json").write_text("{}")
    paths = {name: str(tmp_path / name) for name in ("theirs", "ours", "absent", "mta")}
    monkeypatch.setattr(rivals, "found", list)
    assert host.unclaimed(paths, ["mta"]) == ["theirs"]
    monkeypatch.setattr(rivals, "found", lambda: ["exim4"])
    assert host.unclaimed(paths, ["mta"]) == ["theirs", "mta"], "another mail server is its to take over"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ports show, asked of a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import files
from ansible_collections.postamt.mail.plugins.module_utils._tls import shown as ports
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import Store
from ansible_collections.postamt.mail.tests.lib.openssl import issue

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 190200C0:01D1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0019 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st
   0: B80D0120000000000000000025000000:01D1 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4
"""


def test_who_listens_is_in_the_kernels_tables(tmp_path: Path) -> None:
    tables = [str(tmp_path / "tcp"), str(tmp_path / "tcp6"), str(tmp_path / "absent")]
    Path(tables[0]).write_text(TABLE)
    Path(tables[1]).write_text(TABLE6)
    assert ports.listening(25, tables) == ["127.0.0.1"]
    assert ports.listening(465, tables) == ["192.0.2.25", "2001:db8::25"]
    assert ports.listening(587, tables) == []


def test_a_port_is_asked_for_its_certificate(store: Store, shown: dict[str, Any], tmp_path: Path) -> None:
    assert ports.wrong([shown]) == []
    assert ports.behind([shown], {}, {}) == []
    chain, key = issue(tmp_path, "second")
    assert store.replaced("public", str(chain), str(key), {"public": ["mail.example.org"]})
    assert ports.wrong([shown]) == [f"port {shown['port']} of 127.0.0.1"]
    assert ports.wrong([{**shown, "address": "127.0.0.1"}]) == [f"port {shown['port']} of 127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    assert ports.wrong([{**shown, "port": nobody}, {**shown, "port": nobody, "address": "127.0.0.1"}]) == []


def test_what_cannot_be_served_is_found(store: Store, tmp_path: Path) -> None:
    chain = Path(store.folder, "public", "chain.pem")
    serves = [
        {"certificates": [str(chain.with_name("key.pem")), str(chain)]},
        {"certificates": ["/elsewhere/chain.pem"]},
    ]
    assert ports.unusable(serves, store.folder) == []
    chain.write_text(issue(tmp_path, "second")[0].read_text())
    assert ports.unusable(serves, store.folder) == [f"{chain} and key.pem beside it do not belong together"]
    chain.unlink()
    assert ports.unusable(serves, store.folder) == [f"{chain} holds no certificate"]


def test_a_process_that_is_older_than_the_certificate_does_not_use_it(store: Store, tmp_path: Path) -> None:
    """Its port may show nothing at all, since it is busy."""
    worker, pid_file = tmp_path / "smtpd", tmp_path / "master.pid"
    shutil.copy("/bin/sleep", worker)
    chain = os.path.join(store.folder, "public", "chain.pem")
    workers = {"pid_file": str(pid_file), "names": ["smtpd", "tlsproxy"]}
    time.sleep(0.1)  # proc(5) counts in hundredths of a second
    shell = ["/bin/sh", "-c", f"{worker} 60 & echo; read x; kill $!"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout and parent.stdout.readline()  # the worker was started
        pid_file.write_text(f"{parent.pid:10d}\n")
        assert ports.behind([], {chain: "other"}, workers) == []
        new, key = issue(tmp_path, "second")
        assert store.replaced("public", str(new), str(key), {"public": ["mail.example.org"]})
        late = ["a process that is older than the certificate"]
        assert ports.behind([], {chain: "other"}, workers) == late
        assert ports.behind([], {chain: files.digest(chain)}, workers) == []  # it was reloaded for this one
        assert ports.behind([], {chain: "other"}, {**workers, "names": ["tlsproxy"]}) == []
        assert ports.behind([], {chain: "other"}, {}) == []
        parent.communicate(b"\n")


def test_who_says_nothing_is_not_waited_for_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "SILENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        chain = os.path.join(store.folder, "public", "chain.pem")
        serves = {"port": port, "address": "", "protocol": "imap", "tls": "implicit", "certificates": [chain]}
        begun = time.monotonic()
        assert ports.wrong([serves]) == [f"port {port} of 127.0.0.1"]
        assert ports.wrong([serves], silent=False) == []
        assert time.monotonic() < begun + 5


def test_one_address_of_a_port_is_enough_where_one_program_has_them_all(shown: dict[str, Any]) -> None:
    there = ports.reachable([("0.0.0.0", shown["port"]), ("127.0.0.2", shown["port"]), ("fe80::1", shown["port"])])
    assert there == {shown["port"]: ["127.0.0.1", "127.0.0.2"]}
    with ports.asked([shown], there) as questions:
        assert [question.address for question in questions] == ["127.0.0.1", "127.0.0.2"]
    with ports.asked([shown], there, everywhere=False) as questions:
        assert [question.address for question in questions] == ["127.0.0.1"]
        assert not questions[0].is_wrong()

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing, replacing and showing files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.postamt.mail.plugins.module_utils import files

ME = {"uid": os.getuid(), "gid": os.getgid()}


def test_replace_sets_everything_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    path.write_text("old")
    files.replace(str(path), b"new", 0o640, **ME, age=5)
    seen = files.see(str(path))
    assert seen == files.Seen(b"new", 0o640, ME["uid"], ME["gid"])
    assert 4 < time.time() - path.stat().st_mtime < 30
    assert os.listdir(tmp_path) == ["main.cf"]


def test_what_a_killed_run_left_beside_is_not_in_the_way(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Path(files.beside(path)).write_text("half")
    files.write(files.beside(path), b"whole", **ME)
    assert Path(files.beside(path)).read_bytes() == b"whole"


def test_absent_files() -> None:
    assert files.see("/nonexistent/file") is None
    assert files.digest("/nonexistent/file") == "absent"
    assert files.load("/nonexistent/file") == {}
    assert not files.remove("/nonexistent/file")


def test_secrets_are_shown_as_fingerprints_that_tell_equal_from_different() -> None:
    assert files.shown(b"biff = no\nsmtp_sasl_password_maps = lmdb:x\n", secret=False).endswith("maps = lmdb:x\n")
    line = files.shown(b"a = 1\n  ldap_auth_dn_password = hunter2\n", secret=False)
    assert line.startswith("a = 1\n  ldap_auth_dn_password = (secret, fingerprint ")
    first, again, other = (files.shown(text, secret=True) for text in (b"hunter2", b"hunter2", b"hunter3"))
    assert first == again != other
    assert "hunter" not in first


def test_passwords_of_somebody_else_are_left_out() -> None:
    text = (
        "smtp_sasl_password_maps = static:me:hunter2\n"
        "relay_maps = static:me:hunter2\n"
        "ldap_auth_dn_password = hunter2\n"
        "connect = host=db dbname=mail password=hunter2\n"
        "$sql_passwd = 'hunter2';\n"
        "bind_pw: hunter2\n"
        "myhostname = mail.example.org\n"
    )
    shown = files.without_passwords(text)
    assert "hunter2" not in shown and "myhostname = mail.example.org" in shown
    assert "connect = host=db dbname=mail password=(hidden)" in shown

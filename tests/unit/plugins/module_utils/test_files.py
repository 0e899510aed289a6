# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing, replacing and showing files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    "line",
    [
        "smtp_sasl_password_maps = static:{me:hunter 2}",
        "smtp_sasl_password_maps=inline:{ {mx.example.org=me:hunter2} }",
        "relay_maps = inline:{\n    { mx.example.org = me:hunter2 },\n    { x = y } }",
        "hosts = mysql://mail:hunter2@db.example.org/mail",
        "uris = ldap://cn=x:hunter2/3@ldap.example.org",
        "db_pwd = hunter2",
        "relay_token: hunter2",
        "rootpw hunter2",
        "bindpw   hunter2",
        "  flags=R user=x argv=/usr/bin/deliver --password hunter2 ${recipient}",
        "  flags=R user=x argv=/usr/bin/deliver --token=hunter2 ${recipient}",
        "  flags=R user=x argv=/usr/bin/deliver --api-key 'hunter2 x' ${recipient}",
        "  flags=R user=x argv=/usr/bin/deliver -u me -p hunter2 ${recipient}",
        "  argv=/usr/bin/mysql -u me -phunter2 mail",
        "header = Authorization: Bearer hunter2hunter2",
        'connect = host=db user=x password="hunter2 x" dbname=mail',
        "sql_dsn = DBI:mysql:mail:hunter2",
    ],
)
def test_a_password_is_known_by_its_name_or_by_its_place(line: str) -> None:
    text = f"myhostname = mail.example.org\n{line}\nmynetworks = 192.0.2.0/24\n"
    shown = files.without_passwords(text)
    assert "hunter" not in shown and "(hidden)" in shown
    assert shown.startswith("myhostname = mail.example.org\n") and shown.endswith("\nmynetworks = 192.0.2.0/24\n")


@pytest.mark.parametrize(
    "text",
    [
        "passdb {\n  driver = pam\n}\nnamespace inbox {\n  inbox = yes\n}\n",
        "virtual_alias_maps = hash:/etc/postfix/virtual\nrelayhost = [smtp.example.org]:587\n",
        "smtp      inet  n       -       y       -       -       smtpd\n  -o smtpd_tls_security_level=may\n",
        "listener = http://127.0.0.1:80/\n",
    ],
)
def test_what_is_no_password_is_shown(text: str) -> None:
    assert files.without_passwords(text) == text


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

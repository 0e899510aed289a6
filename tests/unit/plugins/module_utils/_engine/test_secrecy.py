# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is shown of a file, and what is not."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import secrecy


def test_secrets_are_shown_as_fingerprints_that_tell_equal_from_different() -> None:
    assert secrecy.shown(b"biff = no\nsmtp_sasl_password_maps = lmdb:x\n", secret=False).endswith("maps = lmdb:x\n")
    line = secrecy.shown(b"a = 1\n  ldap_auth_dn_password = hunter2\n", secret=False)
    assert line.startswith("a = 1\n  ldap_auth_dn_password = (secret, fingerprint ")
    first, again, other = (secrecy.shown(text, secret=True) for text in (b"hunter2", b"hunter2", b"hunter3"))
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
        "  argv=/usr/bin/deliver -p\n    hunter2 --token\n    hunter2",
        "bind_password =\n    hunter2",
        "header = Authorization: Bearer hunter2hunter2",
        'connect = host=db user=x password="hunter2 x" dbname=mail',
        "sql_dsn = DBI:mysql:mail:hunter2",
    ],
)
def test_a_password_is_known_by_its_name_or_by_its_place(line: str) -> None:
    text = f"myhostname = mail.example.org\n{line}\nmynetworks = 192.0.2.0/24\n"
    shown = secrecy.without_passwords(text)
    assert "hunter" not in shown and "(hidden)" in shown
    assert shown.startswith("myhostname = mail.example.org\n") and shown.endswith("\nmynetworks = 192.0.2.0/24\n")


@pytest.mark.parametrize(
    "text",
    [
        "passdb {\n  driver = pam\n}\nnamespace inbox {\n  inbox = yes\n}\n",
        "virtual_alias_maps = hash:/etc/postfix/virtual\nrelayhost = [smtp.example.org]:587\n",
        "smtp      inet  n       -       y       -       -       smtpd\n  -o smtpd_tls_security_level=may\n",
        "listener = http://127.0.0.1:80/\n",
        "smtp_sasl_password_maps =\nsmtpd_banner = $myhostname\n",
        "ssl_key_password =\n\nnamespace inbox {\n}\n",
        "# as service smtp-auth\nprotocols = imap\n",
    ],
)
def test_what_is_no_password_is_shown(text: str) -> None:
    assert secrecy.without_passwords(text) == text


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
    shown = secrecy.without_passwords(text)
    assert "hunter2" not in shown and "myhostname = mail.example.org" in shown
    assert "connect = host=db dbname=mail password=(hidden)" in shown

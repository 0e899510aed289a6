# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody else's Dovecot says about mailboxes, in the words of both versions."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils import dovecot
from ansible_collections.postamt.mail.plugins.module_utils.dovecot import MAIN, Mailboxes

OLD = """\
mail_location = maildir:~/Maildir/
namespace inbox {
  inbox = yes
  mailbox Drafts {
    special_use = \\Drafts
  }
}
passdb {
  driver = pam
}
userdb {
  driver = passwd
}
"""
NEW = """\
mail_driver = maildir
mail_path = %{home}/Maildir
passdb pam {
}
userdb passwd {
}
namespace inbox {
  inbox = yes
  separator = /
}
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OLD, Mailboxes("maildir:~/Maildir", ".", "passwd")),
        (NEW, Mailboxes("maildir:~/Maildir", "/", "passwd")),
        ("mail_location = mbox:~/mail:INBOX=/var/mail/%u\n", Mailboxes("mbox:~/mail:INBOX=/var/mail/%u", "/", "")),
        (
            "mail_driver = mbox\nmail_path = ~/mail\nmail_inbox_path = /var/mail/%{user}\n",
            Mailboxes("mbox:~/mail:INBOX=/var/mail/%{user}", "/", ""),
        ),
    ],
)
def test_where_mail_lies(text: str, found: Mailboxes) -> None:
    assert dovecot.mailboxes(text) == found


@pytest.mark.parametrize(
    ("old", "new", "problem", "note"),
    [
        (OLD, OLD, "", ""),
        (OLD, NEW, "", 'mail_folder_separator: "."'),
        (OLD, OLD.replace("~/Maildir", "/srv/%u"), "set mail_maildir", ""),
        (OLD, OLD.replace("passwd", "ldap"), "", "same home and owner"),
        (OLD.replace("maildir:~/Maildir/", "mbox:~/mail"), OLD, "", "doveadm import -u USER"),
    ],
)
def test_what_users_would_miss_is_said(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, problem: str, note: str
) -> None:
    monkeypatch.setattr(dovecot, "in_force", lambda: old)
    monkeypatch.setattr(dovecot, "_mboxes", lambda: ["/var/mail/anna"])
    problems, notes = dovecot.Dovecot().stranded({MAIN: new})
    assert problem in "".join(problems) and bool(problem) == bool(problems)
    assert note in "".join(notes) and bool(note) == bool(notes)

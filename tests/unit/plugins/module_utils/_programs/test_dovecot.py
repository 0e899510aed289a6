# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Dovecot's own programs say, in the words of both versions."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs import dovecot
from ansible_collections.postamt.mail.plugins.module_utils._programs.dovecot import MAIN, Dovecot, Mailboxes, listeners
from ansible_collections.postamt.mail.tests.lib.described import described

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
    program = Dovecot(described("dovecot"))
    program.plan = {"mailboxes": dataclasses.asdict(dovecot.mailboxes(new))}
    problems, notes = program.adoption_blockers({})
    assert problem in "".join(problems) and bool(problem) == bool(problems)
    assert note in "".join(notes) and bool(note) == bool(notes)


SERVICES = """\
service auth {
  protocol =
}
service imap-login {
  protocol = imap
  inet_listener imap {
    port = 143
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = 993
    ssl = yes
  }
}
service submission-login {
  protocol = submission
  inet_listener submission {
    port = 587
  }
}
service pop3-login {
  protocol = pop3
  inet_listener pop3 {
    port = 0
  }
}
"""


@pytest.mark.parametrize(
    "protocols", ["imap pop3 sieve\n", "imap = yes\npop3 = yes\nsubmission = no\n"], ids=["2.3", "2.4"]
)
def test_only_enabled_protocols_listen(protocols: str) -> None:
    assert listeners(SERVICES, protocols) == {("", 143), ("127.0.0.1", 993)}


def test_a_change_is_told_by_its_lines() -> None:
    old, new = {MAIN: "a = 1\nb = 2\n"}, {MAIN: "a = 3\nb = 2\n", "/etc/dovecot/x": "secret"}
    assert Dovecot(described("dovecot")).changed_settings(old, new) == ["a = 3", "no more a = 1", "/etc/dovecot/x"]

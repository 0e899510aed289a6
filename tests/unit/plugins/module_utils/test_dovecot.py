# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from Dovecot's own programs."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.dovecot import MAIN, Dovecot, listeners

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
    assert Dovecot().changed_settings(old, new) == ["a = 3", "no more a = 1", "/etc/dovecot/x"]

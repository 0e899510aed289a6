# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written of a plan's data."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import forms

SERVICES = {
    "submission/inet": {"columns": ["n", "-", "y", "-", "-", "smtpd"], "options": {"b": "2, 3", "a": ""}},
    "smtp/unix": {"columns": ["-", "-", "y", "-", "-", "smtp -v"], "options": {}},
}


def test_text_is_what_it_is() -> None:
    assert forms.text({"path": "/etc/postfix/main.cf", "content": "a = 1\n"}) == "a = 1\n"


def test_main_cf() -> None:
    file = {"path": "/etc/postfix/main.cf", "content": {"myorigin": "example.org", "biff": "no", "relayhost": ""}}
    assert forms.text(file) == f"{forms.HEAD}\nbiff = no\nmyorigin = example.org\nrelayhost =\n"


def test_master_cf() -> None:
    assert forms.text({"path": "/etc/postfix/master.cf", "content": SERVICES}).splitlines() == [
        forms.HEAD,
        "smtp unix - - y - - smtp -v",
        "submission inet n - y - - smtpd",
        "  -o { a =  }",
        "  -o { b = 2, 3 }",
    ]

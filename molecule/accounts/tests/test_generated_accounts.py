# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the model accepts works: accounts of every odd form, made once for a batch, over every protocol."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find, imap_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.managesieve import sieve_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.pop3 import pop3_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib import odd_accounts
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site

STRANGER = "stranger@outside.example"


@pytest.fixture
def made(site: Site, play: RunAgain) -> Iterator[list[dict[str, Any]]]:
    command = [sys.executable, odd_accounts.__file__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    found = json.loads(printed)
    assert len(found) == odd_accounts.MOST
    done = play({"mail_accounts": [*copy.deepcopy(site.vars["mail_accounts"]), *found]})
    assert not done.failed, done.message
    yield found
    assert not play().failed


def test_what_is_accepted_works_over_every_protocol(ask: Ask, made: list[dict[str, Any]]) -> None:
    wrong = []
    for one in made:
        address, password, (alias,) = one["address"], one["password"], one["aliases"]
        logins = {
            "IMAP": imap_login(ask(993), address, password).ok,
            "POP3": pop3_login(ask(995), address, password).ok,
            "ManageSieve": sieve_login(ask(4190), address, password).ok,
        }
        mine, others = new_token(), new_token()
        login = (address, password)
        sent = smtp_send(ask(465), alias, [address], message(alias, address, mine), tls="implicit", login=login)
        come = smtp_send(ask(25), STRANGER, [alias], message(STRANGER, alias, others))
        logins["sends as the alias, to itself"] = bool(sent.accepted and imap_find(ask(993), *login, mine))
        logins["gets mail by the alias"] = bool(come.accepted and imap_find(ask(993), *login, others))
        wrong += [(one, what) for what, works in logins.items() if not works]
    assert wrong == []

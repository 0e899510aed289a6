# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the model accepts works: accounts of every odd form, made once for a batch, over every protocol."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils.probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils.probes.imap import imap_find, imap_login
from ansible_collections.postamt.mail.plugins.module_utils.probes.managesieve import sieve_login
from ansible_collections.postamt.mail.plugins.module_utils.probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.module_utils.probes.pop3 import pop3_login
from ansible_collections.postamt.mail.plugins.module_utils.probes.smtp import smtp_send
from ansible_collections.postamt.mail.plugins.plugin_utils import schema
from ansible_collections.postamt.mail.plugins.plugin_utils.site import PASSWORD_BYTES, Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STRANGER = "stranger@outside.example"
MOST = 16  # accounts; each logs in over SMTP once, of the 60 times that a client may in a minute

local = st.text(st.sampled_from(schema.LOGIN_LETTERS.replace("@", "")), min_size=1, max_size=64)
local |= st.just("x" * 64)
address = local.map(lambda text: f"{text}@example.test")
# no template of Ansible's, and no tab, which the model refuses beside the types
word = st.text(min_size=10, max_size=PASSWORD_BYTES).filter(
    lambda text: len(text.encode("utf-8", "replace")) <= PASSWORD_BYTES and not {"{", "\t"} & {*text}
)
word |= st.sampled_from(["x" * PASSWORD_BYTES, "ä" * (PASSWORD_BYTES // 2)])
name = st.text(max_size=30).filter(lambda text: "{" not in text)
accounts = st.fixed_dictionaries(
    {"address": address, "password": word, "aliases": st.lists(address, min_size=1, max_size=1)},
    optional={"name": name, "quota": st.integers(20, 10**9).map(lambda size: f"{size}M")},
)


def batch() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    used: set[str] = set()

    @settings(
        max_examples=6000, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(accounts)
    def collect(one: dict[str, Any]) -> None:
        problems: list[schema.Problem] = []
        account = schema.parse(Account, one, "account", problems)
        words = {account.address, *account.aliases, account.password} if not problems else set()
        if len(words) == 3 and not words & used and len(found) < MOST:
            used.update(words)
            found.append(one)

    collect()
    return found


@pytest.fixture
def made(site: Any, play: Any) -> Iterator[list[dict[str, Any]]]:
    found = batch()
    assert len(found) == MOST
    done = play({"mail_accounts": [*copy.deepcopy(site.vars["mail_accounts"]), *found]})
    assert not done.failed, done.message
    yield found
    assert not play().failed


def test_what_is_accepted_works_over_every_protocol(site: Any, made: list[dict[str, Any]]) -> None:
    def at(port: int) -> Endpoint:
        return Endpoint(site.ipv4, port, name=site.server_name, ca_file=site.ca_file, timeout=30)

    wrong = []
    for one in made:
        address, password, (alias,) = one["address"], one["password"], one["aliases"]
        logins = {
            "IMAP": imap_login(at(993), address, password).ok,
            "POP3": pop3_login(at(995), address, password).ok,
            "ManageSieve": sieve_login(at(4190), address, password).ok,
        }
        mine, others = new_token(), new_token()
        login = (address, password)
        sent = smtp_send(at(465), alias, [address], message(alias, address, mine), tls="implicit", login=login)
        come = smtp_send(at(25), STRANGER, [alias], message(STRANGER, alias, others))
        logins["sends as the alias, to itself"] = sent.accepted and bool(imap_find(at(993), *login, mine))
        logins["gets mail by the alias"] = come.accepted and bool(imap_find(at(993), *login, others))
        wrong += [(one, what) for what, works in logins.items() if not works]
    assert wrong == []

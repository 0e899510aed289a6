# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which passwords are made, and when."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.plugins.plugin_utils._run.stored_secrets import StoredSecrets, secret_names


def test_a_generated_password_goes_with_its_account_to_the_new_address(state: State) -> None:
    state.add_secrets({"anna@example.org": "1", "ben@example.org": "2", "berta@example.org": "3"})
    former = {"anne@example.org": "anna@example.org", "berta@example.org": "ben@example.org", "x@example.org": "none"}
    predicted = StoredSecrets(state, check_mode=True)
    predicted.rename(former)
    assert predicted.get("anne@example.org") == "1"
    assert "anne@example.org" not in state.known_secrets()
    for _twice in range(2):
        kept = StoredSecrets(state, check_mode=False)
        kept.rename(former)
        assert state.known_secrets() == kept.known == {
            "anna@example.org": "1", "anne@example.org": "1", "ben@example.org": "2", "berta@example.org": "3",
        }  # fmt: skip


def test_whoever_asks_for_a_plan_writes_nothing(state: State) -> None:
    groups = {
        "mail_mx": ["mx.example.org"],
        "mail_store": ["a.example.org"],
        "mail_directory": ["a.example.org", "b.example.org"],
    }
    groups["mail_client"] = ["app.example.org"]
    hosts = {
        name: HostInput(["mail", *(group for group in groups if name in groups[group])])
        for name in dict.fromkeys(name for names in groups.values() for name in names)
    }
    given = {"mail_domains": ["example.org"], "mail_accounts": [{"address": "alice@example.org"}]}
    site = parse_site(given, hosts, compose.concerns().values(), groups=groups)
    kept = StoredSecrets(state, check_mode=False)
    with pytest.raises(StateError, match="the password fingerprint-key was not made"):
        kept.get("fingerprint-key")
    kept.ensure(secret_names(site))
    site.secrets = kept
    before = state.known_secrets()
    for host in site.hosts.values():
        for program in compose.programs():
            compose.plan(program, site, host)  # a secret that was not made is an error
    assert state.known_secrets() == before == kept.known
    assert {"alice@example.org", "client:app.example.org", "fingerprint-key", "service:replica"} <= set(before)

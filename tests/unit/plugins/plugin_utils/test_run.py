# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run may do with the controller's state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils import compose, pki, run
from ansible_collections.postamt.mail.plugins.plugin_utils.site import HostInput, Look, Site, parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils.state import State, StateError

HERE = HostInput(("mail", "mail_mx", "mail_submission", "mail_store", "mail_directory"))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "laptop"))


def carrying(ca: str) -> Site:
    """A site of two hosts, the second of which trusts a CA."""
    hosts = {"mx.example.org": HERE, "old.example.org": HostInput(("mail", "mail_mx"), look=Look(ca=ca))}
    return parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values())


def test_a_controller_without_the_ca_stops_and_makes_nothing(state: State) -> None:
    with pytest.raises(StateError, match=r"^host old.example.org trusts a CA \(SHA-256 AB12\), and .*laptop .* none:"):
        run.refuse_strangers(carrying("AB12"), state)
    assert not os.path.exists(state.folder)


def test_a_controller_with_another_ca_stops(state: State) -> None:
    pki.ensure_authority(state, "mail.example.org")
    with pytest.raises(StateError, match="holds another: copy that folder"):
        run.refuse_strangers(carrying("AB12"), state)


def test_hosts_that_trust_the_controllers_ca_or_none_are_welcome(state: State) -> None:
    authority, _made = pki.ensure_authority(state, "mail.example.org")
    run.refuse_strangers(carrying(pki.fingerprint(authority.certificate)), state)
    run.refuse_strangers(carrying(""), state)


def test_a_generated_password_goes_with_its_account_to_the_new_address(state: State) -> None:
    state.add_secrets({"anna@example.org": "1", "ben@example.org": "2", "berta@example.org": "3"})
    former = {"anne@example.org": "anna@example.org", "berta@example.org": "ben@example.org", "x@example.org": "none"}
    predicted = run.StoredSecrets(state, check_mode=True)
    predicted.rename(former)
    assert predicted.get("anne@example.org") == "1"
    assert "anne@example.org" not in state.known_secrets()
    for _twice in range(2):
        kept = run.StoredSecrets(state, check_mode=False)
        kept.rename(former)
        assert state.known_secrets() == kept.known == {
            "anna@example.org": "1", "anne@example.org": "1", "ben@example.org": "2", "berta@example.org": "3",
        }  # fmt: skip


@pytest.mark.parametrize("value", ["{{ x }}", "a {% if x %}", "{# no #}", "#jinja2: x", [{"a": ["{{ x }}"]}], object()])
def test_what_may_be_a_template_is_templated(value: object) -> None:
    assert not run.literal(value)


def test_what_is_no_template_is_taken_as_it_is() -> None:
    assert run.literal([{"address": "a@example.org", "password_hash": "{ARGON2}$x", "quota": 1, "enabled": True}, None])


def test_a_host_that_a_run_does_not_see_is_what_an_earlier_one_saw(state: State) -> None:
    def site_of(looks: dict[str, Look]) -> Site:
        groups = {"mx.example.org": "mail_mx", "store.example.org": "mail_store"}
        inputs = {name: HostInput(("mail", group), look=looks.get(name, Look())) for name, group in groups.items()}
        found = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        return run.recall(found, state, inputs, remember=True)

    both = {
        "mx.example.org": Look(addresses=["192.0.2.1"]),
        "store.example.org": Look(addresses=["192.0.2.2"], release="bookworm"),
    }
    assert site_of({}).hosts["store.example.org"].addresses == ()
    site_of(both)
    limited = site_of({"mx.example.org": Look(addresses=["192.0.2.9"])})
    assert limited.hosts["mx.example.org"].addresses == ("192.0.2.9",)
    assert limited.hosts["store.example.org"].addresses == ("192.0.2.2",)
    assert limited.hosts["store.example.org"].version("dovecot") == (2, 3)
    assert site_of({}).hosts["mx.example.org"].addresses == ("192.0.2.9",)


def test_a_clock_may_differ_by_as_much_as_the_answer_took() -> None:
    assert run.ahead(1000, 1001.0, 1001.5) == run.ahead(1010, 1001.0, 1008.0) == 0
    assert run.ahead(1600, 1000.0, 1002.0) == 599
    assert run.ahead(400, 1000.0, 1002.0) == -601
    (said,) = run.wrong_clocks({"a": {"clock": 0}, "b": {"clock": -601}, "c": {}})
    assert said.startswith("b's clock is 601 seconds behind this controller's")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers of hosts."""

from __future__ import annotations

import json
import os
import types
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki, remembered
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.tests.lib.looks import looked

HERE = HostInput(("mail", "mail_mx", "mail_submission", "mail_store", "mail_directory"))


def carrying(ca: str) -> Site:
    """A site of two hosts, the second of which trusts a CA."""
    hosts = {"mx.example.org": HERE, "old.example.org": HostInput(("mail", "mail_mx"), look=looked(ca=ca))}
    return parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values())


def test_a_controller_without_the_ca_stops_and_makes_nothing(state: State) -> None:
    with pytest.raises(StateError, match=r"^host old.example.org trusts a CA \(SHA-256 AB12\), and .*laptop .* none:"):
        remembered.check_ca_ownership(carrying("AB12"), state)
    assert not os.path.exists(state.folder)


def test_a_controller_with_another_ca_stops(state: State) -> None:
    pki.ensure_authority(state, "mail.example.org", ["example.org"])
    with pytest.raises(StateError, match="holds another: copy that folder"):
        remembered.check_ca_ownership(carrying("AB12"), state)


def test_hosts_that_trust_the_controllers_ca_or_none_are_welcome(state: State) -> None:
    authority, _made = pki.ensure_authority(state, "mail.example.org", ["example.org"])
    remembered.check_ca_ownership(carrying(pki.fingerprint(authority.certificate)), state)
    pki.ensure_authority(state, "mail.example.org", ["example.org", "example.net"])
    remembered.check_ca_ownership(carrying(pki.fingerprint(authority.certificate)), state)
    remembered.check_ca_ownership(carrying(""), state)


def test_a_host_that_a_run_does_not_see_is_what_an_earlier_one_saw(state: State) -> None:
    def site_of(looks: dict[str, Look]) -> Site:
        groups = {"mx.example.org": "mail_mx", "store.example.org": "mail_store"}
        inputs = {name: HostInput(("mail", group), look=looks.get(name, Look())) for name, group in groups.items()}
        found = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        return remembered.recall(found, state, inputs, remember=True)

    both = {
        "mx.example.org": looked(addresses=["192.0.2.1"]),
        "store.example.org": looked(addresses=["192.0.2.2"], release="bookworm"),
    }
    assert site_of({}).hosts["store.example.org"].addresses == ()
    site_of(both)
    limited = site_of({"mx.example.org": looked(addresses=["192.0.2.9"])})
    assert limited.hosts["mx.example.org"].addresses == ("192.0.2.9",)
    assert limited.hosts["store.example.org"].addresses == ("192.0.2.2",)
    assert limited.hosts["store.example.org"].version("dovecot") == (2, 3)
    assert site_of({}).hosts["mx.example.org"].addresses == ("192.0.2.9",)


def test_a_host_that_no_run_has_seen_since_is_known_by_the_old_name_of_its_links(state: State) -> None:
    state.write(remembered.HOSTS_FILE, b'{"old.example.org": {"addresses": ["192.0.2.9"]}}', secret=False)
    groups = ("mail", "mail_mx", "mail_store")
    inputs = {"mx.example.org": HostInput(groups, look=looked(addresses=["192.0.2.1"])), "old.example.org": HostInput()}
    site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
    known = remembered.recall(site, state, inputs, remember=True).hosts
    assert {name: host.link_named for name, host in known.items()} == {
        "mx.example.org": True,
        "old.example.org": False,
    }
    later = remembered.recall(site, state, {name: HostInput() for name in inputs}, remember=False).hosts
    assert later["mx.example.org"].link_named


def test_a_run_without_certificates_gives_links_no_names(state: State) -> None:
    before = {"mx.example.org": {"addresses": ["192.0.2.9"]}}
    state.write(remembered.HOSTS_FILE, json.dumps(before).encode(), secret=False)
    groups = ("mail", "mail_mx", "mail_store")
    seen = {
        "mx.example.org": HostInput(groups, look=looked(addresses=["192.0.2.1"])),
        "new.example.org": HostInput(look=looked(addresses=["192.0.2.2"])),
    }

    def named(inputs: dict[str, HostInput], naming: bool) -> list[bool]:
        site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        return [host.link_named for host in remembered.recall(site, state, inputs, True, naming).hosts.values()]

    away = {"mx.example.org": HostInput(groups), "new.example.org": HostInput()}
    assert named(seen, naming=False) == [False, True]  # of the new one nobody knows anything yet
    assert named(away, naming=True) == [False, False]
    assert named(seen, naming=True) == named(seen, naming=False) == named(away, naming=False) == [True, True]


def test_forks_that_have_each_seen_another_host_lose_none(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    names, groups = ["a.example.org", "b.example.org"], ("mail", "mail_mx")
    read = remembered._remembered
    before: list[dict[str, t.Any]] = [{}, {}]  # both read before one of them writes
    monkeypatch.setattr(
        remembered, "_remembered", lambda *where: before.pop() if before and state._depth == 0 else read(*where)
    )
    for number, name in enumerate(names):
        look = looked(addresses=[f"192.0.2.{number}"])
        inputs = {one: HostInput(groups, look=look if one == name else Look()) for one in names}
        inputs["store.example.org"] = HostInput(("mail", "mail_store"))
        site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        remembered.recall(site, state, inputs, remember=True)
    assert sorted(read(state, remembered.HOSTS_FILE)) == names


@pytest.mark.parametrize(
    ("action", "tags", "skipped", "gives"),
    [
        ("postamt.mail.site", ["all"], [], True),
        ("postamt.mail.site", ["certificates", "postfix"], [], True),
        ("postamt.mail.site", ["of-their-own"], [], True),
        ("postamt.mail.site", ["postfix", "haproxy"], [], False),
        ("postamt.mail.site", ["all"], ["certificates"], False),
        ("postamt.mail.certificates", ["all"], [], True),
        ("postamt.mail.haproxy", ["all"], [], False),
        ("haproxy", ["all"], [], False),
    ],
)
def test_which_runs_bring_certificates(action: str, tags: list[str], skipped: list[str], gives: bool) -> None:
    task = types.SimpleNamespace(_task=types.SimpleNamespace(action=action))
    assert remembered.gives_names(task, {"ansible_run_tags": tags, "ansible_skip_tags": skipped}) == gives


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_record_that_cannot_be_read_is_named(state: State, content: bytes) -> None:
    for name in (remembered.HOSTS_FILE, remembered.ASKED_FILE):
        state.write(name, content, secret=False)
        with pytest.raises(StateError, match=rf"{name} must be a mapping in JSON: remove it"):
            remembered._remembered(state, name)


def test_what_is_kept_of_a_host_is_looked_at_like_what_it_says(state: State) -> None:
    inputs = {
        "mx.example.org": HostInput(("mail", "mail_mx"), look=looked(addresses=["192.0.2.1"])),
        "store.example.org": HostInput(("mail", "mail_store")),
    }
    site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
    kept: tuple[object, ...] = ({"addresses": ["fe80::1%x\nroot"]}, {"mail_domains": ["evil.example"]}, [])
    for wrong in kept:
        state.write(remembered.HOSTS_FILE, json.dumps({"store.example.org": wrong}).encode(), secret=False)
        with pytest.raises(
            StateError, match=r"hosts.json: what host store.example.org says of itself: look.* run with"
        ):
            remembered.recall(site, state, inputs, remember=True)


def test_hosts_that_still_ask_a_former_provider_are_named(state: State) -> None:
    def asked(provider: str, *reached: str, remember: bool = True) -> dict[str, str]:
        groups = {"mx": "mail_mx", "one": "mail_store", "two": "mail_submission", "app": "mail_client"}
        inputs = {
            f"{name}.example.org": HostInput(("mail", group, *(["mail_directory"] if name in ("mx", "one") else [])))
            for name, group in groups.items()
        }
        said = {"mail_domains": ["example.org"], "mail_directory_provider": f"{provider}.example.org"}
        site = parse_site(said, inputs, compose.concerns().values())
        return remembered.still_asked(site, state, [f"{name}.example.org" for name in reached], remember)

    assert asked("one", "mx", "one", "two") == {}
    assert asked("mx", "mx", "one", remember=False) == {"two.example.org": "one.example.org"}
    assert asked("one", "mx") == {}  # check mode has changed nothing
    assert asked("mx", "mx") == {"one.example.org": "one.example.org", "two.example.org": "one.example.org"}
    assert asked("mx", "mx", "one", "two") == {}

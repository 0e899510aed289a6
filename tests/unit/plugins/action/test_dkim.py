# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A domain's way to new keys, as somebody goes it with the playbook; with a name server on this machine."""

from __future__ import annotations

import json
import subprocess
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.action import dkim
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import text
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys, new_set
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_dkim_keys as stored
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer

ORG, NET = Domain("example.org"), Domain("example.net")


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer({ORG: "", NET: ""}) as started:
        yield started


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Return the state of a site that a run deployed long ago."""
    found = State(str(tmp_path / "state"))
    stored.change(found, lambda _known: {name: DomainKeys(new_set("20260101")).deployed(1) for name in (ORG, NET)})
    return found


Run = Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(tmp_path: Path, state: State, server: DnsServer) -> Run:
    """Run the playbook as an administrator does; returns whether it failed, and what was printed."""

    def played(*options: str, **said: t.Any) -> dict[str, t.Any]:
        site = {"mail_domains": [ORG, NET], "mail_state_dir": state.folder, **said.pop("site", {})}
        hosts = {"mail.example.org": {"ansible_host": "192.0.2.1", "ansible_ssh_executable": "/bin/false"}}
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(json.dumps({"mail": {"hosts": hosts, "vars": site}}))
        extra = {"dkim_resolvers": server.resolver, **{f"dkim_{name}": value for name, value in said.items()}}
        command = ["ansible-playbook", "-i", str(inventory), "postamt.mail.dkim", *options, "-e", json.dumps(extra)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert "PRIVATE" not in done.stdout
        return {"failed": done.returncode != 0, "text": done.stdout}

    return played


def shown(server: DnsServer, state: State) -> None:
    """Have the name server show all records."""
    for domain, keys in stored.read(state).items():
        for name, said in keys.records(domain):
            server.put(name, "TXT", text(name, said).data)


def test_from_old_keys_to_new_ones(run: Run, server: DnsServer, state: State) -> None:
    shown(server, state)
    before = stored.read(state)
    assert "example.org: next: dkim_step=publish" in run()["text"]
    assert "example.org: would make a next set" in run("--check", step="publish")["text"]
    assert stored.read(state) == before

    published = run(step="publish", domains=ORG)
    assert not published["failed"] and "add these records to the DNS:" in published["text"]
    (fresh,) = [keys.next for keys in stored.read(state).values() if keys.next]
    assert all(f"{selector}._domainkey.example.org. 3600 IN TXT" in published["text"] for selector in fresh.selectors())
    again = run(step="publish", domains=ORG)
    assert "example.org: has a next set already" in again["text"] and fresh.keys[1].record() in again["text"]

    early = run(step="sign")
    assert early["failed"] and f"the DNS has no TXT record at {fresh.selectors()[0]}" in early["text"]
    assert stored.read(state)[ORG].signing == before[ORG].signing
    shown(server, state)
    assert "would sign with" in run("--check", step="sign")["text"]
    signed = run(step="sign")  # for the domain that has a next set
    assert "example.org: is to sign with" in signed["text"]
    assert signed["failed"] and "PLAY [Mail]" in signed["text"]  # the run of the site that follows finds no host
    now = stored.read(state)
    assert (now[ORG].signing.keys, now[ORG].signing.since, now[NET]) == (fresh.keys, None, before[NET])

    waiting = run(step="withdraw", wait_days=0, confirmed=True)
    assert waiting["failed"] and "no whole run has deployed the set that is to sign" in waiting["text"]
    assert "PLAY [Mail]" in run(step="sign")["text"]  # a killed run is begun again
    assert stored.read(state) == now

    stored.mark_deployed(state, {ORG: [s for _role, one in now[ORG].sets() for s in one.selectors()]})
    assert "may still be on its way: wait until" in run(step="withdraw")["text"]
    done = run(step="withdraw", wait_days=0)
    assert not done["failed"] and "remove these records from the DNS:" in done["text"]
    assert stored.read(state)[ORG].former is None
    text = Path(state.path(stored.DKIM_FILE)).read_text()
    assert json.dumps(before[ORG].signing.keys[0].private) not in text


def test_one_domain_that_is_not_ready_holds_all_that_were_named(run: Run, server: DnsServer, state: State) -> None:
    run(step="publish")
    shown(server, state)
    selector = next(iter(stored.read(state)[NET].next.selectors()))  # type: ignore[union-attr]
    server.put(f"{selector}._domainkey.{NET}", "TXT")
    before = stored.read(state)
    refused = run(step="sign")
    assert refused["failed"] and "cannot be done for 1 of 2 domains, and nothing was changed" in refused["text"]
    assert "for the others alone: -e dkim_domains=example.org" in refused["text"]
    assert stored.read(state) == before
    run(step="sign", domains=[ORG])
    assert [name for name, keys in stored.read(state).items() if keys.former] == [ORG]


def test_what_cannot_be_asked_is_said_by_the_playbooks_names(run: Run) -> None:
    wrong: list[tuple[dict[str, t.Any], str]] = [
        ({"step": "publsh"}, "dkim_step is 'publsh': must be one of publish, sign, withdraw; did you mean publish?"),
        ({"step": "deployed"}, "dkim_step is 'deployed': it is for postamt.mail.site alone"),
        ({"domains": "example.rog"}, "dkim_domains is 'example.rog': is no domain of the site"),
        ({"step": "sign", "site": {"mail_dkim": False}}, "mail_dkim is False: nothing is signed"),
    ]
    for said, sentence in wrong:
        found = run(**said)
        assert found["failed"] and sentence in found["text"], found["text"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"step": ""}, "dkim_step is '': must be one of publish, sign, withdraw"),
        ({"domains": ""}, "dkim_domains: must not be empty"),
        ({"domains": []}, "dkim_domains: must not be empty"),
        ({"domains": {"a": 1}}, "dkim_domains is {'a': 1}: must be a list"),
        ({"domains": "example.org,@"}, "dkim_domains[1] is '@': must be a domain name"),
        ({"confirmed": "maybe"}, "dkim_confirmed is 'maybe': must be true or false"),
        ({"resolvers": ","}, "dkim_resolvers: must not be empty"),
        ({"wait_days": -1}, "dkim_wait_days is -1: must be from 0 to 365"),
        ({"wait_days": "soon"}, "dkim_wait_days is 'soon': must be a whole number"),
    ],
)
def test_values_that_are_refused(given: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError) as refused:
        dkim.asked_for(given)
    assert [sentence in str(problem) for problem in refused.value.problems] == [True]


def test_values_from_a_command_line() -> None:
    asked = dkim.asked_for({"domains": "Example.org, example.net", "confirmed": "yes", "wait_days": "3"})
    assert (asked.dkim_domains, asked.dkim_confirmed, asked.dkim_wait_days) == ([ORG, NET], True, 3)
    assert asked.dkim_step is None


def test_what_another_run_has_changed_meanwhile_is_not_overwritten() -> None:
    before, theirs = {ORG: DomainKeys(new_set("20260101"))}, {ORG: DomainKeys(new_set("20260202"))}
    assert dkim._unless_changed(before, before, theirs) == theirs
    with pytest.raises(StateError, match="another run has just changed its keys; run again"):
        dkim._unless_changed(theirs, before, before)


@pytest.mark.parametrize(
    ("reached", "check_mode", "dated"),
    [(["a", "b"], False, True), (["a", "b", "c"], False, True), (["a"], False, False), (["a", "b"], True, False)],
)
def test_keys_are_in_use_when_a_run_is_through_on_each_host_that_signs(
    state: State, monkeypatch: pytest.MonkeyPatch, reached: list[str], check_mode: bool, dated: bool
) -> None:
    stored.change(state, lambda _known: {ORG: DomainKeys(new_set("20261128"))})
    left = {"keys": {ORG: ["rsa20261128", "ed20261128"]}, "hosts": ["a", "b"], "state_dir": state.folder}
    monkeypatch.setattr(handover, "handed", lambda _vars, what: left if what == handover.DEPLOYED else None)
    action = dkim.ActionModule.__new__(dkim.ActionModule)
    action._task = type("Task", (), {"check_mode": check_mode})
    action._loader = type("Loader", (), {"_vault": None})
    action._vars = {"ansible_play_hosts": reached}
    assert action._deployed() == {"changed": False}
    assert (stored.read(state)[ORG].signing.since is not None) is dated

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How plans are tried and handed over."""

from __future__ import annotations

import json
import types
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible import constants
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError, ConcernError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Extension, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover, inventory
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import state_dir

HERE = HostInput(("mail", "mail_mx", "mail_submission", "mail_store", "mail_directory"))


def all_of(plans: t.Mapping[tuple[str, str], t.Any]) -> dict[str, list[str]]:
    """Return the programs of each host, as if all had something to do."""
    return {host: [program for name, program in plans if name == host] for host, _program in plans}


@pytest.mark.parametrize("mark", ["../../evil", "0" * 31, "0" * 33, f"{'0' * 32}\n", ["0" * 32], None, "0" * 32])
def test_a_mark_that_is_not_of_this_run_leads_to_no_file(mark: object) -> None:
    assert handover.handed({handover.SITE_RESULT: {"site_token": mark}}, "mx.example.org/postfix") is None
    assert handover.handed({handover.SITE_RESULT: mark}, "mx.example.org/postfix") is None


def test_plans_are_handed_over_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    site = parse_site({"mail_domains": ["example.org"]}, {"mx.example.org": HERE}, compose.concerns().values())
    host = site.hosts["mx.example.org"]
    plans: dict[tuple[str, str], tuple[inventory.Overrides, compose.Plan]] = {
        ("mx.example.org", name): ({"settings": {}}, compose.plan(name, site, host)) for name in compose.programs()
    }
    said = {
        handover.SITE_RESULT: {"site_token": handover.hand_over(site, plans, all_of(plans), {})},
        "inventory_hostname": "mx.example.org",
    }
    left = list(tmp_path.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in left} == {0o700, 0o600}
    assert len(left) == 1 + len(plans) + 3
    for program in compose.programs():
        plan = json.loads(json.dumps(plans["mx.example.org", program][1]))
        given = handover.plan_for(None, said, program, {"settings": {}})
        assert (given.plan, given.state_dir) == (plan, state_dir(site))
        assert set(given.beside() or ()) >= ({"service:postfix"} if program == "ldap" else set())


def test_what_concerns_do_not_agree_on_is_no_problem_of_the_variables(
    task_in: Callable[..., t.Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"mail_domains": ["example.org"], "mail_state_dir": str(tmp_path / "state")}
    action, task_vars = task_in({"mail.example.org": variables})
    site = inventory.derive(action, task_vars, {})
    more = {
        "extends": Postfix(extensions={"no/unix": Extension("1")}),
        "sets": Postfix(parameters={"smtpd_baner": "x"}),
    }

    def said(name: str) -> str:
        concerns = {**known, name: types.SimpleNamespace(postfix=lambda site, host: more[name])}
        monkeypatch.setattr(compose, "concerns", lambda: concerns)
        with pytest.raises(ConcernError) as caught:
            handover.tried_plans(action, task_vars, site)
        return str(caught.value)

    known = dict(compose.concerns())
    head = "faults of the collection, not of the site's variables:"
    sentence = "concern extends extends Postfix service no/unix, which no concern brings to this host"
    assert said("extends") == f"{head}\n{sentence}"
    given = {"dovecot_settings": {"no_such": 1}, "postfix_settings": {"smtp_bnd": 1}}
    action, task_vars = task_in({"mail.example.org": {**variables, **given}})
    first, own, users, second, fault = said("sets").splitlines()
    assert first == "2 problems in the site's variables:" and second == head
    assert own.startswith("- dovecot_settings: no_such") and users.startswith("- postfix_settings: smtp_bnd")
    assert fault.startswith("concern sets: smtpd_baner is no parameter")
    monkeypatch.setattr(compose, "concerns", lambda: known)
    with pytest.raises(SiteError, match="2 problems"):
        handover.tried_plans(action, task_vars, site)


Digests = dict[str, str]


def handed_over(
    task_in: Callable[..., t.Any], settled: Callable[[Digests], Digests] = lambda found: {}, **said: t.Any
) -> tuple[t.Any, dict[str, t.Any]]:
    """Return a role's task after postamt.mail.site, on the second host.

    settled: returns the digests that the hosts' look says, of those of the plans but sasl's.
    """
    hosts: dict[str, t.Any] = dict.fromkeys(("a.example.org", "b.example.org"), said)
    action, task_vars = task_in(hosts)
    site = inventory.derive(action, task_vars, {})
    plans = handover.tried_plans(action, task_vars, site)
    left: dict[str, Digests] = {}
    for (host, program), (_overrides, plan) in plans.items():
        left.setdefault(host, {}).update({program: plan["digest"]} if program != "sasl" else {})
    mark = handover.hand_over(site, plans, all_of(plans), {host: settled(found) for host, found in left.items()})
    action, task_vars = task_in(hosts, on="b.example.org", action="postamt.mail.postfix")
    return action, {**task_vars, handover.SITE_RESULT: {"site_token": mark}}


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return {
        "mail_domains": ["example.org"],
        "mail_state_dir": str(tmp_path / "state"),
        "postfix_settings": {"smtp_helo_name": "{{ inventory_hostname }}", "mydestination": ["a", 1]},
        "postfix_services": {"2525/inet": {"command": "smtpd"}},
    }


def main_cf(plan: compose.Plan) -> str:
    return str(next(forms.text(file) for file in plan["files"] if file["path"] == "/etc/postfix/main.cf"))


def test_a_role_gets_what_was_tried(task_in: Callable[..., t.Any], variables: dict[str, t.Any]) -> None:
    action, task_vars = handed_over(task_in, **variables)
    same = {"settings": {"smtp_helo_name": "b.example.org", "mydestination": ("a", 1)}}
    for said in (None, {}, same, {**same, "services": variables["postfix_services"]}):
        plan = handover.plan_for(action, task_vars, "postfix", said).plan
        assert "\nsmtp_helo_name = b.example.org\n" in main_cf(plan)
    assert handover.plan_for(action, task_vars, "dovecot", {"settings": {}}).plan["wanted"]


@pytest.mark.parametrize(
    "said", [{"settings": {"smtp_helo_name": "other"}}, {"settings": {}}, {"services": {}}, {"settings": None}]
)
def test_what_was_not_tried_is_refused(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any], said: dict[str, t.Any]
) -> None:
    action, task_vars = handed_over(task_in, **variables)
    with pytest.raises(SiteError) as refused:
        handover.plan_for(action, task_vars, "postfix", said)
    (problem,) = refused.value.problems
    start = f"postfix_{next(iter(said))} of host b.example.org: is not the value that postamt.mail.site has tried"
    assert str(problem).startswith(start)


def test_a_role_alone_tries_what_it_is_told(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "look_at", lambda *_task: {"look": {"masked": ["dovecot.service"]}})
    action, task_vars = task_in({"a.example.org": variables}, action="postamt.mail.postfix")

    def alone(program: str, **said: t.Any) -> compose.Plan:
        return handover.plan_for(action, task_vars, program, said).plan

    assert "\nsmtp_helo_name = mine\n" in main_cf(alone("postfix", settings={"smtp_helo_name": "mine"}))
    assert "\nsmtp_helo_name = a.example.org\n" in main_cf(alone("postfix"))
    assert "\nsmtp_helo_name" not in main_cf(alone("postfix", settings={}))
    with pytest.raises(ComposeError, match=r"^postfix_settings: smtp_helo is no parameter"):
        alone("postfix", settings={"smtp_helo": "mine"})
    with pytest.raises(SiteError, match=r"dovecot.service of host a.example.org: is masked there"):
        alone("dovecot")


def test_a_template_that_lacks_what_only_a_run_knows_stops_no_other_host(task_in: Callable[..., t.Any]) -> None:
    said = {"mail_domains": ["example.org"], "mail_host_name": "{{ inventory_hostname }}.example.org"}
    play = {"postfix_settings": {"smtp_helo_name": "{{ seen_name }}"}}
    hosts = {"a": {**said, "seen_name": "a.example.org"}, "b": said}
    action, task_vars = task_in(hosts, play)
    site = inventory.derive(action, task_vars, {})
    with pytest.raises(SiteError, match="variables of host b: cannot be read: 'seen_name' is undefined"):
        handover.tried_plans(action, task_vars, site)
    answer = {"look": {"release": "trixie"}}
    task_vars["hostvars"]._variable_manager.set_nonpersistent_facts("a", {inventory.LOOK: answer})
    plans = handover.tried_plans(action, task_vars, site)
    assert plans["a", "postfix"][0] == {"settings": {"smtp_helo_name": "a.example.org"}}
    assert plans["b", "postfix"][0] == {}


def test_a_host_that_calls_itself_another_one_gets_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    site = parse_site({"mail_domains": ["example.org"]}, {"mx.example.org": HERE}, compose.concerns().values())
    plans: dict[tuple[str, str], tuple[inventory.Overrides, compose.Plan]] = {
        ("mx.example.org", name): ({}, compose.plan(name, site, site.hosts["mx.example.org"]))
        for name in compose.programs()
    }
    token = handover.hand_over(site, plans, all_of(plans), {})
    facts = {"ansible_facts": {"inventory_hostname": "mx.example.org"}}
    said = {
        handover.SITE_RESULT: {"site_token": token},
        "inventory_hostname": "mx.example.org",
        "hostvars": types.SimpleNamespace(raw_get=lambda name: {}),
        **facts,
    }
    with pytest.raises(SiteError, match="inventory_hostname of host mx.example.org: is among the host's facts"):
        handover.plan_for(None, said, "postfix")


@pytest.mark.parametrize(
    ("program", "said", "given", "expected"),
    [
        ("dovecot", {}, {}, True),
        ("postfix", {}, {"settings": {"smtp_helo_name": "b.example.org", "mydestination": ["a", 1]}}, True),
        ("postfix", {}, {"settings": {"smtp_helo_name": "elsewhere"}}, False),  # what plan_for() refuses
        ("dovecot", {"mail_full_check": True}, {}, False),
        ("amavis", {}, {}, False),  # the host was left by another plan
        ("sasl", {}, {}, False),  # the look has a doubt
    ],
)
def test_a_host_that_is_as_it_was_left_has_nothing_to_do(
    task_in: Callable[..., t.Any],
    variables: dict[str, t.Any],
    program: str,
    said: dict[str, t.Any],
    given: dict[str, t.Any],
    expected: bool,
) -> None:
    action, task_vars = handed_over(task_in, settled=lambda found: {**found, "amavis": "0" * 64}, **variables, **said)
    assert handover.settled(task_vars, program, given) == expected


def test_a_replica_is_asked_unless_the_provider_is_as_it_was_too(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any]
) -> None:
    both = {**variables, "mail_accounts": [{"address": "anna@example.org"}]}
    functions = {"mail_directory": ["a.example.org", "b.example.org"], "mail_store": ["a.example.org"],
              "mail_mx": ["a.example.org", "b.example.org"]}  # fmt: skip
    for provider, expected in ((True, True), (False, False)):
        hosts: dict[str, t.Any] = dict.fromkeys(("a.example.org", "b.example.org"), both)
        action, task_vars = task_in(hosts, functions=functions)
        site = inventory.derive(action, task_vars, {})
        plans = handover.tried_plans(action, task_vars, site)
        left = {"b.example.org": {"ldap": plans["b.example.org", "ldap"][1]["digest"]}}
        left["a.example.org"] = {"ldap": plans["a.example.org", "ldap"][1]["digest"]} if provider else {}
        token = handover.hand_over(site, plans, all_of(plans), left)
        action, task_vars = task_in(hosts, on="b.example.org", action="postamt.mail.ldap", functions=functions)
        assert handover.settled({**task_vars, handover.SITE_RESULT: {"site_token": token}}, "ldap") == expected


def test_a_program_without_a_task_on_a_host_leaves_nothing_for_it(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    action, task_vars = task_in(dict.fromkeys(("a.example.org", "b.example.org"), variables))
    site = inventory.derive(action, task_vars, {})
    plans = handover.tried_plans(action, task_vars, site)
    token = handover.hand_over(site, plans, {"a.example.org": ["postfix"], "b.example.org": []}, {})
    there = {**task_vars, handover.SITE_RESULT: {"site_token": token}}
    assert handover.handed(there, "a.example.org/postfix")["plan"]["wanted"]
    assert handover.handed(there, "b.example.org/postfix") is None
    assert handover.handed(there, "a.example.org/dovecot") is None
    other = {"settings": {"mail_max_userip_connections": 7}}
    with pytest.raises(SiteError, match="dovecot_settings of host a.example.org: is not the value that"):
        handover.plan_for(action, {**there, "inventory_hostname": "a.example.org"}, "dovecot", other)


def test_a_digest_tells_plans_and_what_is_brought_with_them_apart() -> None:
    plan = {"files": [{"path": "/etc/x", "content": "1"}]}
    known = handover.digest_of(plan)
    assert known == handover.digest_of({"files": [{"path": "/etc/x", "content": "1"}]})
    assert known != handover.digest_of({"files": [{"path": "/etc/x", "content": "2"}]})
    assert known != handover.digest_of(plan, ["signatures"])


def test_that_a_host_is_as_it_was_counts_once(task_in: Callable[..., t.Any], variables: dict[str, t.Any]) -> None:
    _action, task_vars = handed_over(task_in, settled=lambda found: found, **variables)
    assert handover.settled(task_vars, "dovecot")
    assert not handover.settled(task_vars, "dovecot")


def test_a_change_of_one_program_has_the_others_looked_at(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any]
) -> None:
    _action, task_vars = handed_over(task_in, settled=lambda found: found, **variables)
    handover.unsettle(task_vars)
    assert not handover.settled(task_vars, "dovecot") and not handover.settled(task_vars, "postfix")


@pytest.mark.parametrize("before", [False, True])
def test_a_value_that_nobody_has_tried_is_refused_there_too(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any], before: bool
) -> None:
    action, task_vars = handed_over(task_in, settled=lambda found: found, **variables)
    if before:
        assert handover.settled(task_vars, "postfix")
    with pytest.raises(SiteError, match="postfix_settings of host b.example.org: is not the value that"):
        handover.plan_for(action, task_vars, "postfix", {"settings": {"smtpd_banner": "x"}})


def test_a_change_of_one_program_finds_the_others_plans_at_hand(
    task_in: Callable[..., t.Any], variables: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the directory's, which grows with the accounts: deriving the site anew takes as long as before."""
    action, task_vars = handed_over(task_in, settled=lambda found: found, **variables)
    handover.unsettle(task_vars)
    derived: list[str] = []

    def site_for(action: t.Any, task_vars: dict[str, t.Any]) -> Site:
        derived.append("again")
        return inventory.derive(action, task_vars, {})

    monkeypatch.setattr(handover, "site_for", site_for)
    for program in compose.programs():
        assert handover.plan_for(action, task_vars, program).plan["digest"]
        assert derived == (["again"] if program == "ldap" else [])
        derived.clear()

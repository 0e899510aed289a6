# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run may do with the controller's state."""

from __future__ import annotations

import json
import os
import types
import typing as t
from pathlib import Path

import pytest
from ansible import constants
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import (
    Problem,
    Refused,
    Secret,
    SiteError,
    parse,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import clamav
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postfix import Extension, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki, run
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.tests.lib.looks import looked

HERE = HostInput(("mail", "mail_mx", "mail_submission", "mail_store", "mail_directory"))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "laptop"))


def carrying(ca: str) -> Site:
    """A site of two hosts, the second of which trusts a CA."""
    hosts = {"mx.example.org": HERE, "old.example.org": HostInput(("mail", "mail_mx"), look=looked(ca=ca))}
    return parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values())


def test_a_controller_without_the_ca_stops_and_makes_nothing(state: State) -> None:
    with pytest.raises(StateError, match=r"^host old.example.org trusts a CA \(SHA-256 AB12\), and .*laptop .* none:"):
        run.check_ca_ownership(carrying("AB12"), state)
    assert not os.path.exists(state.folder)


def test_a_controller_with_another_ca_stops(state: State) -> None:
    pki.ensure_authority(state, "mail.example.org", ["example.org"])
    with pytest.raises(StateError, match="holds another: copy that folder"):
        run.check_ca_ownership(carrying("AB12"), state)


def test_hosts_that_trust_the_controllers_ca_or_none_are_welcome(state: State) -> None:
    authority, _made = pki.ensure_authority(state, "mail.example.org", ["example.org"])
    run.check_ca_ownership(carrying(pki.fingerprint(authority.certificate)), state)
    pki.ensure_authority(state, "mail.example.org", ["example.org", "example.net"])
    run.check_ca_ownership(carrying(pki.fingerprint(authority.certificate)), state)
    run.check_ca_ownership(carrying(""), state)


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


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("0123-word", True), ("2024-01-01", True), ('"0123456789"', True),
        ("01234567", False), ("12:34:56", False), ("1_000_000_000", False), ("1.50", False), ("yes", False),
        ("2001-12-14t21:59:43.10-05:00", False), ("!!binary aGVsbG8gd29ybGQ=", False), ("0x1234567890", False),
    ],
)  # fmt: skip
def test_a_password_is_what_was_written_or_refused(written: str, taken: bool) -> None:
    problems: list[Problem] = []
    read = run.plain(yaml_load(f"[{written}]"))[0]
    found = parse(Secret, read, "password", problems)
    assert found == (written.strip('"') if taken else None)
    assert taken or "need quotes to be text" in str(problems[0])


def test_a_host_that_a_run_does_not_see_is_what_an_earlier_one_saw(state: State) -> None:
    def site_of(looks: dict[str, Look]) -> Site:
        groups = {"mx.example.org": "mail_mx", "store.example.org": "mail_store"}
        inputs = {name: HostInput(("mail", group), look=looks.get(name, Look())) for name, group in groups.items()}
        found = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        return run.recall(found, state, inputs, remember=True)

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
    state.write(run.HOSTS_FILE, b'{"old.example.org": {"addresses": ["192.0.2.9"]}}', secret=False)
    groups = ("mail", "mail_mx", "mail_store")
    inputs = {"mx.example.org": HostInput(groups, look=looked(addresses=["192.0.2.1"])), "old.example.org": HostInput()}
    site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
    known = run.recall(site, state, inputs, remember=True).hosts
    assert {name: host.link_named for name, host in known.items()} == {
        "mx.example.org": True,
        "old.example.org": False,
    }
    later = run.recall(site, state, {name: HostInput() for name in inputs}, remember=False).hosts
    assert later["mx.example.org"].link_named


def test_a_run_without_certificates_gives_links_no_names(state: State) -> None:
    before = {"mx.example.org": {"addresses": ["192.0.2.9"]}}
    state.write(run.HOSTS_FILE, json.dumps(before).encode(), secret=False)
    groups = ("mail", "mail_mx", "mail_store")
    seen = {
        "mx.example.org": HostInput(groups, look=looked(addresses=["192.0.2.1"])),
        "new.example.org": HostInput(look=looked(addresses=["192.0.2.2"])),
    }

    def named(inputs: dict[str, HostInput], naming: bool) -> list[bool]:
        site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        return [host.link_named for host in run.recall(site, state, inputs, True, naming).hosts.values()]

    away = {"mx.example.org": HostInput(groups), "new.example.org": HostInput()}
    assert named(seen, naming=False) == [False, True]  # of the new one nobody knows anything yet
    assert named(away, naming=True) == [False, False]
    assert named(seen, naming=True) == named(seen, naming=False) == named(away, naming=False) == [True, True]


def test_forks_that_have_each_seen_another_host_lose_none(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    names, groups = ["a.example.org", "b.example.org"], ("mail", "mail_mx")
    read = run._remembered
    before: list[dict[str, t.Any]] = [{}, {}]  # both read before one of them writes
    monkeypatch.setattr(
        run, "_remembered", lambda *where: before.pop() if before and state._depth == 0 else read(*where)
    )
    for number, name in enumerate(names):
        look = looked(addresses=[f"192.0.2.{number}"])
        inputs = {one: HostInput(groups, look=look if one == name else Look()) for one in names}
        inputs["store.example.org"] = HostInput(("mail", "mail_store"))
        site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
        run.recall(site, state, inputs, remember=True)
    assert sorted(read(state, run.HOSTS_FILE)) == names


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
    assert run.gives_names(task, {"ansible_run_tags": tags, "ansible_skip_tags": skipped}) == gives


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_record_that_cannot_be_read_is_named(state: State, content: bytes) -> None:
    for name in (run.HOSTS_FILE, run.ASKED_FILE):
        state.write(name, content, secret=False)
        with pytest.raises(StateError, match=rf"{name} must be a mapping in JSON: remove it"):
            run._remembered(state, name)


def test_what_is_kept_of_a_host_is_looked_at_like_what_it_says(state: State) -> None:
    inputs = {
        "mx.example.org": HostInput(("mail", "mail_mx"), look=looked(addresses=["192.0.2.1"])),
        "store.example.org": HostInput(("mail", "mail_store")),
    }
    site = parse_site({"mail_domains": ["example.org"]}, inputs, compose.concerns().values())
    kept: tuple[object, ...] = ({"addresses": ["fe80::1%x\nroot"]}, {"mail_domains": ["evil.example"]}, [])
    for wrong in kept:
        state.write(run.HOSTS_FILE, json.dumps({"store.example.org": wrong}).encode(), secret=False)
        with pytest.raises(
            StateError, match=r"hosts.json: what host store.example.org says of itself: look.* run with"
        ):
            run.recall(site, state, inputs, remember=True)


def hostvars(**hosts: dict[str, object]) -> t.Any:
    return types.SimpleNamespace(raw_get=lambda name: hosts[name])


def test_no_variable_of_the_site_may_be_a_fact() -> None:
    facts = {
        "distribution": "Debian",
        "mail_relayhost": {},
        "postfix_settings": {},
        "__mail_site": {},
        "inventory_dir": "/",
        "inventory_hostname": "store",
        "quota": "1G",
    }
    variables = {"hostvars": hostvars(mx={"ansible_facts": facts}, store={"mail_relayhost": {}}, new={})}
    found = [problem.where for problem in run.from_facts(variables, ["mx", "store", "new", "mx"])]
    names = ("mail_relayhost", "postfix_settings", "__mail_site", "inventory_dir", "inventory_hostname")
    assert found == [f"{name} of host mx" for name in names]
    assert len(run.from_facts(variables, ["mx"], ["quota", "state"])) == len(names) + 1


def test_a_host_that_calls_itself_another_one_is_found_by_its_own_facts() -> None:
    variables = {
        "hostvars": hostvars(store={}),
        "inventory_hostname": "store",
        "ansible_facts": {"inventory_hostname": "store"},
    }
    (problem,) = run.from_facts(variables, ["store"])
    assert problem.where == "inventory_hostname of host store"


@pytest.mark.parametrize("mark", ["../../evil", "0" * 31, "0" * 33, f"{'0' * 32}\n", ["0" * 32], None, "0" * 32])
def test_a_mark_that_is_not_of_this_run_leads_to_no_file(mark: object) -> None:
    assert run.handed({run.SITE_RESULT: {"site_token": mark}}, "mx.example.org/postfix") is None
    assert run.handed({run.SITE_RESULT: mark}, "mx.example.org/postfix") is None


def test_plans_are_handed_over_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    site = parse_site({"mail_domains": ["example.org"]}, {"mx.example.org": HERE}, compose.concerns().values())
    host = site.hosts["mx.example.org"]
    plans: dict[tuple[str, str], tuple[run.Overrides, compose.Plan]] = {
        ("mx.example.org", name): ({"settings": {}}, compose.plan(name, site, host)) for name in compose.programs()
    }
    said = {run.SITE_RESULT: {"site_token": run.hand_over(site, plans)}, "inventory_hostname": "mx.example.org"}
    left = list(tmp_path.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in left} == {0o700, 0o600}
    assert len(left) == 1 + len(plans) + 2
    for program in compose.programs():
        plan = json.loads(json.dumps(plans["mx.example.org", program][1]))
        assert run.plan_for(None, said, program, {"settings": {}}) == (plan, run.state_dir(site))
    assert set(run.handed(said, "passwords")) >= {"service:postfix"}


def test_hosts_that_still_ask_a_former_provider_are_named(state: State) -> None:
    def asked(provider: str, *reached: str, remember: bool = True) -> dict[str, str]:
        groups = {"mx": "mail_mx", "one": "mail_store", "two": "mail_submission", "app": "mail_client"}
        inputs = {
            f"{name}.example.org": HostInput(("mail", group, *(["mail_directory"] if name in ("mx", "one") else [])))
            for name, group in groups.items()
        }
        said = {"mail_domains": ["example.org"], "mail_directory_provider": f"{provider}.example.org"}
        site = parse_site(said, inputs, compose.concerns().values())
        return run.still_asked(site, state, [f"{name}.example.org" for name in reached], remember)

    assert asked("one", "mx", "one", "two") == {}
    assert asked("mx", "mx", "one", remember=False) == {"two.example.org": "one.example.org"}
    assert asked("one", "mx") == {}  # check mode has changed nothing
    assert asked("mx", "mx") == {"one.example.org": "one.example.org", "two.example.org": "one.example.org"}
    assert asked("mx", "mx", "one", "two") == {}


def test_exported_accounts_in_the_inventory_folder_are_refused_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "people.csv").write_text("address\nanna@example.org\n")
    place = {"ansible_inventory_sources": [str(tmp_path / "inventory")], "inventory_dir": str(tmp_path / "inventory")}
    said = {"mail_accounts_source": {"file": "people.csv"}}
    files = DataFiles.of(place)
    found, problems = run._with_source(ACTION, said, files)
    assert found == said
    assert [str(problem) for problem in problems] == [
        f"mail_accounts_source.file is 'people.csv': lies in {tmp_path}/inventory, where Ansible reads every file as "
        "inventory or variables, so that the text of this one could set variables and run commands on this machine: "
        f"move it out, such as to {tmp_path}/people.csv"
    ]
    with pytest.raises(Refused, match="lies in"):
        run.controller_file(ACTION, DataFiles.of(place), "people.csv")
    (tmp_path / "inventory" / "people.csv").rename(tmp_path / "people.csv")
    found, problems = run._with_source(ACTION, said, DataFiles.of(place))
    assert not problems and found["mail_accounts"] == [{"address": "anna@example.org"}]
    assert run.controller_file(ACTION, DataFiles.of(place), "people.csv") == b"address\nanna@example.org\n"


def test_a_file_that_cannot_be_used_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "folder.ndb").mkdir()
    (tmp_path / "vaulted.ndb").write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")

    def read(path: str) -> bytes:
        return run.controller_file(ACTION, DataFiles(str(tmp_path), ()), path)

    with pytest.raises(SiteError) as refused:
        clamav.supplied({"signatures": ["absent.ndb", "folder.ndb", "vaulted.ndb"]}, read)
    said = [str(problem).removeprefix("mail_clamav_signatures is ") for problem in refused.value.problems]
    where = "relative to the folder that holds the inventory"
    assert said[0] == f"'absent.ndb': must be a file on the controller, {where}; there is no {tmp_path}/absent.ndb"
    assert said[1] == f"'folder.ndb': cannot be used: {tmp_path}/folder.ndb cannot be read: Is a directory"
    assert said[2].startswith(f"'vaulted.ndb': cannot be used: {tmp_path}/vaulted.ndb is encrypted with ansible-vault")


ACTION = types.SimpleNamespace(_loader=types.SimpleNamespace(_vault=None))


def test_a_clock_may_differ_by_as_much_as_the_answer_took() -> None:
    assert run.ahead(1000, 1001.0, 1001.5) == run.ahead(1010, 1001.0, 1008.0) == 0
    assert run.ahead(1600, 1000.0, 1002.0) == 599
    assert run.ahead(400, 1000.0, 1002.0) == -601
    (said,) = run.wrong_clocks({"a": {"clock": 0}, "b": {"clock": -601}, "c": {}})
    assert said.startswith("b's clock is 601 seconds behind this controller's")


@pytest.mark.parametrize(
    "said",
    [
        {"mail_accounts_source": {"file": "people.json"}, "mail_accounts": "a@example.org"},
        {"mail_accounts_source": {"file": ["people.json"]}},
        {"mail_accounts_source": {"file": "people.json", "query": 5}},
        {"mail_accounts_source": {}},
    ],
)
def test_accounts_of_a_wrong_type_are_left_for_the_site_model_to_refuse(tmp_path: Path, said: dict[str, t.Any]) -> None:
    (tmp_path / "people.json").write_text("[]")
    action = types.SimpleNamespace(_loader=types.SimpleNamespace(_vault=None))
    assert run._with_source(action, said, DataFiles(str(tmp_path), (), "")) == (said, [])


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
    kept = run.StoredSecrets(state, check_mode=False)
    with pytest.raises(StateError, match="the password fingerprint-key was not made"):
        kept.get("fingerprint-key")
    kept.ensure(run.secret_names(site))
    site.secrets = kept
    before = state.known_secrets()
    for host in site.hosts.values():
        for program in compose.programs():
            compose.plan(program, site, host)  # a secret that was not made is an error
    assert state.known_secrets() == before == kept.known
    assert {"alice@example.org", "client:app.example.org", "fingerprint-key", "service:replica"} <= set(before)


def derived(folder: Path, check_mode: bool = False, **variables: t.Any) -> Site:
    """Return the site of one host as a task derives it; folder: the state's."""
    name = "mail.example.org"
    said = {"mail_domains": ["example.org"], "mail_state_dir": str(folder), **variables}
    hostvars = types.SimpleNamespace(raw_get=lambda _name: said)
    groups = {"mail": [name], "all": [name]}
    task = types.SimpleNamespace(check_mode=check_mode, action="postamt.mail.site")
    action = types.SimpleNamespace(_loader=types.SimpleNamespace(_vault=None), _task=task, _templar=None)
    return run.derive(action, {**said, "hostvars": hostvars, "groups": groups, "inventory_hostname": name}, {})


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("backend", ["directory", "system"])
def test_a_site_that_is_derived_has_all_its_secrets(tmp_path: Path, check_mode: bool, backend: str) -> None:
    folder = tmp_path / "state"
    accounts = [{"address": "alice@example.org"}]
    site = derived(folder, check_mode, mail_accounts=accounts, mail_accounts_backend=backend)
    known = dict(site.secrets.known)
    for program in compose.programs():
        compose.plan(program, site, site.hosts["mail.example.org"])
    assert site.secrets.known == known
    assert folder.exists() is (backend == "directory" and not check_mode)


def test_a_run_refuses_what_somebody_wrote_into_the_state_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    State(str(folder)).add_secrets({"alice@example.org": "short-1", "service:postfix": "short-2"})
    with pytest.raises(SiteError) as refused:
        derived(folder, mail_accounts=[{"address": "alice@example.org"}])
    assert [str(one) for one in refused.value.problems] == [
        "password of alice@example.org in secrets.yml: must have at least 10 characters (mail_password_min_length)"
    ]
    assert "fingerprint-key" not in State(str(folder)).known_secrets()
    chosen = [{"address": "alice@example.org", "password": "long-enough-1"}]
    assert derived(folder, mail_accounts=chosen).service_password("postfix") == "short-2"


def test_what_concerns_do_not_agree_on_is_no_problem_of_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = derived(tmp_path / "state")
    more = {
        "extends": Postfix(extensions={"no/unix": Extension("1")}),
        "sets": Postfix(parameters={"smtpd_baner": "x"}),
    }
    given: dict[str, t.Any] = {}
    task_vars = {"hostvars": {"mail.example.org": given}}

    def said(name: str) -> str:
        concerns = {**known, name: types.SimpleNamespace(postfix=lambda site, host: more[name])}
        monkeypatch.setattr(compose, "concerns", lambda: concerns)
        with pytest.raises(ComposeError) as caught:
            run.tried_plans(ACTION, task_vars, site)
        return str(caught.value)

    known = dict(compose.concerns())
    head = "faults of the collection, not of the site's variables:"
    sentence = "concern extends extends Postfix service no/unix, which no concern brings to this host"
    assert said("extends") == f"{head}\n{sentence}"
    given.update(dovecot_settings={"no_such": 1}, postfix_settings={"smtp_bnd": 1})
    first, own, users, second, fault = said("sets").splitlines()
    assert first == "2 problems in the site's variables:" and second == head
    assert own.startswith("- dovecot_settings: no_such") and users.startswith("- postfix_settings: smtp_bnd")
    assert fault.startswith("concern sets: smtpd_baner is no parameter")
    monkeypatch.setattr(compose, "concerns", lambda: known)
    with pytest.raises(SiteError, match="2 problems"):
        run.tried_plans(ACTION, task_vars, site)

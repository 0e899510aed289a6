# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of Ansible's variables makes a site."""

from __future__ import annotations

import types
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._run import data_files, inventory
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State
from ansible_collections.postamt.mail.tests.lib.bare import BARE

ACTION = types.SimpleNamespace(_loader=types.SimpleNamespace(_vault=None))


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
    found = [problem.where for problem in inventory.from_facts(variables, ["mx", "store", "new", "mx"])]
    names = ("mail_relayhost", "postfix_settings", "__mail_site", "inventory_dir", "inventory_hostname")
    assert found == [f"{name} of host mx" for name in names]
    assert len(inventory.from_facts(variables, ["mx"], ["quota", "state"])) == len(names) + 1


def test_a_host_that_calls_itself_another_one_is_found_by_its_own_facts() -> None:
    variables = {
        "hostvars": hostvars(store={}),
        "inventory_hostname": "store",
        "ansible_facts": {"inventory_hostname": "store"},
    }
    (problem,) = inventory.from_facts(variables, ["store"])
    assert problem.where == "inventory_hostname of host store"


def test_a_host_whose_look_has_failed_is_reached_and_one_that_is_down_or_left_out_is_not() -> None:
    """The former may be at work and ask others, whose programs stay then (playbooks/site.yml)."""
    looks: dict[str, t.Any] = {
        "well": {"look": {"release": "trixie"}},
        "ill": {"failed": True, "msg": "no space left on device"},
        "down": {"unreachable": True, "changed": False, "msg": "No route to host"},
    }
    said = {"hostvars": hostvars(**{name: {"__mail_look": look} for name, look in looks.items()}, away={})}
    assert inventory.reached({**said, "groups": {"mail": [*looks, "away"]}}) == ["well", "ill"]


def test_exported_accounts_in_the_inventory_folder_are_refused_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "people.csv").write_text("address\nanna@example.org\n")
    place = {"ansible_inventory_sources": [str(tmp_path / "inventory")], "inventory_dir": str(tmp_path / "inventory")}
    said = {"mail_accounts_source": {"file": "people.csv"}}
    files = DataFiles.of(place)
    found, problems = inventory._with_source(ACTION, said, files)
    assert found == said
    assert [str(problem) for problem in problems] == [
        f"mail_accounts_source.file is 'people.csv': lies in {tmp_path}/inventory, where Ansible reads every file as "
        "inventory or variables, so that the text of this one could set variables and run commands on this machine: "
        f"move it out, such as to {tmp_path}/people.csv"
    ]
    with pytest.raises(Refused, match="lies in"):
        data_files.controller_file(ACTION, DataFiles.of(place), "people.csv")
    (tmp_path / "inventory" / "people.csv").rename(tmp_path / "people.csv")
    found, problems = inventory._with_source(ACTION, said, DataFiles.of(place))
    assert not problems and found["mail_accounts"] == [{"address": "anna@example.org"}]
    assert data_files.controller_file(ACTION, DataFiles.of(place), "people.csv") == b"address\nanna@example.org\n"


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
    assert inventory._with_source(action, said, DataFiles(str(tmp_path), (), "")) == (said, [])


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("backend", ["directory", "system"])
def test_a_site_that_is_derived_has_all_its_secrets(
    derived: Callable[..., Site], tmp_path: Path, check_mode: bool, backend: str
) -> None:
    folder = tmp_path / "state"
    accounts = [{"address": "alice@example.org"}]
    said: t.Any = {"mail_accounts": accounts, "mail_accounts_backend": backend, **BARE}
    site = derived(folder, check_mode, **said)
    known = dict(site.secrets.known)
    for program in compose.programs():
        compose.plan(program, site, site.hosts["mail.example.org"])
    assert site.secrets.known == known
    assert folder.exists() is (backend == "directory" and not check_mode)


def test_a_run_refuses_what_somebody_wrote_into_the_state_folder(derived: Callable[..., Site], tmp_path: Path) -> None:
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


def test_a_template_of_a_host_means_that_host(task_in: Callable[..., t.Any], tmp_path: Path) -> None:
    said = {"mail_host_name": "{{ inventory_hostname }}.{{ zone }}"}
    site = {"mail_domains": ["example.org"], "mail_state_dir": str(tmp_path / "state")}
    action, task_vars = task_in({"mx": {**said, "zone": "example.org"}, "store": {**said, "zone": "example.net"}}, site)
    found = inventory.derive(action, task_vars, {})
    assert [host.name for host in found.hosts.values()] == ["mx.example.org", "store.example.net"]


def test_variables_of_a_program_are_those_that_its_role_sees(task_in: Callable[..., t.Any]) -> None:
    hosts = {
        "a": {"postfix_settings": {"myorigin": "{{ inventory_hostname }}"}, "dovecot_settings": {"x": 1}},
        "b": {"postfix_settings": {"myorigin": "b"}, "sasl_settings": {"ldap_timeout": "{{ seconds }}"}},
    }
    play = {"dovecot_settings": {"y": "{{ inventory_hostname }}"}, "seconds": 3}
    tasks = [task_in(hosts, play, extra={"ldap_settings": {"global": {}}}, on=name) for name in hosts]
    for action, task_vars in tasks:
        on_a, on_b = (inventory.overrides_of(action, task_vars, name) for name in hosts)
        assert on_a["postfix"] == {"settings": {"myorigin": "a"}} and on_b["postfix"] == {"settings": {"myorigin": "b"}}
        assert on_a["dovecot"] == {"settings": {"y": "a"}} and on_b["dovecot"] == {"settings": {"y": "b"}}
        assert on_a["sasl"] == {} and on_b["sasl"] == {"settings": {"ldap_timeout": 3}}
        assert on_a["ldap"] == on_b["ldap"] == {"settings": {"global": {}}}

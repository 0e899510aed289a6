# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ansible-doc shows: examples that run, and each variable of the site."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model import schema, variables
from ansible_collections.postamt.mail.tests.lib.tools import tool

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted(f"postamt.mail.{path.stem}" for path in (REPOSITORY / "plugins" / "modules").glob("*.py"))
FILTERS = sorted(f"postamt.mail.{path.stem}" for path in (REPOSITORY / "plugins" / "filter").glob("*.yml"))


SITE = "postamt.mail.site"


DOCS, PLANS = tool("docs"), tool("plans")


def declarations() -> dict[str, tuple[t.Any, t.Any]]:
    """Return each variable and each key of one, with its field and its type."""
    found: dict[str, tuple[t.Any, t.Any]] = {}
    kinds = [("", kind) for declared in DOCS.declared().values() for kind in declared]
    while kinds:
        prefix, kind = kinds.pop()
        for field in dataclasses.fields(kind):
            of = schema.field_types(kind)[field.name]
            found[f"{prefix}{field.name}"] = field, of
            kinds += [(f"{prefix}{field.name}.", inner) for inner in DOCS.nested(of)]
    return found


DECLARED = declarations()
WITH_EXAMPLE = [name for name, (field, _kind) in DECLARED.items() if field.metadata["example"]]


@functools.cache
def documented(kind: str) -> dict[str, t.Any]:
    """Return what ansible-doc shows of all plugins of a kind, by name."""
    names = {"module": MODULES, "filter": FILTERS}[kind]
    command = ["ansible-doc", "--json", "--type", kind, *names]
    found: dict[str, t.Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def examples(kind: str, name: str) -> list[dict[str, t.Any]]:
    tasks: list[dict[str, t.Any]] = yaml.safe_load(documented(kind)[name]["examples"])
    return tasks


def play(tasks: list[dict[str, t.Any]], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Have Ansible run tasks on this machine, as host mail.example.org of group mail."""
    inventory, playbook = folder / "hosts.yml", folder / "play.yml"
    host = {"mail.example.org": {"ansible_connection": "local"}}
    inventory.write_text(json.dumps({"mail": {"children": {"mail_store": {"hosts": host}}}}), encoding="utf-8")
    playbook.write_text(json.dumps([{"hosts": "mail", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    command = ["ansible-playbook", "-i", str(inventory), *options, str(playbook)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_examples_give_options_that_it_has(module: str) -> None:
    used = [name for task in examples("module", module) for name in task if name.startswith("postamt.mail.")]
    assert module in used
    for task in examples("module", module):
        assert task["name"]
        for name, given in task.items():
            if name.startswith("postamt.mail."):
                options = documented("module")[name]["doc"].get("options", {})
                known = ("type", "choices", "required", "elements")
                spec = {option: {key: said[key] for key in known if key in said} for option, said in options.items()}
                assert ArgumentSpecValidator(spec).validate(given or {}).error_messages == []


def test_ansible_reads_the_modules_examples(tmp_path: Path) -> None:
    done = play([task for module in MODULES for task in examples("module", module)], tmp_path, "--syntax-check")
    assert done.returncode == 0, done.stdout


def test_the_filters_examples_run(tmp_path: Path) -> None:
    tasks = [task for name in FILTERS for task in examples("filter", name)]
    assert {name for name in FILTERS if name in json.dumps(tasks)} == set(FILTERS)
    done = play(tasks, tmp_path)
    assert done.returncode == 0, done.stdout


@functools.cache
def entry_points() -> dict[str, t.Any]:
    """Return what ansible-doc shows of role site."""
    command = ["ansible-doc", "--json", "--type", "role", SITE]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    points: dict[str, t.Any] = found[SITE]["entry_points"]
    return points


def test_ansible_doc_shows_each_variable_with_its_type_and_keys() -> None:
    shown = {name: point["options"] for name, point in entry_points().items()}
    of_hosts = set(schema.field_types(variables.HostVariables))
    of_the_site = {name for name in DECLARED if "." not in name} - of_hosts
    assert {name: set(options) for name, options in shown.items()} == {"site": of_the_site, "host": of_hosts}
    accounts = shown["site"]["mail_accounts"]
    assert (accounts["type"], accounts["elements"], accounts["options"]["quota"]["type"]) == ("list", "dict", "str")
    assert accounts["options"]["password"]["no_log"] and accounts["options"]["address"]["required"]
    assert shown["site"]["mail_content_filter"]["choices"] == ["off", "before_queue", "after_queue"]
    assert any("C(dns.key_secret)" in text for text in shown["site"]["mail_acme"]["description"])
    assert shown["site"]["mail_message_size_limit"]["default"] == "50M"


def test_the_defaults_that_ansible_doc_shows_are_those_that_hold() -> None:
    for point in entry_points().values():
        for name, option in point["options"].items():
            field, kind = DECLARED[name]
            if option.get("default") not in (None, {}, []):
                problems: list[schema.Problem] = []
                assert schema.parse(kind, option["default"], name, problems) == (
                    field.default if field.default is not dataclasses.MISSING else field.default_factory()
                )
                assert problems == []


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_a_variables_example_is_taken(name: str) -> None:
    field, kind = DECLARED[name]
    example = yaml.safe_load(field.metadata["example"])
    problems: list[schema.Problem] = []
    schema.parse(kind, example, name, problems)
    assert problems == []
    if name in entry_points()["site"]["options"]:
        inventory = listed((REPOSITORY / "examples" / "single-host" / "hosts.yml").read_text(encoding="utf-8"))
        (said,) = inventory["_meta"]["hostvars"].values()
        changed = {**inventory, "_meta": {"hostvars": {"mail.example.org": {**said, name: example}}}}
        assert PLANS.plans(changed, "trixie", settled=False)


@functools.cache
def listed(inventory: str) -> dict[str, t.Any]:
    """Return an inventory in YAML as Ansible reads it."""
    command = ["ansible-inventory", "-i", "/dev/stdin", "--list"]
    found: dict[str, t.Any] = json.loads(
        subprocess.run(command, input=inventory, check=True, capture_output=True, text=True).stdout
    )
    return found


@pytest.mark.parametrize(("point", "hosts"), [("site", 1), ("host", 3)])
def test_an_inventory_that_ansible_doc_shows_is_taken(point: str, hosts: int) -> None:
    plans = PLANS.plans(listed(entry_points()[point]["examples"]), "trixie", settled=False)
    assert len(plans) == hosts * len(compose.programs())


def test_who_runs_the_role_is_told_of_the_playbook_and_no_variable_is_looked_at(tmp_path: Path) -> None:
    wrong = {"mail_accounts": [{"password": ["hunter2"]}], "mail_content_filter": "sometimes"}
    task = {"ansible.builtin.include_role": {"name": SITE}, "vars": wrong}
    done = play([task], tmp_path)
    assert done.returncode != 0
    assert "run ansible-playbook -i INVENTORY postamt.mail.site" in done.stdout
    assert "hunter2" not in done.stdout and "sometimes" not in done.stdout

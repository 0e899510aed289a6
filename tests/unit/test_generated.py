# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows from the programs' descriptions is what was generated from them."""

from __future__ import annotations

import yaml
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.tools import generate


def test_nothing_has_to_be_generated_anew() -> None:
    wrong = [path for path, text in generate.everything().items() if path.read_text(encoding="utf-8") != text]
    assert wrong == [], "run make generate"
    assert generate.stale(generate.everything()) == [], "run make generate"


def test_what_was_generated_for_a_program_that_is_gone_is_found() -> None:
    left = {path: text for path, text in generate.everything().items() if "postgrey" not in str(path)}
    gone = {str(path.relative_to(generate.REPOSITORY)) for path in generate.stale(left)}
    assert {"plugins/modules/postgrey.py", "roles/postgrey/tasks/main.yml", "roles/postgrey/README.md"} <= gone
    assert all("postgrey" in path for path in gone)


def test_a_run_sets_up_first_what_others_need() -> None:
    order = [*compose.ordered()]
    assert order.index("certificates") == 0
    assert order.index("ldap") < order.index("sasl") < order.index("postfix")
    assert order.index("clamav") < order.index("amavis") < order.index("postfix")


def test_a_small_program_needs_no_words_but_its_own() -> None:
    program = Program("Example", about="An example", description=("Runs C(example).",), options={"settings": "Words."})
    spec = yaml.safe_load(generate.role("example", program)["meta/argument_specs.yml"])["argument_specs"]["main"]
    assert spec["options"]["example_settings"]["description"] == ["Words.", generate.LAST]
    module = generate.module("example", program)
    namespace: dict[str, str] = {}
    exec(module, namespace)
    documentation = yaml.safe_load(namespace["DOCUMENTATION"])
    assert (documentation["short_description"], documentation["description"]) == ("An example", ["Runs C(example)."])
    assert yaml.safe_load(namespace["EXAMPLES"]) == [{"name": "An example", "postamt.mail.example": None}]
    assert "Runs `example`. It has one task" in generate.role("example", program)["README.md"]


def test_a_run_that_can_go_on_without_a_program_fails_at_its_end() -> None:
    programs = {"example": Program("Example", about="An example", goes_on_without="thing")}
    (block,) = yaml.safe_load(generate.tasks(programs))
    assert block["when"] == "'example' in __mail_site.due[inventory_hostname]"
    assert block["rescue"][1]["register"] == "__mail_without_example"
    (last,) = yaml.safe_load(generate.failures(programs))
    assert (last["name"], last["when"]) == ("Fail where there is no thing", "__mail_without_example is defined")


def test_programs_that_go_do_so_in_reverse_order() -> None:
    tasks = yaml.safe_load(generate.leaving(compose.ordered()))
    assert [task["tags"] for task in tasks] == [*reversed(compose.ordered())]
    for task in tasks:
        assert set(task) == {"name", f"postamt.mail.{task['tags']}", "when", "tags"}
        assert task["when"] == f"'{task['tags']}' in __mail_site.leaving[inventory_hostname]"


def test_they_go_when_all_others_have_been_changed_and_no_host_has_failed() -> None:
    (play,) = yaml.safe_load((generate.REPOSITORY / "playbooks" / "site.yml").read_text(encoding="utf-8"))[1:]
    modules = [next((word for word in task if word.startswith("ansible.builtin.")), "") for task in play["tasks"]]
    (last,) = [number for number, word in enumerate(modules) if word == "ansible.builtin.include_tasks"]
    assert max(number for number, word in enumerate(modules) if word == "ansible.builtin.import_role") < last
    assert play["tasks"][last]["tags"] == "always", "the tasks inside have their programs' tags"

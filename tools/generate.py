#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write from each program's description what Ansible's conventions want of it, and the table by which hosts find code.

For each file of plugins/plugin_utils/_programs: documentation of its module, its role, its routing to the one action,
and its places in playbooks/site.yml and playbooks/tasks/leaving.yml. The texts are those of PROGRAM. A file <name>.md
beside it may say more: its YAML front matter has `role` and `module` (keys of argument_specs and of DOCUMENTATION),
`examples`, `sample` (of actions) and `return` (further keys of RETURN), and its text is the role's README.
"""

from __future__ import annotations

import re
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / ".cache" / "collections"))

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose  # noqa: E402
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program  # noqa: E402

PLUGINS = REPOSITORY / "plugins"
SAID = PLUGINS / "plugin_utils" / "_programs"
HOST = PLUGINS / "module_utils"
# What is done on hosts and is no program, by the folder of its code
JOBS = {
    "accounts": "_accounts",
    "compare": "_engine",
    "move_directory": "_slapd",
    "quarantine": "_programs",
    "remove": "_engine",
    "reports": "_programs",
}
PACKAGE = "ansible_collections.postamt.mail.plugins.module_utils"
ACTION = "postamt.mail.apply_plan"
WIDTH = 124
LICENSE = """\
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""
LAST = "They are merged last and win; C(null) removes one."
DONE = {
    "description": "What was done, in short sentences; in check mode what would be done.",
    "returned": "always",
    "type": "list",
    "elements": "str",
}
MARKUP = re.compile(r"\b[CIV]\(((?:[^()]|\([^()]*\))*)\)")  # of Ansible's documentation: code, italics, values


class Writer(yaml.SafeDumper):
    """Writes YAML as this repository does: lists indented, several lines as they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: t.Any) -> bool:
        return True


def represent_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Writer.add_representer(str, represent_text)


def as_yaml(data: t.Any) -> str:
    text: str = yaml.dump(data, Dumper=Writer, sort_keys=False, width=100, allow_unicode=True)
    return text


def written(name: str) -> str:
    return f"Written by `make generate` from plugins/plugin_utils/_programs/{name}; change that instead."


def more(name: str) -> tuple[dict[str, t.Any], str]:
    """Return what a program's Markdown file says: its front matter, and the README."""
    path = SAID / f"{name}.md"
    if not path.exists():
        return {}, ""
    _nothing, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def option(text: str) -> dict[str, t.Any]:
    return {"type": "dict", "default": {}, "description": [text, LAST]}


def module(name: str, program: Program) -> str:
    """Return the documentation of the module, which is all there is of it: the action does the work."""
    front, _readme = more(name)
    documentation = {
        "module": name,
        "short_description": program.about,
        "version_added": "0.1.0",
        "description": list(program.description),
        **front.get("module", {}),
        "extends_documentation_fragment": ["postamt.mail._module", "postamt.mail._module.program"],
    }
    if program.options:
        documentation["options"] = {word: option(text) for word, text in program.options.items()}
    examples = front.get("examples", f"- name: {program.task or program.about}\n  postamt.mail.{name}:\n")
    done = {**DONE, "sample": front["sample"]} if "sample" in front else DONE
    returned = as_yaml({"actions": done, **front.get("return", {})})
    blocks = {"DOCUMENTATION": as_yaml(documentation), "EXAMPLES": examples, "RETURN": returned}
    texts = "\n".join(f'{word} = r"""\n{text}"""\n' for word, text in blocks.items())
    return f"#!/usr/bin/python\n{LICENSE}# {written(name)}\n\nfrom __future__ import annotations\n\n{texts}"


def role(name: str, program: Program) -> dict[str, str]:
    """Return the files of the role by their paths below it."""
    front, readme = more(name)
    head = f"# {written(name)}\n---\n"
    settings = {f"{name}_{word}": text for word, text in program.options.items()}
    spec = {
        "short_description": program.about,
        "description": list(program.description),
        **front.get("role", {}),
        "options": {word: option(text) for word, text in settings.items()},
    }
    lines = [f"- name: {program.task or program.about}", f"  postamt.mail.{name}:"]
    lines += [f'    {word}: "{{{{ {name}_{word} }}}}"' for word in program.options]
    info = {
        "author": "the postamt.mail authors",
        "description": program.about,
        "license": "GPL-3.0-or-later",
        "min_ansible_version": "2.19",
        "platforms": [{"name": "Debian", "versions": ["bookworm", "trixie"]}],
    }
    return {
        "README.md": f"<!-- {written(name)} -->\n{readme or plain_readme(name, program)}",
        "defaults/main.yml": head + as_yaml({word: {} for word in settings}),
        "meta/argument_specs.yml": head + as_yaml({"argument_specs": {"main": spec}}),
        "meta/main.yml": head + as_yaml({"galaxy_info": info, "dependencies": []}),
        "tasks/main.yml": head + "\n".join([*lines, ""]),
    }


def plain_readme(name: str, program: Program) -> str:
    """Return the README of a role whose program has no Markdown of its own."""
    about = " ".join([*program.description, "It has one task, and makes one module call if nothing has changed."])
    settings = [f"- `{name}_{word}`: {text} {LAST}" for word, text in program.options.items()]
    paragraphs = [about, *settings]
    wrapped = [textwrap.fill(MARKUP.sub(r"`\1`", text), WIDTH, subsequent_indent="  " * (text[0] == "-"))
               for text in paragraphs]  # fmt: skip
    return "\n\n".join([f"# {name}", wrapped[0], *(["\n".join(wrapped[1:])] if settings else [])]) + "\n"


def tasks(programs: dict[str, Program]) -> str:
    """Return the tasks of the programs, in their order."""
    found = []
    for name, program in programs.items():
        task = program.task or program.about
        when = f"when: \"'{name}' in __mail_site.due[inventory_hostname]\""
        imported = [
            "ansible.builtin.import_role:",
            f"  name: postamt.mail.{name}",
            "  rolespec_validate: false",
        ]
        if not program.goes_on_without:
            lines = [f"- name: {task}", *(f"  {line}" for line in [*imported, when, f"tags: {name}"]), ""]
        else:
            what = program.goes_on_without
            lines = [
                f"- name: {task}",
                f"  {when}",
                f"  tags: {name}",
                "  block:",
                f"    - name: {task}",
                *(f"      {line}" for line in imported),
                "  rescue: # mail waits for it, and everything else can be set up",
                "    - name: Stop where more is wrong than what cannot be fetched",
                "      ansible.builtin.fail:",
                f"        msg: the {what} is not set up, for the reason above",
                "      when: ansible_failed_result.unmade | default([]) | length == 0",
                "",
                f"    - name: Go on without a {what}, and fail at the end",
                "      ansible.builtin.debug:",
                '        msg: "{{ ansible_failed_result.msg }}"',
                f"      register: __mail_without_{name}",
                "",
            ]
        found += lines
    return indented(found)


def leaving(programs: dict[str, Program]) -> str:
    """Return the tasks that remove programs: whom others ask goes after them."""
    lines = [
        f"# {written('')}",
        "# Included by site.yml when the other programs have been changed, on all hosts that the run has reached.",
        "---",
    ]
    for name, program in reversed(programs.items()):
        lines += [
            f"- name: Remove what is no longer wanted of {program.title}",
            f"  postamt.mail.{name}:",
            f"  when: \"'{name}' in __mail_site.leaving[inventory_hostname]\"",
            f"  tags: {name}",
            "",
        ]
    return "\n".join(lines)


def indented(lines: list[str]) -> str:
    """Return lines of tasks as they stand in a play, without the empty one after the last."""
    return "".join(f"    {line}".rstrip() + "\n" for line in lines[:-1])


def failures(programs: dict[str, Program]) -> str:
    """Return the tasks that fail at the end of a run, for each program that it can go on without."""
    found = []
    for name, program in programs.items():
        if program.goes_on_without:
            found += [
                f"- name: Fail where there is no {program.goes_on_without}",
                "  ansible.builtin.fail:",
                f'    msg: "{{{{ __mail_without_{name}.msg }}}}"',
                f"  when: __mail_without_{name} is defined",
                "  tags: always",
                "",
            ]
    return indented(found)


def playbook(programs: dict[str, Program]) -> str:
    """Return playbooks/site.yml with the programs' tasks between its marks."""
    text = (REPOSITORY / "playbooks" / "site.yml").read_text(encoding="utf-8")
    for what, block in (("tasks of the programs", tasks(programs)), ("failures put off", failures(programs))):
        pattern = rf"(    # {what}: [^\n]*\n).*?(    # end of the {what}\n)"
        found = re.search(pattern, text, re.DOTALL)
        assert found, what
        text = text[: found.end(1)] + block + text[found.start(2) :]
    return text


def registries(programs: dict[str, Program]) -> dict[Path, str]:
    """Return the code that finds a host's code by name; it has to import by name what Ansible is to send."""
    hooks = {name: f"_*/{name}.py" for name in programs}
    works = {name: f"_*/{name}_steps.py" for name in programs} | {name: f"{JOBS[name]}/{name}.py" for name in JOBS}
    here = HOST / "_engine"
    return {
        here / "hook_registry.py": registry("the file of each program that has hooks", hooks),
        here / "registry.py": registry("the code of each program with steps of its own, and of each job", works),
    }


def registry(what: str, wanted: dict[str, str]) -> str:
    """Return one of them. wanted: patterns of a file by the name of what it belongs to."""
    lines = []
    for name, pattern in sorted(wanted.items()):
        places = list(HOST.glob(pattern))
        assert len(places) == 1 or not places and name not in JOBS, f"{name}: its code is in {places or 'no file'}"
        for place in places:
            package = f"{PACKAGE}.{place.parent.name}"
            lines += [
                f'    if name == "{name}":',
                f"        from {package} import {place.stem}",
                "",
                f"        return {place.stem}",
            ]
    return f'''\
{LICENSE}"""Written by `make generate`: {what}."""

from __future__ import annotations

from types import ModuleType


def code_of(name: str) -> ModuleType | None:
    """Return the code by a name; None where there is none.

    Ansible sends to a host what is imported by name, and a call needs one of these only.
    """
{chr(10).join(lines)}
    return None
'''


def everything() -> dict[Path, str]:
    """Return what is generated, by path."""
    programs = compose.ordered()
    routing = {name: {"action_plugin": ACTION} for name in sorted(programs)}
    runtime = as_yaml({"requires_ansible": ">=2.19.0", "plugin_routing": {"modules": routing}})
    head = "# Written by `make generate`: one action serves all programs.\n---\n"
    found = {
        REPOSITORY / "meta" / "runtime.yml": head + runtime,
        REPOSITORY / "playbooks" / "site.yml": playbook(programs),
        REPOSITORY / "playbooks" / "tasks" / "leaving.yml": leaving(programs),
        **registries(programs),
    }
    for name, program in programs.items():
        found[PLUGINS / "modules" / f"{name}.py"] = module(name, program)
        found.update({REPOSITORY / "roles" / name / path: text for path, text in role(name, program).items()})
    return found


def stale(generated: t.Collection[Path]) -> list[Path]:
    """Return files of modules and roles whose program is gone: their own words say that they were generated."""
    found = [*PLUGINS.glob("modules/*.py"), *(path for path in REPOSITORY.glob("roles/*/**/*") if path.is_file())]
    mark = written("").partition("; ")[0]
    return [path for path in found if path not in generated and mark in path.read_text(encoding="utf-8")]


def main() -> None:
    generated = everything()
    for path in stale(generated):
        path.unlink()
        for folder in (path.parent, path.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
    for path, text in generated.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

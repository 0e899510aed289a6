# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hosts are asked: what one answers is what it was asked for, and nothing else."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL, VMAIL_UID
from ansible_collections.postamt.mail.plugins.plugin_utils._run import answers

GROUP = "mail"
CLOCKS = 3  # seconds by which clocks may differ


def on_host(
    action: t.Any,
    task_vars: Mapping[str, t.Any],
    program: str,
    request: Mapping[str, t.Any] | None = None,
    secrets: Iterable[str] = (),
    also: Mapping[str, t.Any] | None = None,
    required: tuple[str, ...] = ("changed", "actions"),
) -> dict[str, t.Any]:
    """Run a program's code on the task's host and return its answer: what this program may answer, and nothing else.

    also, required: see answers.checked().
    """
    arguments = {"program": program, "request": dict(request or {}), "secrets": list(secrets)}
    answer = _answer(action, task_vars, "postamt.mail.apply_plan", arguments)
    return answer_of(action, task_vars, answer, lambda said: answers.checked(program, said, also, required))


def _answer(
    action: t.Any, task_vars: Mapping[str, t.Any], module: str, arguments: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Run one of our modules. Its arguments would otherwise reach the host's journal, secrets included."""
    quiet = {**task_vars, "ansible_no_target_syslog": True}
    answer: dict[str, t.Any] = action._execute_module(module_name=module, module_args=arguments, task_vars=quiet)
    return answer


def stock(action: t.Any, task_vars: Mapping[str, t.Any], name: str, arguments: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Run one of Ansible's own modules on the task's host; returns failed, msg and changed."""
    answer = action._execute_module(module_name=name, module_args=dict(arguments), task_vars=task_vars)
    return answer_of(action, task_vars, answer, answers.stock)


def answer_of(
    action: t.Any,
    task_vars: Mapping[str, t.Any],
    answer: Mapping[str, t.Any],
    check: Callable[[Mapping[str, t.Any]], dict[str, t.Any]],
) -> dict[str, t.Any]:
    """Return a host's answer, checked; where it is not of its form, the failure of this host's task."""
    # The interpreter that Ansible has found is the one fact that it adds itself, and that spares the next search.
    found_by_ansible = getattr(action, "_discovered_interpreter_key", None)
    facts = answer.get("ansible_facts") or {}
    try:
        if not isinstance(facts, Mapping) or set(facts) - {found_by_ansible}:
            raise answers.Wrong("ansible_facts is no key that it may have")
        if answer.get("failed") and "module_stderr" in answer:  # no answer at all: say what came instead
            words = f"{answer.get('module_stderr')}\n{answer.get('module_stdout')}".split("\n")
            said = "; ".join(word.strip() for word in words if word.strip())[-500:]
            answer = {"failed": True, "msg": f"{answer.get('msg')} {said}"}
        found = check(answer)
    except answers.Wrong as wrong:
        return wrongly(action, task_vars, str(wrong))
    if found_by_ansible and facts:
        found["ansible_facts"] = {found_by_ansible: action._discovered_interpreter}
    return found


def wrongly(action: t.Any, task_vars: Mapping[str, t.Any], why: str) -> dict[str, t.Any]:
    """Return the failure of a task whose host answered what it may not."""
    return {"failed": True, "msg": f"host {place_of(action, task_vars)} answered wrongly: {why}"}


def look_at(
    action: t.Any, task_vars: Mapping[str, t.Any], seen: Mapping[str, t.Any] | None = None, port_25: bool = False
) -> dict[str, t.Any]:
    """Return what the task's host is like; a host alone opens no port for others, and is not asked for its firewall.

    seen: what programs may say of what they have there, by their names (answers.py); then the host is asked, too, which
    programs are as the last run left them.
    """
    several = len(task_vars["groups"].get(GROUP, ())) > 1
    before = time.time()
    programs = compose.ordered()
    request = {
        "settled": seen is not None,
        "firewall": several,
        "owner": [VMAIL, VMAIL_UID],
        "configurations": {name: program.configuration for name, program in programs.items() if program.configuration},
        "mail_servers": [name for name, program in programs.items() if program.mail_server],
        "versions": {package: name for program in programs.values() for package, name in program.versions.items()},
    }
    lines = answers.Each(answers.word, [answers.line])
    digests = answers.Each(answers.word, answers.digest)
    parts = answers.Each(answers.word, [answers.digest])
    left = {"settled": digests, "doubts": lines, "notes": lines, "seen": dict(seen or {}), "parts": parts}
    left["chains"] = answers.chains
    # a module of its own: to look takes less code than to apply plans, and that is packed, sent and read in each run
    said = _answer(action, task_vars, "postamt.mail.host_look", {"request": request, "port_25": port_25})
    answer = answer_of(action, task_vars, said, lambda told: answers.checked("look", told, also=left))
    if not answer.get("failed"):
        answer["look"]["clock"] = ahead(int(answer["look"]["clock"]), before, time.time())
    return answer


def ahead(clock: int, before: float, after: float) -> int:
    """Return by how many seconds a host's clock is ahead of the controller's, 0 for a few.

    clock: what it said, some time between before and after by the controller's.
    """
    if before - CLOCKS <= clock <= after + CLOCKS:
        return 0
    return round(clock - (before + after) / 2)


def wrong_clocks(looks: Mapping[str, Mapping[str, t.Any]]) -> list[str]:
    """Return a sentence on each host whose clock is not the controller's."""
    off = {name: int(look.get("clock", 0)) for name, look in looks.items()}
    return [
        f"{name}'s clock is {abs(by)} seconds {'ahead of' if by > 0 else 'behind'} this controller's: set the wrong "
        "one (timedatectl(1)); changes of accounts count by the clock of the directory's provider"
        for name, by in off.items()
        if by
    ]


def place_of(action: t.Any, task_vars: Mapping[str, t.Any]) -> str:
    """Return the inventory name of the host that a task works on."""
    return str(action._task.delegate_to or task_vars["inventory_hostname"])

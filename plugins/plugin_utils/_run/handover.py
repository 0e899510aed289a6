# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan for each host and program: derived once a run, tried, and left for the tasks that come.

Task `postamt.mail.site` leaves each host's plans, as JSON and 0600, in the private temporary folder of this
ansible-playbook process; the roles' tasks, each in a fork of its own, read theirs there. A role that runs alone derives
for itself. So secrets travel neither in facts nor in results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import secrets as random_secrets
import typing as t
from collections.abc import Callable, Collection, Iterable, Mapping

from ansible import constants
from ansible.errors import AnsibleError
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError, ConcernError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import exchange_of
from ansible_collections.postamt.mail.plugins.plugin_utils._run.inventory import (
    Overrides,
    from_facts,
    overrides_of,
    seen,
    site_for,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import state_dir
from ansible_collections.postamt.mail.plugins.plugin_utils._run.values import plain

DEPLOYED = "deployed"  # a step of action dkim, and what is left for it
SITE_RESULT = "__mail_site"  # registered by playbooks/site.yml: says that this run has derived the site


def tried_plans(
    action: t.Any, task_vars: Mapping[str, t.Any], site: Site
) -> dict[tuple[str, str], tuple[Overrides, compose.Plan]]:
    """Derive every program's plan for every host, and raise SiteError with all that cannot be.

    What concerns do not agree on is a ConcernError, which has everything else as well. This is before any host is
    touched: a role's own task would find it when others have been changed already.
    """
    plans: dict[tuple[str, str], tuple[Overrides, compose.Plan]] = {}
    problems: dict[str, Problem] = {}
    faults: dict[str, None] = {}  # of concerns: nothing that the site's administrator has said
    reached = seen(task_vars)
    for name in site.hosts:
        try:
            given = overrides_of(action, task_vars, name)
        except AnsibleError as error:  # a template that means what this run has not
            if name in reached or not reached:
                problem = Problem(f"variables of host {name}", None, f"cannot be read: {error}")
                problems[str(problem)] = problem
            given = {program: {} for program in compose.programs()}
        for program in compose.programs():
            try:
                plan = tried_plan(action, task_vars, site, name, program, given[program])
                plans[name, program] = given[program], plan
            except SiteError as error:
                problems.update({str(problem): problem for problem in error.problems})
            except ComposeError as error:
                problems.update({str(problem): problem for problem in map(_problem, error.sentences)})
                faults.update(dict.fromkeys(error.faults if isinstance(error, ConcernError) else ()))
    faults.update(dict.fromkeys(_written_twice(plans)))
    if faults:
        said = [str(SiteError(problems.values()))] if problems else []
        raise ConcernError([*said, "faults of the collection, not of the site's variables:", *faults])
    if problems:
        raise SiteError(problems.values())
    return plans


def _written_twice(plans: Mapping[tuple[str, str], tuple[Overrides, compose.Plan]]) -> Iterable[str]:
    """Yield a sentence for each file of a host that two programs write: each run would write both in turn."""
    owner: dict[tuple[str, str], str] = {}
    for (host, program), (_overrides, plan) in plans.items():
        for file in plan["files"]:
            if owner.setdefault((host, file["path"]), program) != program:
                yield f"{file['path']} of host {host}: {owner[host, file['path']]} and {program} both write it"


def tried_plan(
    action: t.Any, task_vars: Mapping[str, t.Any], site: Site, name: str, program: str, overrides: Overrides
) -> compose.Plan:
    """Derive a program's plan for a host; raises SiteError or ComposeError where it cannot be carried out.

    overrides: the program's own variables.
    """
    plan = compose.plan(program, site, site.hosts[name], overrides)
    problems = []
    brought: t.Any = None
    units = [unit["name"] for unit in plan["units"] if plan["wanted"] and unit["running"]]
    for unit in (unit for unit in units if unit in site.hosts[name].look.masked):
        allowed = f"is masked there, and would not start: run systemctl unmask {unit}"
        problems.append(Problem(f"{unit} of host {name}", None, allowed))
    module = compose.programs()[program]
    if hasattr(module, "supplied"):
        files = DataFiles.of(task_vars)
        try:
            brought = module.supplied(plan, lambda path: controller_file(action, files, path))
        except SiteError as error:
            problems += error.problems
    if problems:
        raise SiteError(problems)
    return {**plan, "digest": digest_of(plan, brought)}


def digest_of(plan: compose.Plan, brought: t.Any = None) -> str:
    """Return what tells a plan from any other, and from the same one that another version of the collection applies.

    brought: what the controller brings beside the plan.
    """
    said = json.dumps([plan, repr(brought)], default=str)
    return hashlib.sha256(said.encode() + _code()).hexdigest()


@functools.cache
def _code() -> bytes:
    """Return a digest of all code that runs on hosts."""
    top = pathlib.Path(__file__).parents[2]
    paths = sorted([*(top / "module_utils").rglob("*.py"), top / "modules" / "apply_plan.py"])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).digest()


def _problem(sentence: str) -> Problem:
    where, _colon, allowed = sentence.partition(": ")
    return Problem(where, None, allowed)


def hand_over(
    site: Site,
    plans: Mapping[tuple[str, str], tuple[Overrides, compose.Plan]],
    due: Mapping[str, Collection[str]],
    settled: Mapping[str, Mapping[str, str]],
    undated: Mapping[str, list[str]] | None = None,
) -> str:
    """Leave the plans for the later tasks of this run; returns the token by which they find them.

    plans: by host and program, with the program's own variables that are in it. due: by host the programs that have a
    task there. settled: by host and program the digests of the plans as which the last run left the host, and as which
    the host still is. undated: by domain the keys that have signed on all hosts when this run is through.
    """
    token = random_secrets.token_hex(16)
    os.mkdir(_folder(token), 0o700)
    tried: dict[str, dict[str, Overrides]] = {}
    for (host, program), (overrides, _plan) in plans.items():
        tried.setdefault(host, {})[program] = overrides
    for host, said in tried.items():
        _leave(token, f"{host}/tried", said)
    asked = [(host, program) for host, programs in due.items() for program in programs]
    idle = {key for key in asked if not site.core.mail_full_check and _nothing_to_do(site, plans, settled, *key)}
    for host, program in asked:
        _overrides, plan = plans[host, program]
        if (host, program) in idle:
            _leave(token, f"{host}/{program}/settled", True)
            if exchange_of(program).grows:
                continue
        _leave(token, f"{host}/{program}", {"plan": plan})
        beside = exchange_of(program).beside(site, plan)
        if beside is not None:
            _leave(token, f"{host}/{program}/beside", beside)
    _leave(token, "state_dir", state_dir(site))
    if undated:
        senders = [host.inventory_name for host in site.senders]
        _leave(token, DEPLOYED, {"keys": undated, "hosts": senders, "state_dir": state_dir(site)})
    return token


def _nothing_to_do(
    site: Site,
    plans: Mapping[tuple[str, str], tuple[Overrides, compose.Plan]],
    settled: Mapping[str, Mapping[str, str]],
    host: str,
    program: str,
) -> bool:
    """Tell whether a host is as a plan says since the last run, and those hosts by which it is judged."""
    plan = plans[host, program][1]
    known = settled.get(host, {}).get(program)
    if not known or known != plan.get("digest"):
        return False
    others = exchange_of(program).settles_with(site, host, plan)
    return others is not None and all(_nothing_to_do(site, plans, settled, other, program) for other in others)


def _folder(token: str) -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, f"postamt-{token}")


def _place(token: str, what: str) -> str:
    return os.path.join(_folder(token), hashlib.sha256(what.encode()).hexdigest())  # a host's name may hold anything


def _leave(token: str, what: str, data: t.Any) -> None:
    descriptor = os.open(_place(token, what), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(data, default=str))


def _token(task_vars: Mapping[str, t.Any]) -> str:
    """Return the token of this run, empty where `hand_over()` has left nothing."""
    result = task_vars.get(SITE_RESULT)
    token = result.get("site_token") if isinstance(result, Mapping) else None
    return token if isinstance(token, str) and re.fullmatch(r"[0-9a-f]{32}", token) else ""


def handed(task_vars: Mapping[str, t.Any], what: str) -> t.Any:
    """Return what `hand_over()` has left in this run; None where it has not."""
    token = _token(task_vars)
    if not token:
        return None
    try:
        with open(_place(token, what), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


@dataclasses.dataclass(frozen=True)
class Handed:
    """What a role's task works with: its host's plan, and the controller's folder for the site's state.

    beside: returns what its exchange with the host needs of the site besides (exchange.py), secrets perhaps.
    """

    plan: compose.Plan
    state_dir: str
    beside: Callable[[], t.Any]


def settled(task_vars: Mapping[str, t.Any], program: str, said: Mapping[str, t.Any] | None = None) -> bool:
    """Tell whether the task's host has been seen to be as the program's plan says; said: as for plan_for().

    Once only: what the run does afterwards may change the host.
    """
    name = str(task_vars["inventory_hostname"])
    if not handed(task_vars, f"{name}/{program}/settled") or from_facts(task_vars, []):
        return False
    if _untried(handed(task_vars, f"{name}/tried")[program], _as_read(plain(said or {}))):
        return False
    _use_up(task_vars, name, program)
    return True


def unsettle(task_vars: Mapping[str, t.Any]) -> None:
    """Forget that the task's host is as the last run left it: another program has changed there, or could not."""
    name = str(task_vars["inventory_hostname"])
    for program in compose.programs():
        _use_up(task_vars, name, program)


def _use_up(task_vars: Mapping[str, t.Any], host: str, program: str) -> None:
    """Have what settles a program count no more."""
    if token := _token(task_vars):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_place(token, f"{host}/{program}/settled"))


def _untried(tried: Overrides, given: Overrides) -> list[str]:
    """Return the kinds of a program's own variables that a task gives otherwise than they were tried."""
    return [kind for kind, value in given.items() if (value or None) != (tried.get(kind) or None)]


def plan_for(
    action: t.Any, task_vars: Mapping[str, t.Any], program: str, said: Mapping[str, t.Any] | None = None
) -> Handed:
    """Return a program's plan for the task's host: what `postamt.mail.site` tried and left, else it is derived here.

    said: what the task itself says of the program's own variables, by kind. A role that runs alone takes that, and what
    the host's variables say of other kinds; after `postamt.mail.site` it must be what was tried. Raises SiteError or
    ComposeError, whose text is for the user.
    """
    name = str(task_vars["inventory_hostname"])
    given: Overrides = _as_read(plain(said or {}))
    left = handed(task_vars, f"{name}/{program}")
    if tried := handed(task_vars, f"{name}/tried"):
        if wrong := from_facts(task_vars, []):  # a host that calls itself another one gets no plan of that one
            raise SiteError(wrong)
        if other := _untried(tried[program], given):
            raise SiteError([Problem(f"{program}_{kind} of host {name}", None, _UNTRIED) for kind in other])
    if left:
        folder = str(handed(task_vars, "state_dir"))
        return Handed(left["plan"], folder, lambda: handed(task_vars, f"{name}/{program}/beside"))
    site = site_for(action, task_vars)
    overrides = {**overrides_of(action, task_vars, name)[program], **given}
    plan = tried_plan(action, task_vars, site, name, program, overrides)
    return Handed(plan, state_dir(site), lambda: exchange_of(program).beside(site, plan))


_UNTRIED = (
    "is not the value that postamt.mail.site has tried before anything was changed. Set it where all tasks of the run "
    "read it (in the inventory, for the play, with -e) and not at one role or task. A value that a template makes anew "
    "each time cannot be tried"
)


def _as_read(overrides: Overrides) -> Overrides:
    """Return a program's own variables as they are read from the file that holds them."""
    return t.cast(Overrides, json.loads(json.dumps(overrides, default=str)))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan for each host and program: derived once a run, tried, and left for the roles' tasks.

Task `postamt.mail.site` leaves each host's plans, as JSON and 0600, in the private temporary folder of this
ansible-playbook process; the roles' tasks, each in a fork of its own, read theirs there. A role that runs alone derives
for itself. So secrets travel neither in facts nor in results.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets as random_secrets
import typing as t
from collections.abc import Mapping

from ansible import constants
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import ldap
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils._run.inventory import overrides_in, site_for
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import state_dir
from ansible_collections.postamt.mail.plugins.plugin_utils._run.values import plain

MARK = "__mail_site"  # registered by playbooks/site.yml: says that this run has derived the site
Overrides = dict[str, t.Any]  # a program's own variables


def tried_plans(
    action: t.Any, task_vars: Mapping[str, t.Any], site: Site
) -> dict[tuple[str, str], tuple[Overrides, compose.Plan]]:
    """Derive every program's plan for every host, and raise SiteError with all that cannot be.

    What concerns do not agree on is a ComposeError, which has everything else as well. This is before any host is
    touched: a role's own task would find it when others have been changed already.
    """
    plans: dict[tuple[str, str], tuple[Overrides, compose.Plan]] = {}
    problems: dict[str, Problem] = {}
    faults: dict[str, None] = {}  # of concerns: nothing that the site's administrator has said
    files = DataFiles.of(task_vars)
    for name, host in site.hosts.items():
        given = overrides_in(task_vars["hostvars"][name], plain)
        for program, module in compose.programs().items():
            try:
                plan = compose.plan(program, site, host, given[program])
                plans[name, program] = given[program], plan
                units = [unit["name"] for unit in plan["units"] if plan["wanted"] and unit["running"]]
                for unit in (unit for unit in units if unit in host.look.masked):
                    allowed = f"is masked there, and would not start: allow it with systemctl unmask {unit}"
                    problems[f"{name} {unit}"] = Problem(f"{unit} of host {name}", None, allowed)
                if hasattr(module, "supplied"):
                    module.supplied(plan, lambda path: controller_file(action, files, path))
            except SiteError as error:
                problems.update({str(problem): problem for problem in error.problems})
            except ComposeError as error:
                for line in str(error).splitlines():
                    where, _colon, allowed = line.partition(": ")
                    if line.startswith((f"{program}_", f"{program} takes", "mail_")):
                        problems[line] = Problem(where, None, allowed)
                    else:
                        faults[line] = None
    if faults:
        said = [str(SiteError(problems.values()))] if problems else []
        raise ComposeError("\n".join([*said, "faults of the collection, not of the site's variables:", *faults]))
    if problems:
        raise SiteError(problems.values())
    return plans


def hand_over(site: Site, plans: Mapping[tuple[str, str], tuple[Overrides, compose.Plan]]) -> str:
    """Leave the plans for the later tasks of this run; returns the mark by which they find them.

    plans: by host and program, with the program's own variables that are in it.
    """
    mark = random_secrets.token_hex(16)
    os.mkdir(_folder(mark), 0o700)
    for (host, program), (overrides, plan) in plans.items():
        _leave(mark, f"{host}/{program}", {"overrides": overrides, "plan": plan})
    _leave(mark, "state_dir", state_dir(site))
    provider = site.provider
    if provider:
        names = list(plans[provider.inventory_name, "ldap"][1]["entries"]["fingerprints"])
        _leave(mark, "passwords", ldap.applied_passwords(site, names))
    return mark


def _folder(mark: str) -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, f"postamt-{mark}")


def _place(mark: str, what: str) -> str:
    return os.path.join(_folder(mark), hashlib.sha256(what.encode()).hexdigest())  # a host's name may hold anything


def _leave(mark: str, what: str, data: t.Any) -> None:
    descriptor = os.open(_place(mark, what), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(data, default=str))


def handed(task_vars: Mapping[str, t.Any], what: str) -> t.Any:
    """Return what `hand_over()` has left in this run; None where it has not."""
    result = task_vars.get(MARK)
    mark = result.get("mark") if isinstance(result, Mapping) else None
    if not isinstance(mark, str) or not re.fullmatch(r"[0-9a-f]{32}", mark):
        return None
    try:
        with open(_place(mark, what), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def plan_for(
    action: t.Any, task_vars: Mapping[str, t.Any], program: str, overrides: Mapping[str, t.Any] | None = None
) -> tuple[compose.Plan, str]:
    """Return a program's plan for the task's host, and the controller's folder for the site's state.

    They are what `postamt.mail.site` left, else they are derived here.

    overrides: the program's own variables, such as {"settings": {...}, "services": {...}} of postfix. A plan that was
    left with others is not this task's. Raises SiteError or ComposeError, whose text is for the user.
    """
    name = str(task_vars["inventory_hostname"])
    said: Overrides = {kind: value for kind, value in plain(overrides or {}).items() if value}
    left = handed(task_vars, f"{name}/{program}")
    if left and {kind: value for kind, value in left["overrides"].items() if value} == said:
        return t.cast(compose.Plan, left["plan"]), str(handed(task_vars, "state_dir"))
    site = site_for(action, task_vars)
    return compose.plan(program, site, site.hosts[name], said), state_dir(site)

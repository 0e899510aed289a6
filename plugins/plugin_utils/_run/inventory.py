# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the inventory's variables, and from what hosts are like, to the Site.

What comes from the inventory is never taken from facts: from_facts() watches this door, remote.answer_of() the other.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import unfit_passwords
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import FUNCTIONS, HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, field_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.topology import directory_left
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import HostVariables
from ansible_collections.postamt.mail.plugins.plugin_utils._run import (
    accounts_source,
    answers,
    stored_dkim_keys,
    stored_tlsa,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remembered import (
    check_ca_ownership,
    gives_names,
    look_of,
    recall,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remote import GROUP, look_at, place_of
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, state_dir
from ansible_collections.postamt.mail.plugins.plugin_utils._run.stored_secrets import StoredSecrets, secret_names
from ansible_collections.postamt.mail.plugins.plugin_utils._run.values import literal, plain

Overrides = dict[str, t.Any]  # a program's own variables by kind
LOOK = "__mail_look"  # registered by playbooks/site.yml: what each host is like


def variables_of(
    action: t.Any, task_vars: Mapping[str, t.Any], name: str
) -> tuple[Mapping[str, t.Any], Callable[[t.Any], t.Any]]:
    """Return the variables that a task of this play has on a host, and what templates a value with them.

    The roles' tasks get no others. `hostvars` lacks those of the play, and the task's own variables are another host's.
    """
    hostvars, task = task_vars["hostvars"], action._task
    host = hostvars._inventory.get_host(name)
    found = hostvars._variable_manager.get_vars(play=task.get_play(), host=host, task=task)
    templar = action._templar.copy_with_new_env(available_variables=found)
    return found, lambda value: plain(value if literal(value) else templar.template(value))


def overrides_of(action: t.Any, task_vars: Mapping[str, t.Any], name: str) -> dict[str, Overrides]:
    """Return each program's own variables on a host (postfix_settings, postfix_services, ...), templated there."""
    variables, template = variables_of(action, task_vars, name)
    found: dict[str, Overrides] = {}
    for program, said in compose.ordered().items():
        words = {kind: f"{program}_{kind}" for kind in said.options}
        found[program] = {kind: template(variables[word]) for kind, word in words.items() if word in variables}
    return found


def derive(
    action: t.Any,
    task_vars: Mapping[str, t.Any],
    looks: Mapping[str, Mapping[str, t.Any]],
    keep: bool = True,
    moving: bool = False,
) -> Site:
    """Return the site that the variables visible to a task describe; raises SiteError with every problem.

    keep: whether passwords that are made now are remembered; never in check mode. moving: see parse_site().
    """
    groups = task_vars["groups"]
    members = list(groups.get(GROUP) or [task_vars["inventory_hostname"]])
    host_names = field_types(HostVariables)

    def template(value: t.Any) -> t.Any:
        return plain(value if literal(value) else action._templar.template(value))

    problems = from_facts(task_vars, [*members, str(task_vars["inventory_hostname"])])
    if problems:
        raise SiteError(problems)
    # A host that is a member of no group of the site (a play's own hosts) still has the variables of its play.
    variables = {name: template(value) for name, value in task_vars.items() if name.startswith("mail_")}
    belongs: dict[str, list[str]] = {}
    for group, names in groups.items():
        for name in names:
            belongs.setdefault(name, []).append(group)
    hosts = {}
    for name in members:
        its, template_there = variables_of(action, task_vars, name)
        said = {key: template_there(its[key]) for key in host_names if key in its}
        look = looks.get(name)
        hosts[name] = HostInput(belongs.get(name, []), said, look_of(name, look) if look else Look())
    for name in host_names:
        variables.pop(name, None)
    files = DataFiles.of(task_vars)
    variables, problems = _with_source(action, variables, files)
    listed = {group: list(names) for group, names in groups.items() if group in FUNCTIONS}
    try:
        found = compose.concerns().values()
        site = parse_site(variables, hosts, found, groups=listed, moving=moving)
    except SiteError as error:
        raise SiteError([*problems, *error.problems]) from None
    if problems:
        raise SiteError(problems)
    state = State(state_dir(site), action._loader._vault)
    check_ca_ownership(site, state)
    taken = stored_dkim_keys.taken_over(site, state, lambda path: controller_file(action, files, path))
    remember = keep and not action._task.check_mode
    site = recall(site, state, hosts, remember, gives_names(action, task_vars))
    left = [] if moving else list(directory_left(site))  # on a host that this run does not see, too
    if left:
        raise SiteError(left)
    kept = StoredSecrets(state, action._task.check_mode or not keep)
    kept.rename({a.address: a.renamed_from for a in site.accounts if a.renamed_from})
    names = secret_names(site)
    site.secrets = kept
    unfit = list(unfit_passwords(site))  # somebody may have written one there
    if unfit:
        raise SiteError(unfit)
    kept.ensure(names)  # in one write
    site.dkim_keys = stored_dkim_keys.ensure(site, state, taken, remember, Display().display)
    site.port_25 = {name: stored_tlsa.shown(chains) for name, chains in as_left(task_vars, "chains").items()}
    site.tlsa = stored_tlsa.read(state)
    return site


def from_facts(task_vars: Mapping[str, t.Any], names: Iterable[str], also: Iterable[str] = ()) -> list[Problem]:
    """Return what a host's facts would decide for the site: Ansible lets facts win over the inventory.

    Whoever sets a variable with set_fact means it, and it is no fact to Ansible, unless it is made cacheable.
    also: further variables that a playbook reads. The host's own name is one of all: with another's, a host would get
    what is meant for that one, passwords included.
    """
    known = {f"{program}_{kind}" for program, said in compose.ordered().items() for kind in said.options}
    known |= {"inventory_hostname", "inventory_dir", "inventory_file", *also}
    allowed = (
        "is among the host's facts, and facts may not set the site's variables: these come from the inventory, the "
        "play or the command line. Find out what set the fact (a module, a fact cache, set_fact with cacheable)"
    )
    everyone = {name: task_vars["hostvars"].raw_get(name) for name in names}
    found = []
    # The task's own facts come first, since a host that calls itself another one is not found by its name.
    for name, raw in [(task_vars.get("inventory_hostname"), task_vars), *everyone.items()]:
        facts = raw.get("ansible_facts") if isinstance(raw, Mapping) else None
        for fact in facts if isinstance(facts, Mapping) else ():
            if str(fact) in known or str(fact).startswith(("mail_", "__mail_")):
                found.append(Problem(f"{answers.clean(str(fact))[:80]} of host {name}", None, allowed))
    return list(dict.fromkeys(found))


def _with_source(
    action: t.Any, variables: dict[str, t.Any], files: DataFiles
) -> tuple[dict[str, t.Any], list[Problem]]:
    source, listed = variables.get("mail_accounts_source"), variables.get("mail_accounts") or []
    if not isinstance(source, Mapping) or not isinstance(listed, list):
        return variables, []  # what is wrong is said when the site is parsed
    name, query = source.get("file"), source.get("query", "@")
    if not isinstance(name, str) or not isinstance(query, str):
        return variables, []
    try:
        found = accounts_source.load(files.path(name), query, action._loader._vault)
    except Refused as refused:
        return variables, [Problem("mail_accounts_source.file", name, str(refused))]
    except SiteError as error:
        return variables, error.problems
    return {**variables, "mail_accounts": [*listed, *found]}, []


def site_for(action: t.Any, task_vars: Mapping[str, t.Any], keep: bool = True) -> Site:
    """Return the site, derived here from the inventory and from what this play has seen of its hosts."""
    looks = seen(task_vars)
    name = place_of(action, task_vars)
    if name not in looks:
        answer = look_at(action, task_vars)
        if "look" not in answer:
            raise AnsibleError(str(answer.get("msg", "the host could not be looked at")))
        looks[name] = answer["look"]
    return derive(action, task_vars, looks, keep)


def seen(task_vars: Mapping[str, t.Any]) -> dict[str, Mapping[str, t.Any]]:
    """Return what this play has seen of each host so far."""
    return {name: answer["look"] for name, answer in _looks(task_vars).items()}


def reached(task_vars: Mapping[str, t.Any]) -> list[str]:
    """Return the hosts that this play has reached, also those whose look has failed: they run, and may ask others."""
    raw = task_vars["hostvars"].raw_get
    answers_of = {name: raw(name).get(LOOK) for name in task_vars["groups"].get(GROUP, ())}
    return [name for name, it in answers_of.items() if isinstance(it, Mapping) and not it.get("unreachable")]


def as_left(task_vars: Mapping[str, t.Any], key: str) -> dict[str, Mapping[str, t.Any]]:
    """Return of each host what else its look says: `settled`, `doubts`, `seen` or `notes` (_engine/look.py)."""
    return {name: answer[key] for name, answer in _looks(task_vars).items() if key in answer}


def left_here(task_vars: Mapping[str, t.Any], key: str) -> Mapping[str, t.Any]:
    """Return a part of the look at the task's host alone: each host's tasks ask, and there may be a thousand hosts."""
    found: Mapping[str, t.Any] = _look_at(task_vars, str(task_vars["inventory_hostname"])).get(key, {})
    return found


def _looks(task_vars: Mapping[str, t.Any]) -> dict[str, Mapping[str, t.Any]]:
    names = task_vars["groups"].get(GROUP) or [task_vars["inventory_hostname"]]
    return {name: answer for name in names if (answer := _look_at(task_vars, name))}


def _look_at(task_vars: Mapping[str, t.Any], name: str) -> Mapping[str, t.Any]:
    answer = task_vars["hostvars"].raw_get(name).get(LOOK)
    found: Mapping[str, t.Any] = answer if isinstance(answer, Mapping) and answer.get("look") else {}
    return found

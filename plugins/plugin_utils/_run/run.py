# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From Ansible's variables to the Site, once a run, and from the Site to a program's plan.

Task `postamt.mail.site` derives the site for all hosts and leaves each host's plans, as JSON and 0600, in the private
temporary folder of this ansible-playbook process; the roles' tasks, each in a fork of its own, read theirs there. A
role that runs alone derives for itself. So secrets travel neither in facts nor in results.

Two doors are watched here: what comes from the inventory is never taken from facts (`from_facts()`), and what a host
answers is nothing but what it was asked (`on_host()`).
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
import secrets as random_secrets
import ssl
import time
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible import constants
from ansible.errors import AnsibleError
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import unfit_passwords
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import DUTIES, HostInput, Look, client_secret
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, Refused, SiteError, field_types
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, VMAIL, VMAIL_UID, Secrets, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.topology import directory_left
from ansible_collections.postamt.mail.plugins.plugin_utils._model.variables import HostVariables
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import ldap
from ansible_collections.postamt.mail.plugins.plugin_utils._run import accounts_source, answers, pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

SITE_RESULT = "__mail_site"  # registered by playbooks/site.yml: says that this run has derived the site
LOOK = "__mail_look"  # registered by playbooks/site.yml: what each host is like
GROUP = "mail"
Overrides = dict[str, t.Any]  # a program's own variables
CLOCKS = 3  # seconds by which clocks may differ
HOSTS_FILE = "hosts.json"  # in the state folder: what was last seen of each host
ASKED_FILE = "asked.json"  # in the state folder: which directory's changes each host asks for since its last run


class StoredSecrets(Secrets):
    """Secrets kept in the state folder; in check mode new ones are made up and forgotten."""

    def __init__(self, state: State, check_mode: bool) -> None:
        super().__init__(state.known_secrets())
        self.state = state
        self.check_mode = check_mode

    def get(self, name: str) -> str:
        if name not in self.known:  # derive() has made all that there are: whoever asks for one writes nothing
            raise StateError(f"the password {name} was not made: secret_names() of the collection's run.py has no such")
        return self.known[name]

    def ensure(self, names: Iterable[str]) -> None:
        """Make all missing ones of names in one write, unless another fork has made them meanwhile."""
        missing = [name for name in names if name not in self.known]
        if not missing:
            return
        if self.check_mode:
            self.known.update({name: super(StoredSecrets, self).get(name) for name in missing})
            return
        with self.state.locked():
            self.known.update(self.state.known_secrets())
            made = {name: super(StoredSecrets, self).get(name) for name in missing if name not in self.known}
            self.state.add_secrets(made)

    def rename(self, former: Mapping[str, str]) -> None:
        """Let a password also go by its account's new name; former: the old names by the new ones.

        The old name is forgotten when the account itself has been renamed: until then the inventory may change back.
        """

        def moved(known: Mapping[str, str]) -> dict[str, str]:
            return {new: known[old] for new, old in former.items() if old in known and new not in known}

        if moved(self.known) and not self.check_mode:
            with self.state.locked():
                self.known.update(self.state.known_secrets())
                self.state.add_secrets(moved(self.known))
        self.known.update(moved(self.known))


def plain(value: t.Any) -> t.Any:
    """Return Ansible's tagged and lazy values as Python's own."""
    if isinstance(value, Mapping):
        return {str.__str__(key) if isinstance(key, str) else key: plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes | datetime.datetime):  # YAML's own reading of a text that nobody knows any more
        return value
    return float(value) if isinstance(value, float) else str(value)


_TEMPLATE = re.compile(r"\{[{%#]|\A#jinja2:")


def literal(value: t.Any) -> bool:
    """Tell whether templating a value would change nothing: a list of 20,000 accounts is told from a template in a
    tenth of the time that templating takes.
    """
    if isinstance(value, str):
        return not _TEMPLATE.search(value)
    if isinstance(value, Mapping):
        return all(map(literal, value.values()))
    if isinstance(value, list | tuple):
        return all(map(literal, value))
    return value is None or isinstance(value, bool | int | float)


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
    hostvars, groups = task_vars["hostvars"], task_vars["groups"]
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
        raw = hostvars.raw_get(name)
        raw = raw if isinstance(raw, Mapping) else {}
        said = {key: template(raw[key]) for key in host_names if key in raw}
        look = looks.get(name)
        hosts[name] = HostInput(belongs.get(name, []), said, look_of(name, look) if look else Look())
    for name in host_names:
        variables.pop(name, None)
    variables, problems = _with_source(action, variables, DataFiles.of(task_vars))
    listed = {group: list(names) for group, names in groups.items() if group in DUTIES}
    try:
        found = compose.concerns().values()
        site = parse_site(variables, hosts, found, groups=listed, moving=moving)
    except SiteError as error:
        raise SiteError([*problems, *error.problems]) from None
    if problems:
        raise SiteError(problems)
    state = State(state_dir(site), action._loader._vault)
    check_ca_ownership(site, state)
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
    return site


def secret_names(site: Site) -> list[str]:
    """Return the names of all generated passwords that plans of the site ask for."""
    names = [*site.lookups.secrets(site), *map(client_secret, site.clients)]
    if site.provider:
        names += ldap.secret_names(site, compose.contributions("ldap", site, site.provider))
    return [*dict.fromkeys(names)]


def from_facts(task_vars: Mapping[str, t.Any], names: Iterable[str], also: Iterable[str] = ()) -> list[Problem]:
    """Return what a host's facts would decide for the site: Ansible lets facts win over the inventory.

    Whoever sets a variable with set_fact means it, and it is no fact to Ansible, unless it is made cacheable.
    also: further variables that a playbook reads. The host's own name is one of all: with another's, a host would get
    what is meant for that one, passwords included.
    """
    known = {f"{program}_{kind}" for program in compose.programs() for kind in ("settings", "services")}
    known |= {"inventory_hostname", "inventory_dir", "inventory_file", *also}
    allowed = (
        "is among the host's facts, and facts decide nothing here: the site's variables come from the inventory, the "
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


def look_of(name: str, value: t.Any) -> Look:
    """Return a host's look typed; raises SiteError where it is none. name: the host in the inventory."""
    try:
        return Look(**answers.look(plain(value)))
    except answers.Wrong as wrong:
        raise SiteError([Problem(f"what host {name} says of itself", None, str(wrong))]) from None


def recall(site: Site, state: State, inputs: Mapping[str, HostInput], remember: bool, naming: bool = True) -> Site:
    """Return the site, the hosts that this run has not seen (--limit, or one is down) as an earlier one saw them.

    naming: see gives_names(). A host whose certificate has no name for its links yet is known by its own.
    """
    if len(site.hosts) == 1:
        return site
    known = _remembered(state, HOSTS_FILE)
    hosts, seen = dict(site.hosts), {}
    for name, item in inputs.items():
        kept: t.Any = known.get(name)
        named = False
        if isinstance(kept, dict):
            kept = dict(kept)
            named = kept.pop("link_named", False) is True
        if item.look.addresses:
            named = named or naming
            seen[name] = {**dataclasses.asdict(item.look), "clock": 0, "masked": [], "link_named": named}
        elif name in known:
            try:
                look = look_of(name, kept)
            except SiteError as error:
                place = state.path(HOSTS_FILE)
                raise StateError(f"{place}: {error.problems[0]}; run with that host, or remove it there") from None
            addresses = site.hosts[name].addresses or tuple(look.addresses)
            hosts[name] = dataclasses.replace(hosts[name], look=look, addresses=addresses)
        hosts[name] = dataclasses.replace(hosts[name], link_named=named or name not in known)

    def with_seen(before: Mapping[str, t.Any]) -> dict[str, t.Any]:
        return {**{name: kept for name, kept in before.items() if name in inputs}, **seen}

    if remember and with_seen(known) != known:
        with state.locked():  # where a role runs alone, each host's fork has seen that host only
            now = json.dumps(with_seen(_remembered(state, HOSTS_FILE)), indent=1, sort_keys=True)
            state.write(HOSTS_FILE, now.encode(), secret=False)
    return site.on(hosts)


def gives_names(action: t.Any, task_vars: Mapping[str, t.Any]) -> bool:
    """Tell whether the hosts that this run sees get certificates in it, and so names for their links.

    They do not with --tags of other roles, or where another role runs alone.
    """
    others = set(compose.programs()) - {"certificates"}
    alone = action._task.action.rpartition(".")[2] in others
    tags = set(task_vars.get("ansible_run_tags") or ["all"])
    return not (alone or tags <= others or "certificates" in (task_vars.get("ansible_skip_tags") or ()))


def _remembered(state: State, name: str) -> dict[str, t.Any]:
    """Return what a file of the state folder holds, a mapping in JSON; nothing where there is no such file."""
    try:
        found = json.loads(state.read(name) or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StateError(f"{state.path(name)} must be a mapping in JSON: remove it, and a run over all hosts makes it")
    return found


def away(action: t.Any, task_vars: Mapping[str, t.Any], site: Site, looks: t.Collection[str]) -> list[str]:
    """Return a sentence on each host that this run does not reach, and that an administrator has to know of."""
    whole = list(task_vars.get("ansible_run_tags") or ["all"]) == ["all"] and not task_vars.get("ansible_skip_tags")
    former = still_asked(site, state_of(action, site), looks, remember=whole and not action._task.check_mode)
    found = [
        f"{name} was not reached and still asks the directory of {old}, which is not the site's any more: until a run "
        f"reaches {name}, passwords and accounts there are what {old} says. Make sure that {old} never serves again"
        for name, old in former.items()
    ]
    quiet = [name for name in task_vars.get("ansible_play_hosts_all", ()) if name not in looks and name not in former]
    return found + [f"{name} was not reached: it stays as it is until a run reaches it" for name in quiet]


def still_asked(site: Site, state: State, reached: t.Collection[str], remember: bool) -> dict[str, str]:
    """Return the hosts that this run does not reach and whose directory's provider is another now, with that one."""
    provider = site.provider
    if provider is None or len(site.hosts) == 1:
        return {}
    known = _remembered(state, ASKED_FILE)
    asking = [name for name, host in site.hosts.items() if site.shows_public(host) or host.does("mail_directory")]
    now = {name: provider.inventory_name if name in reached else known.get(name, "") for name in asking}
    if remember and now != known:
        state.write(ASKED_FILE, json.dumps(now, indent=1, sort_keys=True).encode(), secret=False)
    return {name: old for name, old in now.items() if old and old != provider.inventory_name}


def check_ca_ownership(site: Site, state: State) -> None:
    """Raise StateError where a host of the site trusts a CA that is not this controller's, before anything is made."""
    carried = {name: host.look.ca for name, host in site.hosts.items() if host.look.ca}
    if not carried:
        return
    ours = [
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest().upper()
        for name in (pki.CA_CERTIFICATE, pki.CA_FORMER)
        for block in pki.blocks((state.read(name) or b"").decode("ascii", "replace"))
    ]
    found = [f"host {name} trusts a CA (SHA-256 {ca})" for name, ca in sorted(carried.items()) if ca not in ours]
    if found:
        raise StateError(
            f"{'; '.join(found)}, and {state.folder} on this controller holds {'another' if ours else 'none'}: copy "
            "that folder (ca.pem, ca.key, secrets.yml) there from the controller that made them or from its backup, or "
            f"let mail_state_dir name the right folder; if they are lost, remove {CA_FILE} from every host, and the "
            "run makes a new CA"
        )


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


def on_host(
    action: t.Any,
    task_vars: Mapping[str, t.Any],
    program: str,
    request: Mapping[str, t.Any] | None = None,
    secrets: Iterable[str] = (),
) -> dict[str, t.Any]:
    """Run a program's code on the task's host and return its answer: what this program may answer, and nothing else.

    Module arguments would otherwise reach the host's journal, secrets included.
    """
    answer: dict[str, t.Any] = action._execute_module(
        module_name="postamt.mail.apply_plan",
        module_args={"program": program, "request": dict(request or {}), "secrets": list(secrets)},
        task_vars={**task_vars, "ansible_no_target_syslog": True},
    )
    return answer_of(action, task_vars, answer, lambda said: answers.checked(program, said))


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


def look_at(action: t.Any, task_vars: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what the task's host is like; a host alone opens no port for others, and is not asked for its firewall."""
    several = len(task_vars["groups"].get(GROUP, ())) > 1
    before = time.time()
    answer = on_host(action, task_vars, "host", {"firewall": several, "owner": [VMAIL, VMAIL_UID]})
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


def state_dir(site: Site) -> str:
    """Return the folder of the controller's state for a site."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.expanduser(site.core.mail_state_dir or os.path.join(home, "postamt.mail", site.server_name))


def state_of(action: t.Any, site: Site) -> State:
    """Return the controller's state of a site, as an action may use it."""
    return State(state_dir(site), action._loader._vault)


def hand_over(site: Site, plans: Mapping[tuple[str, str], tuple[Overrides, compose.Plan]]) -> str:
    """Leave the plans for the later tasks of this run; returns the token by which they find them.

    plans: by host and program, with the program's own variables that are in it.
    """
    token = random_secrets.token_hex(16)
    os.mkdir(_folder(token), 0o700)
    for (host, program), (overrides, plan) in plans.items():
        _leave(token, f"{host}/{program}", {"overrides": overrides, "plan": plan})
    _leave(token, "state_dir", state_dir(site))
    provider = site.provider
    if provider:
        names = list(plans[provider.inventory_name, "ldap"][1]["entries"]["fingerprints"])
        _leave(token, "passwords", ldap.applied_passwords(site, names))
    return token


def _folder(token: str) -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, f"postamt-{token}")


def _place(token: str, what: str) -> str:
    return os.path.join(_folder(token), hashlib.sha256(what.encode()).hexdigest())  # a host's name may hold anything


def _leave(token: str, what: str, data: t.Any) -> None:
    descriptor = os.open(_place(token, what), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(data, default=str))


def handed(task_vars: Mapping[str, t.Any], what: str) -> t.Any:
    """Return what `hand_over()` has left in this run; None where it has not."""
    result = task_vars.get(SITE_RESULT)
    token = result.get("site_token") if isinstance(result, Mapping) else None
    if not isinstance(token, str) or not re.fullmatch(r"[0-9a-f]{32}", token):
        return None
    try:
        with open(_place(token, what), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def place_of(action: t.Any, task_vars: Mapping[str, t.Any]) -> str:
    """Return the inventory name of the host that a task works on."""
    return str(action._task.delegate_to or task_vars["inventory_hostname"])


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
    hostvars = task_vars["hostvars"]
    found = {}
    for name in task_vars["groups"].get(GROUP) or [task_vars["inventory_hostname"]]:
        answer = hostvars.raw_get(name).get(LOOK)
        if isinstance(answer, Mapping) and answer.get("look"):
            found[name] = answer["look"]
    return found


def overrides_in(variables: Mapping[str, t.Any], read: Callable[[t.Any], t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return each program's own variables (postfix_settings, postfix_services, ...); read: makes a value plain."""
    return {
        program: {
            kind: read(variables[f"{program}_{kind}"])
            for kind in ("settings", "services")
            if f"{program}_{kind}" in variables
        }
        for program in compose.programs()
    }


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


def controller_file(action: t.Any, files: DataFiles, path: str) -> bytes:
    """Return a file's content, decrypted where ansible-vault encrypted it; path: as in the inventory.

    Raises Refused where it cannot be read, or lies where Ansible would read it as inventory.
    """
    place = files.path(path)
    folder, name = os.path.split(place)
    try:
        content = State(folder, action._loader._vault).read(name)
    except StateError as error:
        raise Refused(f"cannot be used: {error}") from None
    if content is None:
        where = "relative to the folder that holds the inventory"
        raise Refused(f"must be a file on the controller, {where}; there is no {place}")
    return content


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

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From Ansible's variables to the Site, once a run, and from the Site to a program's plan.

Task `postamt.mail.site` derives the site for all hosts and leaves it, pickled and 0600, in the private temporary folder
of this ansible-playbook process; the roles' tasks, each in a fork of its own, read it there. A role that runs alone
derives for itself. So secrets travel neither in facts nor in results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import re
import ssl
import time
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible import constants
from ansible.errors import AnsibleError
from ansible_collections.postamt.mail.plugins.plugin_utils import accounts_source, compose
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Problem, SiteError, field_types
from ansible_collections.postamt.mail.plugins.plugin_utils.site import (
    CA_FILE,
    DUTIES,
    HostInput,
    HostVariables,
    Look,
    Secrets,
    Site,
    client_secret,
    directory_left,
    parse_site,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.state import State, StateError

MARK = "__mail_site"  # registered by playbooks/site.yml: says that this run has derived the site
LOOK = "__mail_look"  # registered by playbooks/site.yml: what each host is like
GROUP = "mail"
CLOCKS = 3  # seconds by which clocks may differ
HOSTS_FILE = "hosts.json"  # in the state folder: what was last seen of each host


class StoredSecrets(Secrets):
    """Secrets kept in the state folder; in check mode new ones are made up and forgotten."""

    def __init__(self, state: State, check_mode: bool) -> None:
        super().__init__(state.known_secrets())
        self.state = state
        self.check_mode = check_mode

    def get(self, name: str) -> str:
        if name not in self.known:
            self.ensure([name])
        return self.known[name]

    def ensure(self, names: Iterable[str]) -> None:
        """Make all missing ones of names in one write, unless another fork has made them meanwhile."""
        missing = [name for name in names if name not in self.known]
        if not missing:
            return
        if self.check_mode:
            for name in missing:
                super().get(name)
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
        hosts[name] = HostInput(belongs.get(name, []), said, Look(**plain(look)) if look else Look())
    for name in host_names:
        variables.pop(name, None)
    variables, problems = _with_source(action, variables, str(task_vars.get("inventory_dir") or "."))
    listed = {group: list(names) for group, names in groups.items() if group in DUTIES}
    try:
        found = compose.concerns().values()
        site = parse_site(variables, hosts, found, groups=listed, moving=moving)
    except SiteError as error:
        raise SiteError([*problems, *error.problems]) from None
    if problems:
        raise SiteError(problems)
    state = State(state_dir(site), action._loader._vault)
    refuse_strangers(site, state)
    site = recall(site, state, hosts, remember=keep and not action._task.check_mode)
    left = [] if moving else list(directory_left(site))  # on a host that this run does not see, too
    if left:
        raise SiteError(left)
    kept = StoredSecrets(state, action._task.check_mode or not keep)
    kept.rename({a.address: a.renamed_from for a in site.accounts if a.renamed_from})
    generated = [a.address for a in site.accounts if site.uses_directory and not (a.password or a.password_hash)]
    kept.ensure([*generated, *(client_secret(host) for host in site.clients)])  # in one write
    site.secrets = kept
    return site


def recall(site: Site, state: State, inputs: Mapping[str, HostInput], remember: bool) -> Site:
    """Return the site, the hosts that this run has not seen (--limit, or one is down) as an earlier one saw them."""
    if len(site.hosts) == 1:
        return site
    known = json.loads(state.read(HOSTS_FILE) or b"{}")
    seen = {name: {**dataclasses.asdict(item.look), "clock": 0} for name, item in inputs.items() if item.look.addresses}
    hosts = dict(site.hosts)
    for name, host in site.hosts.items():
        if name in known and name not in seen:
            look = Look(**known[name])
            hosts[name] = dataclasses.replace(host, look=look, addresses=host.addresses or tuple(look.addresses))
    now = {name: look for name, look in {**known, **seen}.items() if name in inputs}
    if remember and now != known:
        state.write(HOSTS_FILE, json.dumps(now, indent=1, sort_keys=True).encode(), secret=False)
    return site.on(hosts)


def refuse_strangers(site: Site, state: State) -> None:
    """Raise StateError where a host of the site trusts a CA that is not this controller's, before anything is made."""
    carried = {name: host.look.ca for name, host in site.hosts.items() if host.look.ca}
    if not carried:
        return
    pem = (state.read("ca.pem") or b"").decode("ascii", "replace")
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    block = pem[begin : end + len(ssl.PEM_FOOTER)] if 0 <= begin < end else ""
    ours = hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest().upper() if block else ""
    found = [f"host {name} trusts a CA (SHA-256 {ca})" for name, ca in sorted(carried.items()) if ca != ours]
    if found:
        raise StateError(
            f"{'; '.join(found)}, and {state.folder} on this controller holds {'another' if block else 'none'}: copy "
            "that folder (ca.pem, ca.key, secrets.yml) there from the controller that made them or from its backup, or "
            f"let mail_state_dir name the right folder; if they are lost, remove {CA_FILE} from every host, and the "
            "run makes a new CA"
        )


def _with_source(action: t.Any, variables: dict[str, t.Any], folder: str) -> tuple[dict[str, t.Any], list[Problem]]:
    source = variables.get("mail_accounts_source")
    if not isinstance(source, Mapping) or "file" not in source:
        return variables, []
    path = os.path.join(folder, os.path.expanduser(str(source["file"])))
    try:
        found = accounts_source.load(path, str(source.get("query", "@")), action._loader._vault)
    except SiteError as error:
        return variables, error.problems
    return {**variables, "mail_accounts": [*(variables.get("mail_accounts") or []), *found]}, []


def on_host(
    action: t.Any,
    task_vars: Mapping[str, t.Any],
    program: str,
    request: Mapping[str, t.Any] | None = None,
    secrets: Iterable[str] = (),
) -> dict[str, t.Any]:
    """Run a program's code on the task's host and return its answer.

    Module arguments would otherwise reach the host's journal, secrets included.
    """
    answer: dict[str, t.Any] = action._execute_module(
        module_name="postamt.mail.carry_out",
        module_args={"program": program, "request": dict(request or {}), "secrets": list(secrets)},
        task_vars={**task_vars, "ansible_no_target_syslog": True},
    )
    answer.pop("invocation", None)
    return answer


def look_at(action: t.Any, task_vars: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what the task's host is like; a host alone opens no port for others, and is not asked for its firewall."""
    several = len(task_vars["groups"].get(GROUP, ())) > 1
    before = time.time()
    answer = on_host(action, task_vars, "host", {"firewall": several})
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


def hand_over(site: Site) -> str:
    """Leave the site for the later tasks of this run; returns the mark by which they find it."""
    if isinstance(site.secrets, StoredSecrets):
        site.secrets.state = State(site.secrets.state.folder)  # without the vault's secrets
    data = pickle.dumps(site, protocol=pickle.HIGHEST_PROTOCOL)
    mark = hashlib.sha256(data).hexdigest()[:16]
    with open(_handed(mark), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(data)
    return mark


def _handed(mark: str) -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, f"postamt-site-{mark}")


def place_of(action: t.Any, task_vars: Mapping[str, t.Any]) -> str:
    """Return the inventory name of the host that a task works on."""
    return str(action._task.delegate_to or task_vars["inventory_hostname"])


def site_for(action: t.Any, task_vars: Mapping[str, t.Any], keep: bool = True) -> Site:
    """Return the site for a role's task: what `postamt.mail.site` left, else derived here for this host alone."""
    result = task_vars.get(MARK)
    mark = result.get("mark") if isinstance(result, Mapping) else None
    if mark:
        with open(_handed(str(mark)), "rb") as file:
            site: Site = pickle.load(file)
        if isinstance(site.secrets, StoredSecrets):
            site.secrets.state = State(site.secrets.state.folder, action._loader._vault)
        return site
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
        if answer and "look" in answer:
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


def tried_plans(action: t.Any, task_vars: Mapping[str, t.Any], site: Site) -> list[str]:
    """Derive every program's plan for every host, and raise SiteError with all that cannot be; return their notes.

    This is before any host is touched: a role's own task would find it when others have been changed already.
    """
    notes: list[str] = []
    problems: dict[str, Problem] = {}
    for name, host in site.hosts.items():
        given = overrides_in(task_vars["hostvars"][name], plain)
        for program, module in compose.programs().items():
            try:
                plan = compose.plan(program, site, host, given[program])
                notes += [f"{name}: {note}" for note in plan.get("notes", [])]
                if hasattr(module, "supplied"):
                    module.supplied(plan, lambda path: controller_file(action, task_vars, path))
            except SiteError as error:
                problems.update({str(problem): problem for problem in error.problems})
            except compose.ComposeError as error:
                for line in str(error).splitlines():
                    where, _colon, allowed = line.partition(": ")
                    problems[line] = Problem(where, None, allowed)
    if problems:
        raise SiteError(problems.values())
    return notes


def controller_file(action: t.Any, task_vars: Mapping[str, t.Any], path: str) -> bytes:
    """Return a file's content, decrypted where ansible-vault encrypted it; path: relative to the inventory."""
    folder, name = os.path.split(os.path.join(task_vars.get("inventory_dir") or ".", os.path.expanduser(path)))
    content = State(folder, action._loader._vault).read(name)
    if content is None:
        raise FileNotFoundError(2, os.strerror(2), path)
    return content


def plan_for(
    action: t.Any, task_vars: Mapping[str, t.Any], program: str, overrides: Mapping[str, t.Any] | None = None
) -> compose.Plan:
    """Return a program's plan for the task's host; raises SiteError or ComposeError, whose text is for the user.

    overrides: the program's own variables, such as {"settings": {...}, "services": {...}} of postfix.
    """
    site = site_for(action, task_vars)
    host = site.hosts[str(task_vars["inventory_hostname"])]
    return compose.plan(program, site, host, plain(overrides or {}))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers of hosts between runs, and what follows for those that a run does not see."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import ssl
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import answers, pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError, state_of
from ansible_collections.postamt.mail.plugins.plugin_utils._run.values import plain

HOSTS_FILE = "hosts.json"  # in the state folder: what was last seen of each host
ASKED_FILE = "asked.json"  # in the state folder: which directory's changes each host asks for since its last run


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
    former = still_asked(site, state_of(action, site), looks, does_all(action, task_vars))
    found = [
        f"{name} was not reached and still asks the directory of {old}, but the site's directory is elsewhere now: "
        f"until a run reaches {name}, its accounts and passwords come from {old}. {old} must never serve again"
        for name, old in former.items()
    ]
    quiet = [name for name in task_vars.get("ansible_play_hosts_all", ()) if name not in looks and name not in former]
    return found + [f"{name} was not reached: it stays as it is until a run reaches it" for name in quiet]


def does_all(action: t.Any, task_vars: Mapping[str, t.Any]) -> bool:
    """Tell whether this run applies all programs, on the hosts that it reaches."""
    whole = list(task_vars.get("ansible_run_tags") or ["all"]) == ["all"] and not task_vars.get("ansible_skip_tags")
    return whole and not action._task.check_mode


def still_asked(site: Site, state: State, reached: t.Collection[str], remember: bool) -> dict[str, str]:
    """Return the hosts that this run does not reach and whose directory's provider is another now, with that one."""
    provider = site.provider
    if provider is None or len(site.hosts) == 1:
        return {}
    known = _remembered(state, ASKED_FILE)
    asking = [name for name, host in site.hosts.items() if site.shows_public(host) or host.has("mail_directory")]
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

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys for signatures: show them, and give domains new ones a step at a time. No host is needed for that.

A step is for all domains that were asked for, or for none. It ends with one write of the state folder; hosts sign with
other keys only when a run of the site has deployed them.
"""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import Variables as Dns
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.dkim import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError, parse_fields
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dkim_rotation as rotation
from ansible_collections.postamt.mail.plugins.plugin_utils._run import handover, inventory, remote, values
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_dkim_keys as stored
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError, state_of

Result = dict[str, t.Any]
OPTIONS = ("step", "domains", "confirmed", "resolvers", "wait_days")  # the playbook's variables are dkim_...
READ = tuple(f"dkim_{name}" for name in OPTIONS)
_LISTS = ("domains", "resolvers")
_MOST = 20  # lines of a message


class ActionModule(ActionBase):
    """One call serves the whole site: an unreachable first host does no harm."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _validated, given = self.validate_argument_spec({name: {"type": "raw"} for name in OPTIONS})
        try:
            if given["step"] == handover.DEPLOYED:
                return {**result, **self._deployed()}
            return {**result, **self._answer(asked_for(given))}
        except SiteError as error:  # the head speaks of the site's variables
            return {**result, "failed": True, "msg": "\n".join(map(str, error.problems))}
        except (ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        except ImportError:
            return {**result, "failed": True, "msg": "needs the Python package dnspython on the controller"}

    def _deployed(self) -> Result:
        """Note that a run of the site has reached all hosts that sign, and nothing has failed there."""
        left = handover.handed(self._vars, handover.DEPLOYED)
        if not left:
            raise StateError(f"dkim_step is {handover.DEPLOYED!r}: it is for postamt.mail.site alone, at its end")
        if set(left["hosts"]) <= set(self._vars.get("ansible_play_hosts") or ()) and not self._task.check_mode:
            stored.mark_deployed(State(str(left["state_dir"]), self._loader._vault), left["keys"])
        return {"changed": False}

    def _answer(self, asked: rotation.Asked) -> Result:
        if wrong := inventory.from_facts(self._vars, self._vars["groups"].get(remote.GROUP, ()), READ):
            raise SiteError(wrong)
        site = inventory.derive(self, self._vars, inventory.seen(self._vars), keep=False)
        signed = stored.signed_domains(site)
        if not site.of(Variables).mail_dkim:
            raise SiteError([Problem("mail_dkim", False, "nothing is signed, so that there are no keys to change")])
        if not signed:
            raise StateError("no host of the site sends mail, so that there are no keys to change")
        if problems := list(rotation.check(asked, signed)):
            raise SiteError(problems)
        state = state_of(self, site)
        known = stored.read(state)
        keys = {name: known.get(name) for name in asked.dkim_domains or signed}
        if asked.dkim_step is None:
            return self._shown(keys, asked)
        return self._step(site, state, asked.dkim_step, keys, asked)

    def _shown(self, keys: Mapping[Domain, DomainKeys | None], asked: rotation.Asked) -> Result:
        there = {name: one for name, one in keys.items() if one is not None}
        wanted = [item for name, one in there.items() for item in rotation.to_ask(None, name, one)]
        seen = rotation.look(wanted, rotation.asking(asked.dkim_resolvers))
        found, now = {}, time.time()
        for name, one in keys.items():
            if one is None:
                self._say(f"{name}: no keys yet: run postamt.mail.site, which makes them")
                continue
            coming = rotation.due(one, seen[name], asked, now)
            found[name] = rotation.plain(name, one, seen[name], coming)
            for line in rotation.table(name, one, seen[name], coming, now):
                self._say(line)
        return {"changed": False, "domains": found, "deploys": False}

    def _step(
        self,
        site: Site,
        state: State,
        step: rotation.Step,
        keys: Mapping[Domain, DomainKeys | None],
        asked: rotation.Asked,
    ) -> Result:
        now = int(time.time())
        there = {name: one for name, one in keys.items() if one is not None}
        names = list(keys) if asked.dkim_domains else rotation.suited(step, there)
        if not names:
            raise StateError(rotation.nothing_to_do(step))
        asking = [] if asked.dkim_confirmed else [n for n in names if n in there]
        wanted = [item for name in asking for item in rotation.to_ask(step, name, there[name])]
        seen = rotation.look(wanted, rotation.asking(asked.dkim_resolvers))
        obstacles = {name: rotation.obstacle(step, keys[name], seen.get(name, {}), asked, now) for name in names}
        refused = {name: why for name, why in obstacles.items() if why}
        if refused:
            raise StateError(_refusal(step, refused, [name for name in names if name not in refused]))
        before = {name: there[name] for name in names}
        if self._task.check_mode:
            return self._predicted(step, before)
        lacking = {name: one.selectors() for name, one in before.items() if step == "publish" and one.next is None}
        fresh = dict(stored.new_sets(lacking, self._display.display))
        changed = {name: rotation.after(step, one, fresh.get(name), now) for name, one in before.items()}
        stored.change(state, lambda known: _unless_changed(known, before, changed))
        return self._done(step, before, changed, site.of(Dns).mail_dns_ttl)

    def _predicted(self, step: rotation.Step, before: Mapping[Domain, DomainKeys]) -> Result:
        actions = [f"{name}: {_would(step, one)}" for name, one in before.items()]
        for line in actions:
            self._say(line)
        changed = any(not one.next if step == "publish" else one.next or step == "withdraw" for one in before.values())
        return {"changed": bool(changed), "actions": actions, "deploys": step == "sign"}

    def _done(
        self,
        step: rotation.Step,
        before: Mapping[Domain, DomainKeys],
        changed: Mapping[Domain, DomainKeys],
        ttl: int,
    ) -> Result:
        actions: list[str] = []
        records: list[str] = []
        for name, one in changed.items():
            old = before[name]
            if step == "publish" and one.next:
                actions.append(f"{name}: {'made a next set' if old.next is None else 'has a next set already'}")
                records += rotation.zone_lines(name, one.next, ttl)
            elif step == "sign":
                actions.append(f"{name}: is to sign with {_names(one.signing)} from this run on")
            elif old.former:
                actions.append(f"{name}: deleted the former set")
                records += rotation.zone_lines(name, old.former, ttl)
        for line in actions:
            self._say(line)
        if records:
            what = "add these records to the DNS" if step == "publish" else "remove these records from the DNS"
            for line in [f"{what}:", *records]:
                self._say(line)
        found = {"changed": changed != before, "actions": actions, "records": records}
        return {**found, "deploys": step == "sign"}

    def _say(self, text: str) -> None:
        self._display.display(text)


def asked_for(given: Mapping[str, t.Any]) -> rotation.Asked:
    """Return what was asked for, by the names that the playbook's variables have; raises SiteError."""
    said = {f"dkim_{name}": given[name] for name in OPTIONS if given.get(name) is not None}
    problems: list[Problem] = []
    for name in (f"dkim_{name}" for name in _LISTS):
        if name in said:
            said[name] = values.listed(said[name])
        if said.get(name) == []:  # an empty list is no word for all
            problems.append(Problem(name, None, "must not be empty: leave it out where it does not matter"))
    asked = parse_fields(rotation.Asked, said, "", problems, prefix="")
    if problems:
        raise SiteError(problems)
    found: rotation.Asked = asked
    return found


def _unless_changed(
    known: Mapping[Domain, DomainKeys], before: Mapping[Domain, DomainKeys], changed: Mapping[Domain, DomainKeys]
) -> Mapping[Domain, DomainKeys]:
    """Return what is to be written, where nothing has happened since it was decided."""
    for name, one in before.items():
        if known.get(name) != one:
            raise StateError(f"{name}: another run has just changed its keys; run again")
    return changed


def _would(step: rotation.Step, keys: DomainKeys) -> str:
    """Return what a step would do."""
    if step == "publish":
        return "has a next set already" if keys.next else "would make a next set"
    if step == "sign":
        return f"would sign with {_names(keys.next or keys.signing)}"
    return f"would delete the former set, {_names(keys.former)}"


def _names(keys: t.Any) -> str:
    return ", ".join(keys.selectors())


def _refusal(step: str, refused: Mapping[Domain, str], others: list[Domain]) -> str:
    many = len(refused) + len(others)
    lines = [f"dkim_step={step} cannot be done for {len(refused)} of {many} domains, and nothing was changed:"]
    lines += [f"- {name}: {why}" for name, why in list(refused.items())[:_MOST]]
    if len(refused) > _MOST:
        lines.append(f"- and {len(refused) - _MOST} more domains")
    if others:
        lines.append(f"for the others alone: -e dkim_domains={','.join(others)}")
    return "\n".join(lines)

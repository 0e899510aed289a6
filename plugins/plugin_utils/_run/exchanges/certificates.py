# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Certificates: hosts ask, the controller signs or brings what the user supplies, hosts install."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.compose import Plan
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import certificates
from ansible_collections.postamt.mail.plugins.plugin_utils._run import answers, exchange
from ansible_collections.postamt.mail.plugins.plugin_utils._run.data_files import DataFiles, controller_file
from ansible_collections.postamt.mail.plugins.plugin_utils._run.exchange import Result
from ansible_collections.postamt.mail.plugins.plugin_utils._run.remote import wrongly
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State

_CERTIFICATE = answers.Whole(
    {
        "chain": answers.text,
        "matches": answers.flag,
        "guarded": answers.flag,
        "next": answers.line,
        "next_type": answers.line,
    }
)
_SEEN = {"served": answers.Each(answers.word, _CERTIFICATE), "ca": answers.text}
_ALL_SEEN = answers.Whole(_SEEN)


class Exchange(exchange.Exchange):
    """The module is called as often as the exchange with the controller needs: once where nothing is to do."""

    answers: t.ClassVar = {
        **_SEEN,
        "shown_by": answers.Each(answers.word, [answers.line]),
        "requests": answers.Each(answers.word, answers.text),
        "reloaded": [answers.line],
        "left": [answers.line],
        "obtained": answers.flag,
        "why": answers.line,
    }
    required = ("changed",)
    seen: t.ClassVar = _ALL_SEEN

    def as_left(self, plan: Plan, seen: Mapping[str, t.Any]) -> Result | None:
        """Judge the certificates that the look has seen: they expire, and the controller's files may be others."""
        found = dict(seen)
        if certificates.stand_ins(plan, found):
            return None
        state = self._begin(plan)
        answer = certificates.provision(plan, state, self._given, found, self._call, check_mode=True)
        return None if answer["changed"] else answer

    def _begin(self, plan: Plan) -> State:
        """Take the user's files from the controller; returns what it keeps of the site."""
        files = DataFiles.of(self._vars)
        self._plan = plan
        self._given = certificates.supplied(plan, lambda path: controller_file(self._action, files, path))
        return State(self._handed.state_dir, self._action._loader._vault)

    def apply(self, plan: Plan) -> Result:
        check_mode = bool(self._task.check_mode)
        state = self._begin(plan)
        seen = self._call(state="seen")
        actions: list[str] = []
        if seen.get("missing") and not check_mode:
            if failure := self._packages(seen["missing"], actions):
                return failure
            seen = self._call(state="seen")
        if seen.get("failed"):
            return seen
        for key in ("actions", "diff", "served", "ca"):
            if key not in seen:
                return wrongly(self._action, self._vars, f"{key} is missing")
        answer = certificates.provision(plan, state, self._given, seen, self._call, check_mode=check_mode)
        actions += [*seen["actions"], *answer.get("actions", [])]
        diff = [*seen["diff"], *answer.get("diff", [])]
        if not answer.get("failed"):
            self._obtain(certificates.stand_ins(plan, seen), actions, answer)
        return {**answer, "actions": actions, "diff": diff, "changed": bool(actions)}

    def _obtain(self, names: list[str], actions: list[str], answer: Result) -> None:
        """Have the ACME client try what it has not brought yet. That it cannot stops no mail: there is a stand-in."""
        listed = ", ".join(names)
        if names and self._task.check_mode:
            actions.append(f"would obtain certificate {listed} by ACME")
        elif names:
            tried = self._call(state="obtain")
            if tried.get("obtained"):
                actions.append(f"obtained certificate {listed} by ACME")
            else:
                stand_in = f"certificate {listed} is a stand-in of the site's CA, since ACME has not brought it"
                answer["warnings"].append(f"{stand_in}: {tried.get('why') or tried.get('msg')}")

    def _call(self, **arguments: t.Any) -> Result:
        request = {"plan": self._plan, **arguments}
        return self._on_host(request, [*self._plan["secrets"], *(file.key for file in self._given.values())])

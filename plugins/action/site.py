# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the whole site once a run, on the controller, and leave it for the roles' tasks."""

from __future__ import annotations

import gc
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._run import (
    handover,
    inventory,
    remembered,
    remote,
    stored_dkim_keys,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError


class ActionModule(ActionBase):
    """No connection is needed, and one call serves all hosts: an unreachable first host does no harm."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        gc.disable()  # in a fork that ends with this task: with 20,000 accounts, a third of its time
        result: dict[str, t.Any] = super().run(tmp, variables)
        looks = inventory.seen(variables)
        try:
            site = inventory.derive(self, variables, looks)
            plans = handover.tried_plans(self, variables, site)
            for (name, _program), (_overrides, plan) in plans.items():
                for note in plan.get("notes", ()):
                    self._display.display(f"{name}: {note}")
            for sentence in remote.wrong_clocks(looks):
                self._display.warning(sentence)
            parts = inventory.as_left(variables, "parts")
            result["due"], result["leaving"] = in_order(plans, looks, parts)
            result["reached"] = inventory.reached(variables)
            result["away"] = remembered.away(self, variables, site, looks)
            for sentence in result["away"]:
                self._display.warning(sentence)
            undated = stored_dkim_keys.undated(site, looks) if remembered.does_all(self, variables) else {}
            result["dkim_deploys"] = bool(undated)
            result["site_token"] = handover.hand_over(
                site, plans, asked(result["due"], result["leaving"]), inventory.as_left(variables, "settled"), undated
            )
        except (SiteError, ComposeError, StateError) as error:
            return {**result, "failed": True, "msg": str(error)}
        result["changed"] = False
        return result


Plans = t.Mapping[tuple[str, str], tuple[t.Any, compose.Plan]]
Looks = t.Mapping[str, t.Mapping[str, t.Any]]
Parts = t.Mapping[str, t.Collection[str]]
Programs = dict[str, list[str]]


def in_order(plans: Plans, looks: Looks, parts: t.Mapping[str, Parts]) -> tuple[Programs, Programs]:
    """Return by host the programs whose tasks come in their order, and those that come when all others are changed.

    The former are those that the host is to have, those of somebody else of which the plan stops a unit, and those to
    which others would bring mail that stays behind. The latter are those that this collection has set up there and
    that are not wanted any more, wholly or in part: until others are changed, they ask them. parts: see gives_up().
    """
    due: Programs = {name: [] for name, _program in plans}
    leaving: Programs = {name: [] for name in due}
    for (name, program), (_overrides, plan) in plans.items():
        look = looks.get(name, {})
        if plan["wanted"]:
            late = gives_up(plan, parts.get(name, {}).get(program, ()))
        elif program in look.get("unclaimed", ()) and plan["units"]:
            late = False
        elif program in look.get("claimed", ()):
            late = not compose.programs()[program].PROGRAM.takes_mail
        else:
            continue
        (leaving if late else due)[name].append(program)
    return due, leaving


def gives_up(plan: compose.Plan, before: t.Collection[str]) -> bool:
    """Tell whether all that a plan changes is that some of the parts are no more that the last run has left.

    before: as the host says. Of a program whose plans have no parts it may say what it likes.
    """
    now = set(plan.get("parts", ()))
    return bool(now) and now < set(before)


def asked(*parts: Programs) -> Programs:
    """Return by host the programs for which a task comes."""
    return {name: [program for part in parts for program in part[name]] for name in parts[0]}

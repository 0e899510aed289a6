# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the zone files, compare them with what the DNS answers, and send them to a name server where that is asked."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import time
import typing as t
from collections.abc import Mapping

from ansible.plugins.action import ActionBase
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import _exchanger_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Known
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import PORTS, Problem, SiteError, parse
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import (
    dns_report,
    dns_tlsa,
    inventory,
    remote,
    stored_tlsa,
    values,
    zone_files,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer as Asked
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import DnsError, Questions, need_dnspython
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_push import Push, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import StateError, state_of

Answer = dict[str, t.Any]
REPORT = "dns-report.json"
READ = ("dns_resolvers", "dns_push", "dns_strict")  # by the playbook, from -e
_SERVER = "must be ADDRESS or ADDRESS#PORT, such as 192.0.2.53 or 2001:db8::53#5353"
_OPTIONS = ("resolvers", "push", "strict")


class ActionModule(ActionBase):
    """It is about the site: one call serves all hosts, and no connection is needed."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: Answer | None = None) -> Answer:
        variables = task_vars or {}
        result: Answer = super().run(tmp, variables)
        try:
            return {**result, **self._answer(variables)}
        except (SiteError, ComposeError, StateError, DnsError) as error:
            return {**result, "failed": True, "msg": str(error)}

    def _answer(self, variables: Answer) -> Answer:
        names = variables["groups"].get(remote.GROUP, ())
        if wrong := inventory.from_facts(variables, names, READ):
            raise SiteError(wrong)
        resolvers, push, strict = options(self._task.args)
        need_dnspython()
        site = inventory.derive(self, variables, inventory.seen(variables), keep=False)
        updates = site.of(Variables).mail_dns_update
        if push and updates is None:
            raise SiteError([Problem("dns_push", push, "needs mail_dns_update, the name server to which records go")])
        told = {str(host.name): _exchanger_keys.wanted(site, host) for host in site.hosts_with("mail_mx")}
        self._remember(site, told)  # before anybody can publish them
        pushed = self._push(site, resolvers) if push else Result()
        zones = zone.zones(site)  # of the keys that the push has read
        questions = Questions(resolvers)
        report = dns_report.gather(site, questions)
        self._remember(site, told, questions)
        self._write(site, zones, report)
        for sentence in zone.warnings(site):
            self._display.warning(sentence)
        self._display.display("\n".join([dns_report.table(report), *dns_tlsa.next_keys(site, time.time())]))
        refusals = _refusals(pushed, report)
        for sentence in (one.why for one in pushed.refused if one.why not in refusals):
            self._display.warning(sentence)
        failures = [*refusals, *([dns_report.refusal(report)] if strict else [])]
        return {
            "changed": bool(pushed.added or pushed.deleted),
            "zones": {name: text.splitlines() for name, text in zones.items()},
            **report.data(),
            **({"pushed": dataclasses.asdict(pushed)} if push else {}),
            **({"failed": True, "msg": "; ".join(filter(None, failures))} if any(failures) else {}),
        }

    def _write(self, site: Site, zones: Mapping[str, str], report: dns_report.Report) -> None:
        folder = site.of(Variables).mail_zone_dir
        if folder and not self._task.check_mode:
            zone_files.write(folder, {**zones, REPORT: json.dumps(report.data(), indent=1) + "\n"})

    def _remember(self, site: Site, told: Mapping[str, list[str] | None], questions: Questions | None = None) -> None:
        """Remember which keys the zones name, and which of them the DNS shows: a host may take no others."""
        ttl, now = site.of(Variables).mail_dns_ttl, int(time.time())

        def change(before: dict[str, Known]) -> dict[str, Known]:
            found = {}
            for name, digests in told.items():
                known = before.get(name, Known())
                owner = exchangers.owner(name)
                answer = questions.answer(owner, "TLSA") if questions else Asked(owner, "TLSA", "unknown")
                found[name] = stored_tlsa.after(known, digests, answer, ttl, now)
            return {name: one for name, one in found.items() if one.is_bound}

        state = state_of(self, site)
        site.tlsa = change(stored_tlsa.read(state)) if self._task.check_mode else stored_tlsa.remember(state, change)

    def _push(self, site: Site, resolvers: list[str]) -> Result:
        def ask(name: str, kind: str) -> Asked:  # not the report's questions: a push changes what is answered
            return Questions(resolvers).answer(name, kind)

        pushed = Push(site, state_of(self, site), self._task.check_mode, ask).run()
        would = "would be " if self._task.check_mode else ""
        for word, lines in (("added", pushed.added), ("deleted", pushed.deleted)):
            for line in lines:
                self._display.display(f"{would}{word}: {line}")
        if (pushed.added or pushed.deleted) and not self._task.check_mode:
            self._display.display("Resolvers may answer for a while with what was there before.")
        for sentence in pushed.notes:
            self._display.warning(sentence)
        if not pushed.added and not pushed.deleted:
            self._display.display("nothing is left to send to the name server")
        return pushed


def _refusals(pushed: Result, report: dns_report.Report) -> list[str]:
    """Return why records were not sent, apart from those for which others stand that serve as well."""
    well = {(row.owner, row.kind) for part in report.domains for row in part.rows if not row.counts}
    return [one.why for one in pushed.refused if (one.owner, one.kind) not in well]


def options(given: Mapping[str, t.Any]) -> tuple[list[str], bool, bool]:
    """Return the resolvers, whether to push, whether to be strict; raises SiteError with all that is wrong."""
    problems = [
        Problem(name, None, f"is no option (known: {', '.join(_OPTIONS)})") for name in set(given) - {*_OPTIONS}
    ]
    resolvers = parse(list[str], values.listed(given.get("resolvers") or []), "dns_resolvers", problems)
    for place, resolver in enumerate(resolvers):
        if resolver is not None and not _is_resolver(resolver):
            problems.append(Problem(f"dns_resolvers[{place}]", resolver, _SERVER))
    flags = [parse(bool, given.get(name) or False, f"dns_{name}", problems) for name in ("push", "strict")]
    if problems:
        raise SiteError(problems)
    return resolvers, flags[0], flags[1]


def _is_resolver(text: str) -> bool:
    address, sign, port = text.partition("#")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return not sign or (bool(re.fullmatch("[0-9]{1,5}", port)) and int(port) in PORTS)

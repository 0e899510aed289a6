# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New keys for signatures, in three steps: publish them, sign with them, withdraw the old ones.

Verifiers ask the DNS for a key days after it signed. So no key signs before the DNS shows its record, and none leaves
the DNS while mail that it signed may still be on its way. What nobody could say is no yes.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import ipaddress
import re
import time
import typing as t
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import text
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import (
    DomainKeys,
    Key,
    KeySet,
    Role,
    fault,
    name_of,
    records,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_answers
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer

Step = t.Literal["publish", "sign", "withdraw"]
Status = t.Literal["shown", "missing", "wrong", "unknown"]
WAIT_DAYS = 7  # mail waits for five days in most queues (RFC 5321, 4.5.4.1), and the DNS keeps records for a day or two
_AT_ONCE = 32  # questions to the DNS
_DAY = 86400
_CONFIRM = "-e dkim_confirmed=true where you know that it does"
_SITE = "run postamt.mail.site"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the playbook postamt.mail.dkim is asked for."""

    dkim_step: Step | None = var("The step, or none: then the state of all keys is shown.", None)
    dkim_domains: list[Domain] = var("The domains, by default all of the site.", [])
    dkim_confirmed: bool = var("Whether the administrator knows that the DNS shows the records.", False)
    dkim_resolvers: list[str] = var("Whom to ask, ADDRESS or ADDRESS#PORT; by default the controller's resolvers.", [])
    dkim_wait_days: int = var(
        "For how many days a set has to sign before the former one goes.", WAIT_DAYS, within=range(366)
    )


def check(asked: Asked, domains: Collection[Domain]) -> Iterator[Problem]:
    """Yield what is wrong with what was asked; domains: those that are signed for."""
    for domain in asked.dkim_domains:
        if domain not in domains:
            yield Problem("dkim_domains", domain, "is no domain of the site (mail_domains)")
    if asked.dkim_confirmed and asked.dkim_step not in ("sign", "withdraw"):
        yield Problem("dkim_confirmed", None, "is for dkim_step=sign and dkim_step=withdraw")
    for resolver in asked.dkim_resolvers:
        address, sign, port = resolver.partition("#")
        try:
            ipaddress.ip_address(address)
            fits = not sign or (re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 65536)
        except ValueError:
            fits = False
        if not fits:
            yield Problem("dkim_resolvers", resolver, "must be an IP address, or ADDRESS#PORT")


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the DNS says of one key; why: in words, where it does not show its record."""

    role: Role
    key: Key = dataclasses.field(repr=False)
    name: str
    status: Status
    why: str = ""


def look(
    wanted: Iterable[tuple[Domain, Role, KeySet]], ask: Callable[[str], Answer]
) -> dict[Domain, dict[Role, list[Seen]]]:
    """Ask the DNS for the records of sets, by domain and role; ask: for the TXT records of a name."""
    keys = [(domain, role, key, name_of(key.selector, domain)) for domain, role, one in wanted for key in one.keys]
    found: dict[Domain, dict[Role, list[Seen]]] = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = pool.map(ask, [name for _domain, _role, _key, name in keys])
        for (domain, role, key, name), answer in zip(keys, answers, strict=True):
            seen = Seen(role, key, name, *judged(key, answer))
            found.setdefault(domain, {}).setdefault(role, []).append(seen)
    return found


def asking(resolvers: Collection[str]) -> Callable[[str], Answer]:
    return lambda name: dns_answers.ask(name, "TXT", resolvers)


def judged(key: Key, answer: Answer) -> tuple[Status, str]:
    """Return whether an answer shows a key's record, and why it does not."""
    if answer.status == "unknown":
        return "unknown", f"nobody could say what the DNS has at {answer.name} ({answer.why})"
    if answer.status == "none":
        return "missing", f"the DNS has no TXT record at {answer.name}"
    if len(answer.values) > 1:
        return "wrong", f"the DNS has {len(answer.values)} TXT records at {answer.name}, and there must be one"
    wrong = fault(key.record(), dns_answers.meant(answer.values[0]))
    return ("wrong", f"the TXT record at {answer.name} {wrong}") if wrong else ("shown", "")


def suited(step: Step, keys: Mapping[Domain, DomainKeys]) -> list[Domain]:
    """Return the domains for which a step is to be done where nobody has named any."""
    fits: dict[Step, Callable[[DomainKeys], bool]] = {
        "publish": lambda one: True,
        "sign": lambda one: one.next is not None or _interrupted(one),
        "withdraw": lambda one: one.former is not None,
    }
    return [domain for domain, one in keys.items() if fits[step](one)]


def nothing_to_do(step: Step) -> str:
    """Return what is to be said where a step suits no domain."""
    return {
        "publish": f"no domain has keys yet: {_SITE}, which makes them",
        "sign": "no domain has a next set: dkim_step=publish makes one",
        "withdraw": "no domain has a former set, so that there is nothing to withdraw",
    }[step]


def _interrupted(keys: DomainKeys) -> bool:
    """Tell whether the keys have been through the step sign, and through no run since."""
    return keys.next is None and keys.former is not None and keys.signing.since is None


def to_ask(step: Step | None, domain: Domain, keys: DomainKeys) -> Iterator[tuple[Domain, Role, KeySet]]:
    """Yield the sets of which a step has to know what the DNS shows: without a step, all of them."""
    roles: dict[Step | None, tuple[Role, ...]] = {"sign": ("next",), "withdraw": ("signing",), "publish": ()}
    for role, one in keys.sets():
        if role in roles.get(step, (role,)):
            yield domain, role, one


def obstacle(step: Step, keys: DomainKeys | None, seen: Mapping[Role, list[Seen]], asked: Asked, now: float) -> str:
    """Return in one sentence why a step cannot be done for a domain now; empty where it can."""
    if keys is None:
        return f"it has no keys yet: {_SITE}, which makes them"
    if step == "publish":
        return ""
    if step == "sign":
        if _interrupted(keys):
            return ""
        if keys.next is None:
            return "it has no next set: dkim_step=publish makes one"
        if keys.former is not None:
            return "its former set is still published, and must be withdrawn first (dkim_step=withdraw)"
        return _unseen("next", seen, asked)
    if keys.former is None:
        return "it has no former set"
    since = keys.signing.since
    if since is None:
        return f"no whole run has deployed the set that is to sign, and hosts may still sign with the former: {_SITE}"
    if now - since < asked.dkim_wait_days * _DAY:
        day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since + asked.dkim_wait_days * _DAY))
        return f"mail that the former set has signed may still be on its way: wait until {day} (dkim_wait_days)"
    return _unseen("signing", seen, asked)


def _unseen(role: Role, seen: Mapping[Role, list[Seen]], asked: Asked) -> str:
    faults = [one.why for one in seen.get(role, ()) if one.status != "shown"]
    return "" if asked.dkim_confirmed or not faults else f"{'; '.join(faults)} ({_CONFIRM})"


def after(step: Step, keys: DomainKeys, fresh: KeySet | None, now: int) -> DomainKeys:
    """Return a domain's keys after a step that can be done; fresh: a new set, for publish."""
    if step == "publish":
        return keys.published(fresh, now) if fresh and keys.next is None else keys
    if step == "sign":
        return keys.signed() if keys.next else keys
    return keys.withdrawn()


def due(keys: DomainKeys, seen: Mapping[Role, list[Seen]], asked: Asked, now: float) -> tuple[Step | None, str]:
    """Return the step that comes next, and what has to be done or awaited before it."""
    if keys.signing.since is None:
        return None, f"{_SITE}: no whole run has deployed these keys yet"
    if any(one.status != "shown" for one in seen.get("signing", ())):
        return None, "the DNS must show the records of the set that signs, or other servers cannot check signatures"
    if keys.former:
        return "withdraw", obstacle("withdraw", keys, seen, asked, now)
    if keys.next:
        return "sign", obstacle("sign", keys, seen, asked, now)
    return "publish", "when you want new keys"


def zone_lines(domain: str, keys: KeySet, ttl: int) -> list[str]:
    """Return the records of a set as lines of a zone file."""
    return [f"{name}. {ttl} IN TXT {text(name, said).data}" for name, said in records(keys, domain)]


def table(
    domain: str, keys: DomainKeys, seen: Mapping[Role, list[Seen]], coming: tuple[Step | None, str], now: float
) -> list[str]:
    """Return a domain's keys for people."""
    step, why = coming
    word = f"dkim_step={step}" if step else ""
    lines = [f"{domain}: next: {', '.join(part for part in (word, why) if part)}"]
    for role, one in keys.sets():
        for record in seen.get(role, ()):
            shown = "the DNS shows it" if record.status == "shown" else record.why
            lines.append(f"  {role:8} {record.key.selector:14} {_age(one, now):22} {shown}")
    return lines


def _age(keys: KeySet, now: float) -> str:
    if keys.since is None:
        return "not deployed yet"
    days = int(max(0, now - keys.since) // _DAY)
    return f"for {days} {'day' if days == 1 else 'days'}"


def plain(
    domain: str, keys: DomainKeys, seen: Mapping[Role, list[Seen]], coming: tuple[Step | None, str]
) -> dict[str, t.Any]:
    """Return a domain's keys as a result, without anything secret."""
    return {
        "next_step": coming[0] or "",
        "note": coming[1],
        "sets": [
            {
                "role": role,
                "date": one.date,
                "since": one.since,
                "records": [
                    {
                        "name": record.name,
                        "text": record.key.record(),
                        "dns": record.status,
                        "why": record.why,
                    }
                    for record in seen.get(role, ())
                ],
            }
            for role, one in keys.sets()
        ],
    }

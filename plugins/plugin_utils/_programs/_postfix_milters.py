# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Milters and policy services in Postfix's words: each in its slot, at the services that take the mail it is to see.

What sees the mail of strangers is in main.cf, and what sees users' mail in the mua_ lists that users' ports name. A
service has a list of its own where neither says what its mail is to pass. Where filtered mail comes back, only milters
see it that ask for filtered mail.

Milters are told by a name (milter_macro_daemon_name) which mail the site itself sends. Programs of the host may write
to port 25 as well, where strangers do: by their address they have milters of their own there (smtpd_milter_maps).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Container, Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ConcernError,
    Contributions,
    disagree,
    slotted,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import HOSTS, ORIGINATING

MILTERS, NON_SMTPD = "smtpd_milters", "non_smtpd_milters"
CLEANUP = "cleanup/unix"  # which asks the milters about mail that comes by sendmail(1)
NAME = "milter_macro_daemon_name"
LOCAL = ("127.0.0.0/8", "::1/128")
_SOCKET = re.compile(r"inet:(?:\[[0-9A-Fa-f:.]+\]|[^\s:,{}\[\]]+):\d{1,5}|unix:[^\s,{}]+")
_ACTION = re.compile(r"[A-Za-z0-9][^\n{},]*")
_WORDS = re.compile(r"\{[^}]*\}|[^,\s]+")  # of a restriction list: "{ service, option = value }" is one
Lists = dict[str, dict[str, list[str]]]


def seen(
    parts: Contributions, services: Mapping[str, t.Any], orders: Mapping[str, t.Any], said: Container[str] = ()
) -> tuple[Contributions, dict[str, t.Any]]:
    """Return contributions and services in which milters and policy services stand in lists.

    orders: the slots of each list; said: parameters that the user sets in main.cf, of which services that take mail
    have no list of their own then.
    """
    parts = [
        (concern, dataclasses.replace(part, milters=tuple(part.milters), policies=tuple(part.policies)))
        for concern, part in parts
    ]
    _refuse_wrong(parts)
    if not any(part.milters or part.policies for _concern, part in parts):
        return parts, dict(services)
    back = {service.returns for service in services.values()}
    entering = [(concern, _as_it_enters(part, back)) for concern, part in parts]
    listed = [(concern, dataclasses.replace(part, lists=_main_lists(part, services))) for concern, part in entering]
    lines = {key: _with_own_lists(key, service, entering, orders, said) for key, service in services.items()}
    lines = {key: _with_returned(service, parts, orders) for key, service in lines.items()}
    if MILTERS not in said:
        lines = {key: _with_local_clients(service, entering, orders) for key, service in lines.items()}
    return listed, {key: _with_name(key, service, listed) for key, service in lines.items()}


def _as_it_enters(part: t.Any, back: Container[str]) -> t.Any:
    """Return a contribution without the milters that wait for mail to come back from the filter; back: whose does."""
    milters = [
        dataclasses.replace(one, mail=tuple(mail for mail in one.mail if not (one.filtered and mail in back)))
        for one in part.milters
    ]
    return dataclasses.replace(part, milters=tuple(one for one in milters if one.mail))


def _with_returned(service: t.Any, parts: Contributions, orders: Mapping[str, t.Any]) -> t.Any:
    """Return a service at which filtered mail comes back with the milters that see it."""
    if not service.returns:
        return service
    asking = [
        (concern, dataclasses.replace(part, lists={}, milters=tuple(one for one in part.milters if one.filtered)))
        for concern, part in parts
    ]
    found = _list_for(service.returns, MILTERS, asking, orders)
    return dataclasses.replace(service, options={**service.options, MILTERS: found}) if found else service


def _with_local_clients(service: t.Any, parts: Contributions, orders: Mapping[str, t.Any]) -> t.Any:
    """Return port 25 with the milters of programs that write there from the host itself, where they have others."""
    wanted, others = (_list_for(mail, MILTERS, parts, orders) for mail in ("hosts", "world"))
    if service.takes != "world" or wanted == others:
        return service
    known = " ".join(f"{{ {network} {', '.join(wanted) or 'DISABLE'} }}" for network in LOCAL)
    return dataclasses.replace(service, options={**service.options, "smtpd_milter_maps": f"cidr:{{ {known} }}"})


def _with_name(key: str, service: t.Any, listed: Contributions) -> t.Any:
    """Return a service that says of mail which the site itself sends that it does, where a milter may ask."""
    asks = {name for _concern, part in listed for name in part.lists}
    own = {service.takes, service.returns} & {"users", "hosts"}
    smtpd = own and (service.options.get(MILTERS) or (service.options.get(MILTERS) is None and MILTERS in asks))
    if smtpd or (key == CLEANUP and NON_SMTPD in asks):
        name = ORIGINATING if "users" in own else HOSTS
        return dataclasses.replace(service, options={**service.options, NAME: name})
    return service


def _refuse_wrong(parts: Contributions) -> None:
    """Refuse what Postfix would not read, and two concerns that ask the same and want different things of silence."""
    wants: dict[tuple[str, str], tuple[str, str]] = {}
    for concern, part in parts:
        for one in (*part.milters, *part.policies):
            if not _SOCKET.fullmatch(one.socket):
                raise ConcernError(f"concern {concern}: socket {one.socket!r} must be inet:HOST:PORT or unix:PATH")
            if not _ACTION.fullmatch(one.unanswered):
                raise ConcernError(f"concern {concern}: unanswered {one.unanswered!r} must be an action in one line")
            kind = f"policy service at {one.stage}" if hasattr(one, "stage") else "milter"
            known = wants.setdefault((kind, one.socket), (concern, one.unanswered))
            if known[1] != one.unanswered:
                raise disagree(f"Postfix {kind}, {one.socket}, unanswered", known, (concern, one.unanswered))


def _entries(part: t.Any, mail: str) -> Iterator[tuple[str, str, str]]:
    """Yield list, slot and entry of what a concern wants asked about somebody's mail (world, users, hosts)."""
    for milter in part.milters:
        if mail in milter.mail:
            yield MILTERS, milter.slot, f"{{ {milter.socket}, default_action={milter.unanswered} }}"
    for policy in part.policies:
        if mail in policy.mail:
            entry = f"check_policy_service {{ {policy.socket}, default_action={policy.unanswered} }}"
            yield f"smtpd_{policy.stage}_restrictions", policy.slot, entry


def _filled(lists: Mapping[str, Mapping[str, list[str]]], entries: Iterator[tuple[str, str, str]]) -> Lists:
    found = {name: {slot: [*items] for slot, items in slots.items()} for name, slots in lists.items()}
    for name, slot, entry in entries:
        items = found.setdefault(name, {}).setdefault(slot, [])
        if entry not in items:
            items.append(entry)
    return found


def _main_lists(part: t.Any, services: Mapping[str, t.Any]) -> Lists:
    """Return a concern's lists of main.cf: what sees strangers' mail, what users' lists name, and pickup's milters."""
    found = _filled(part.lists, _entries(part, "world"))
    ports = [service for service in services.values() if service.takes == "users"]
    users = [
        (_twin(name), slot, entry)
        for name, slot, entry in _entries(part, "users")
        if any(_names_twin(name, port.options.get(name)) for port in ports)
    ]
    own = ((NON_SMTPD, slot, entry) for name, slot, entry in _entries(part, "hosts") if name == MILTERS)
    return _filled(_filled(found, iter(users)), own)


def _twin(name: str) -> str:
    return re.sub(r"^smtpd_", "mua_", name)


def _names_twin(name: str, said: t.Any) -> bool:
    """Tell whether a service's list is the one of users' ports in main.cf, such as $mua_recipient_restrictions."""
    return re.search(rf"\$[{{(]?{_twin(name)}\b", str(said)) is not None


def _with_own_lists(
    key: str, service: t.Any, parts: Contributions, orders: Mapping[str, t.Any], said: Container[str]
) -> t.Any:
    """Return a service with the lists in which main.cf does not say what its mail is to pass."""
    if service.command.split()[0] != "smtpd":
        return service
    names = {
        name for _concern, part in parts for mail in ("world", service.takes) for name, *_rest in _entries(part, mail)
    }
    options: dict[str, t.Any] = {}
    for name in sorted(names):
        own = service.options.get(name)
        wanted = _list_for(service.takes, name, parts, orders)
        if own is None:
            differs = wanted != _list_for("world", name, parts, orders)
            if differs and not (service.takes and name in said):
                options[name] = wanted or ""
            continue
        if service.takes == "users" and _names_twin(name, own):
            continue
        asking = {
            entry: concern
            for concern, part in parts
            for one, _slot, entry in _entries(part, service.takes)
            if one == name
        }
        if asking:
            asked = [entry for entry in wanted if entry in asking]
            options[name] = _before_the_end(key, name, own, asked, [*asking.values()])
    return dataclasses.replace(service, options={**service.options, **options})


def _list_for(mail: str, name: str, parts: Contributions, orders: Mapping[str, t.Any]) -> list[str]:
    """Return one list as it is for somebody's mail."""
    found = []
    for concern, part in parts:
        lists = _filled(part.lists, _entries(part, mail))
        found.append((concern, dataclasses.replace(part, lists={name: lists[name]} if name in lists else {})))
    return [*dict.fromkeys(slotted(found, "lists", orders, "Postfix list").get(name, []))]


def _before_the_end(key: str, name: str, own: t.Any, asked: list[str], concerns: list[str]) -> list[str]:
    """Return a service's own list with what concerns want asked, before a last reject."""
    who = " and ".join(f"concern {concern}" for concern in sorted(set(concerns)))
    if name == MILTERS:
        raise ConcernError(f"Postfix service {key} has {name} of its own, and {who} wants its mail seen as well")
    words = [word for item in ([own] if isinstance(own, str) else own) for word in _WORDS.findall(str(item))]
    end = len(words) - (words[-1:] == ["reject"])
    if any(word.startswith("permit") for word in words[:end]):
        raise ConcernError(f"Postfix service {key}: {name} permits mail before it would ask for {who}")
    return [*_items(own, end, words), *asked, *words[end:]]


def _items(own: t.Any, end: int, words: list[str]) -> list[str]:
    """Return a list's entries without its last reject, as they were written where they were a list."""
    if isinstance(own, str):
        return words[:end]
    return [*own] if end == len(words) else [*own][:-1]

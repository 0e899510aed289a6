# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Milters and policy services in Postfix's words: each in its slot, at the services that take the mail it is to see.

What sees the mail of strangers is in main.cf. A service that takes other mail has a list of its own where that differs,
and one that takes no mail as it comes (filtered mail that comes back) has none of them.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    slotted,
)

MILTERS, NON_SMTPD = "smtpd_milters", "non_smtpd_milters"
_SOCKET = re.compile(r"inet:[^\s:,{}]+:\d+|unix:[^\s,{}]+")
Lists = dict[str, dict[str, list[str]]]


def seen(
    parts: Contributions, services: Mapping[str, t.Any], orders: Mapping[str, t.Any]
) -> tuple[Contributions, dict[str, t.Any]]:
    """Return contributions and services in which milters and policy services stand in lists."""
    _refuse_sockets(parts)
    if not any(part.milters or part.policies for _concern, part in parts):
        return parts, dict(services)
    listed = [(concern, dataclasses.replace(part, lists=_main_lists(part, services))) for concern, part in parts]
    return listed, {key: _with_own_lists(key, service, parts, orders) for key, service in services.items()}


def _refuse_sockets(parts: Contributions) -> None:
    for concern, part in parts:
        for one in (*part.milters, *part.policies):
            if not _SOCKET.fullmatch(one.socket):
                raise ComposeError(f"concern {concern}: socket {one.socket!r} must be inet:HOST:PORT or unix:PATH")


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
        found.setdefault(name, {}).setdefault(slot, []).append(entry)
    return found


def _main_lists(part: t.Any, services: Mapping[str, t.Any]) -> Lists:
    """Return a concern's lists of main.cf: what sees strangers' mail, what users' lists name, and pickup's milters."""
    found = _filled(part.lists, _entries(part, "world"))
    named = " ".join(str(value) for one in services.values() if one.takes == "users" for value in one.options.values())
    users = ((_twin(name), slot, entry) for name, slot, entry in _entries(part, "users"))
    found = _filled(found, (one for one in users if f"${one[0]}" in named))
    own = ((NON_SMTPD, slot, entry) for name, slot, entry in _entries(part, "hosts") if name == MILTERS)
    return _filled(found, own)


def _twin(name: str) -> str:
    return re.sub(r"^smtpd_", "mua_", name)


def _with_own_lists(key: str, service: t.Any, parts: Contributions, orders: Mapping[str, t.Any]) -> t.Any:
    """Return a service with the lists in which its mail is not strangers'."""
    if service.command.split()[0] != "smtpd" or service.takes == "world":
        return service
    names = {name for _concern, part in parts for mail in ("world", service.takes) for name, *_ in _entries(part, mail)}
    options: dict[str, t.Any] = {}
    for name in sorted(names):
        said = service.options.get(name)
        if said is None:
            options[name] = _list_for(service.takes, name, parts, orders) or ""
        elif f"${_twin(name)}" not in str(said):
            more = [entry for _c, part in parts for one, _slot, entry in _entries(part, service.takes) if one == name]
            options[name] = _before_the_end(key, name, said, sorted(more)) if more else said
    return dataclasses.replace(service, options={**service.options, **options})


def _list_for(mail: str, name: str, parts: Contributions, orders: Mapping[str, t.Any]) -> list[str]:
    """Return one list as it is for somebody's mail."""
    found = []
    for concern, part in parts:
        lists = _filled(part.lists, _entries(part, mail))
        found.append((concern, dataclasses.replace(part, lists={name: lists[name]} if name in lists else {})))
    return slotted(found, "lists", orders, "Postfix list").get(name, [])


def _before_the_end(key: str, name: str, said: t.Any, more: list[str]) -> list[str]:
    """Return a service's own list with more entries, which a permit before them would make useless."""
    words = [said] if isinstance(said, str) and said else list(said or [])
    end = len(words) - (words[-1:] == ["reject"])
    if any(word.startswith("permit") for word in words[:end]):
        raise ComposeError(f"Postfix service {key}: {name} permits before it would ask {', '.join(more)}")
    return [*words[:end], *more, *words[end:]]

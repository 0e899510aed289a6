# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Circles of aliases and forwards: mail that leads back to where it began, and is delivered nowhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def circle(leads: Mapping[str, Sequence[str]], kept: Collection[str]) -> str:
    """Return what is wrong where addresses lead back to themselves and deliver nowhere on the way; else nothing.

    leads: addresses with those that get their mail. kept: those whose mail is kept in a mailbox, too. A way back that
    adds a plus address adds one at each turn: Postfix gives up, even where a copy is kept.
    """

    def known(target: str) -> str:
        return target if target in leads else without_plus(target)

    ways = {start: [known(target) for target in to] for start, to in leads.items()}
    found = _circle({start: to for start, to in ways.items() if start not in kept})
    if found:
        return f"point in a circle: {' -> '.join(found)}"
    for start, to in leads.items():
        for target in to:
            if known(target) != target and start in _reached(known(target), ways):
                return (
                    f"point in a circle: mail to {start} goes to {target}, and from there to {start} again, each time "
                    "with one more word behind a +"
                )
    return ""


def without_plus(address: str) -> str:
    """Return whose plus address an address is; itself where it is none (recipient_delimiter)."""
    local, _at, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _reached(start: str, ways: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left.extend(ways.get(node, ()))
    return found


def _circle(ways: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a way that leads back to where it began, if there is one; no address is gone through twice."""
    done: set[str] = set()
    for start in ways:
        trail: dict[str, None] = {}
        stack = [(start, False)]
        while stack:
            node, leaves = stack.pop()
            if leaves:
                del trail[node]
                done.add(node)
            elif node in trail:
                names = list(trail)
                return [*names[names.index(node) :], node]
            elif node in ways and node not in done:
                trail[node] = None
                stack.append((node, True))
                stack.extend((target, False) for target in ways[node])
    return []

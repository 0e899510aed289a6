# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What memory a host needs: the sum of what concerns say, and what they leave for those that take the rest.

A concern says in memory(site, host) what its daemons take, or in elastic_memory(site, host) what they take of rest().
Concerns that share a daemon say the same of it, and it counts once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

MB = 1 << 20
SYSTEM = 350 * MB  # Debian, Postfix, Dovecot, OpenLDAP and their caches


@dataclasses.dataclass(frozen=True)
class Memory:
    """What daemons of one concern take on a host.

    size: bytes; what: for people; whose: the part of the mail system; instead: what an administrator may do whose host
    has less; doubles: whether they take it twice for a moment, if there is room, and are away for that moment if not.
    """

    size: int
    what: str
    whose: str
    instead: str = ""
    doubles: bool = False


def rest(site: Site, host: Host) -> int:
    """Return how many bytes the system and daemons of a fixed size leave; negative where they do not fit."""
    return host.look.memory - SYSTEM - sum(one.size for one in _fixed(site, host))


def _fixed(site: Site, host: Host) -> list[Memory]:
    return sorted({one for _concern, one in site.asked("memory", host)}, key=lambda one: (one.whose, one.what))


def _all(site: Site, host: Host) -> list[Memory]:
    return [*(one for _concern, one in site.asked("elastic_memory", host)), *_fixed(site, host)]


def needed(site: Site, host: Host) -> int:
    """Return how many bytes the system and all daemons take."""
    return SYSTEM + sum(one.size for one in _all(site, host))


def doubles(site: Site, host: Host) -> bool:
    """Tell whether there is room for what is there twice for a moment."""
    return host.look.memory >= needed(site, host) + max(
        (one.size for one in _all(site, host) if one.doubles), default=0
    )


def sentence(site: Site, host: Host) -> str:
    """Say what the memory is for; empty where no concern takes any."""
    parts = _all(site, host)
    if not parts:
        return ""
    moment = "twice that while it reloads" if doubles(site, host) else "away for a moment while it reloads"
    said = [f"{one.what} ({moment})" if one.doubles else one.what for one in parts]
    whose = ", ".join(dict.fromkeys(one.whose for one in parts))
    for_system = f"{SYSTEM // MB} MB for the system and mail"
    return f"{whose}: {needed(site, host) // MB} of {host.look.memory // MB} MB: {', '.join([for_system, *said])}"


def lacking(site: Site, host: Host) -> int:
    """Return how many bytes a host lacks, its swap counted as memory; 0 where its memory is not known."""
    return max(0, needed(site, host) - host.look.memory - host.look.swap) if host.look.memory else 0


def ways_out(site: Site, host: Host) -> Iterable[str]:
    """Yield what an administrator may do whose host has too little."""
    yield from dict.fromkeys(one.instead for one in _all(site, host) if one.instead)
    yield f"add {lacking(site, host) // MB + 1} MB of memory or swap"

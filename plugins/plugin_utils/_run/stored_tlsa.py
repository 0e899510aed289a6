# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers of exchangers' TLSA records: the zone had them, or the DNS, and since when.

A host takes another key only if the DNS has had its record for long enough, whoever brings the key.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import (
    KEY_DIGEST,
    Certificate,
    Known,
    Shown,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._run import pki
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

FILE = "tlsa.json"  # in the state folder, by the name of the host


def shown(chains: t.Iterable[str]) -> list[Shown]:
    """Return what a host shows at port 25, by what it says (PEM)."""
    found = []
    for text in chains:
        chain = tuple(Certificate(pki.der(one), pki.key_der(one)) for one in pki.from_pem(text))
        if chain:
            found.append(Shown(chain, pki.is_stand_in(text)))
    return found


def read(state: State) -> dict[str, Known]:
    """Return what is remembered, by the name of the host; raises StateError where the file is damaged."""
    try:
        return {name: _known(said) for name, said in json.loads(state.read(FILE) or b"{}").items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise StateError(f"{state.path(FILE)} is damaged: restore it from the backup of the folder") from None


def _known(said: Mapping[str, t.Any]) -> Known:
    shown_, ttl = dict(said["shown"]), said["ttl"]
    told = frozenset(said["told"])
    if not all(isinstance(one, str) and KEY_DIGEST.fullmatch(one) for one in (*told, *shown_)):
        raise ValueError
    numbers = (ttl, *shown_.values())
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in numbers):
        raise ValueError
    return Known(told, shown_, ttl)


def after(before: Known, told: t.Collection[str] | None, answer: Answer, ttl: int, now: int) -> Known:
    """Return what is known after a look at the DNS.

    told: digests that the zone has, None where the host's keys are not known. ttl: that of the site's records, seconds.
    """
    kept = before.told if told is None else frozenset(told)
    longest = max(before.ttl, ttl, answer.ttl)
    # What comes into the zone counts anew: a resolver may remember what was there before.
    shown_ = {one: now if one in kept - before.told else since for one, since in before.shown.items()}
    if answer.status == "unknown":
        return Known(kept, shown_, longest)
    there = sorted(set(filter(None, map(exchangers.digest_of, map(exchangers.canonical, answer.values)))))
    return Known(kept, {one: shown_.get(one, now) for one in there}, longest)


def remember(state: State, change: Callable[[dict[str, Known]], dict[str, Known]]) -> dict[str, Known]:
    """Change what is remembered, under the lock; returns it."""
    before = read(state)
    if change(before) == before:
        return before
    with state.locked():
        now = change(read(state))
        plain = {
            name: {"told": sorted(one.told), "shown": dict(one.shown), "ttl": one.ttl} for name, one in now.items()
        }
        state.write(FILE, (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode(), secret=False)
    return now

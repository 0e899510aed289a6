# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys that sign the site's mail: made or taken over once, kept in the state folder, and changed a step at a time.

Each change is one atomic write under the folder's lock. Domains that left the site keep their keys: mail that they
signed is still on its way, and a domain may come back.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.dkim import ExistingKey, Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import (
    DomainKeys,
    Key,
    KeySet,
    from_plain,
    key_from,
    made_up,
    new_set,
    to_plain,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain, Refused, domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError

DKIM_FILE = "dkim.json"
Keys = dict[Domain, DomainKeys]
_MANY = 10  # so many are made within a second


def read(state: State) -> Keys:
    """Return all keys that are kept; raises StateError where the file is not as this collection writes it."""
    content = state.read(DKIM_FILE)
    if content is None:
        return {}
    place = state.path(DKIM_FILE)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):  # its text would quote the file
        data = None
    if not isinstance(data, dict):
        raise StateError(f"{place} must be a mapping in JSON from domains to their keys: restore it from a backup")
    found: Keys = {}
    for name, item in data.items():
        try:
            keys, spelt = from_plain(item), domain(name)
            if spelt in found:
                raise Refused("the domain is there twice")
            found[spelt] = keys
        except Refused as refused:
            raise StateError(f"{place}: {name[:80]!r}: {refused}; restore the file from a backup") from None
    return found


def change(state: State, change_of: Callable[[Keys], Mapping[Domain, DomainKeys]]) -> Keys:
    """Write what `change_of` makes of the keys that are kept, at once; returns all of them."""
    with state.locked():
        known = read(state)
        changed = {name: keys for name, keys in change_of(known).items() if known.get(name) != keys}
        if changed:
            known.update(changed)
            text = json.dumps({name: to_plain(keys) for name, keys in known.items()}, indent=1, sort_keys=True)
            state.write(DKIM_FILE, text.encode())
        return known


def signed_domains(site: Site) -> list[Domain]:
    """Return the domains whose mail the site signs."""
    return list(site.domains) if site.of(Variables).mail_dkim and site.senders else []


def taken_over(site: Site, state: State, content_of: Callable[[str], bytes]) -> dict[Domain, KeySet]:
    """Return the keys that domains bring which have none in the state folder yet; raises SiteError with all problems.

    content_of: returns a file on the controller, by its name in the inventory.
    """
    wanted = set(signed_domains(site))
    known = read(state) if wanted else {}
    problems: list[Problem] = []
    found: dict[Domain, KeySet] = {}
    for name, listed in site.of(Variables).mail_dkim_existing.items():
        if name in wanted and name not in known:
            keys = _existing(f"mail_dkim_existing.{name}", listed, content_of, problems)
            found[name] = KeySet(today(), keys)
    if problems:
        raise SiteError(problems)
    return found


def _existing(
    where: str, listed: Iterable[ExistingKey], content_of: Callable[[str], bytes], problems: list[Problem]
) -> tuple[Key, ...]:
    found: list[Key] = []
    for i, item in enumerate(listed):
        place = f"{where}[{i}].key_file"
        try:
            key = key_from(content_of(item.key_file), item.selector)
        except Refused as refused:
            problems.append(Problem(place, item.key_file, str(refused)))
            continue
        if key.algorithm in {other.algorithm for other in found}:
            problems.append(Problem(place, item.key_file, f"is the second {key.algorithm} key: one of each signs"))
        found.append(key)
    return tuple(found)


def ensure(
    site: Site, state: State, taken: Mapping[Domain, KeySet], remember: bool, say: Callable[[str], object]
) -> Mapping[Domain, DomainKeys]:
    """Return the keys of the domains whose mail the site signs, missing ones made in one write.

    taken: keys that domains bring. remember: without it, what would be made is made up and forgotten. say: tells people
    what takes long.
    """
    wanted = signed_domains(site)
    known = read(state) if wanted else {}
    missing = [name for name in wanted if name not in known]
    if missing and remember:
        made = {name: DomainKeys(taken[name]) for name in missing if name in taken}
        made |= {name: DomainKeys(keys) for name, keys in new_sets({n: () for n in missing if n not in made}, say)}
        # Another run may have made them meanwhile: its keys may be in use already.
        known = change(state, lambda now: {name: keys for name, keys in made.items() if name not in now})
    elif missing:
        known |= {name: DomainKeys(taken[name]) if name in taken else made_up(today()) for name in missing}
    return {name: known[name] for name in wanted}


def new_sets(domains: Mapping[Domain, Iterable[str]], say: Callable[[str], object]) -> Iterable[tuple[Domain, KeySet]]:
    """Make a set for each domain; domains: with the selectors that each has already."""
    if len(domains) >= _MANY:
        say(f"making DKIM keys for {len(domains)} domains")
    date = today()
    # Threads are enough: cryptography lets others run while it makes an RSA key.
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        yield from zip(domains, pool.map(lambda taken: new_set(date, list(taken)), domains.values()), strict=True)


def today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d}"


def undated(site: Site, reached: Collection[str]) -> dict[str, list[str]]:
    """Return by domain the selectors of keys that a run is about to deploy and that none has deployed before.

    reached: the hosts that the run has seen. Where it lacks one that sends, nothing will be deployed by it.
    """
    if not all(host.inventory_name in reached for host in site.senders):
        return {}
    return {
        name: [selector for _role, one in keys.sets() for selector in one.selectors()]
        for name, keys in site.dkim_keys.items()
        if keys.kept and any(one.since is None for _role, one in keys.sets())
    }


def mark_deployed(state: State, deployed: Mapping[str, list[str]], now: int | None = None) -> None:
    """Note that a run has deployed keys; deployed: as undated() said when the run derived its plans.

    What somebody has changed since then stays undated: this run has not deployed it.
    """
    when = int(time.time()) if now is None else now

    def dated(known: Keys) -> Keys:
        return {
            name: keys.deployed(when)
            for name, keys in known.items()
            if deployed.get(name) == [selector for _role, one in keys.sets() for selector in one.selectors()]
        }

    change(state, dated)

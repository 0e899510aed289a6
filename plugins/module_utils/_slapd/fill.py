# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the entries of the directory as the inventory means them, and set passwords."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ansible_collections.postamt.mail.plugins.module_utils._slapd import config, entries, replica
from ansible_collections.postamt.mail.plugins.module_utils._slapd.configure import difference
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import ENTRY_ATTRIBUTES, stored_digest
from ansible_collections.postamt.mail.plugins.module_utils._slapd.entries import EntryRequest
from ansible_collections.postamt.mail.plugins.module_utils._slapd.merge import Merge, merge, united
from ansible_collections.postamt.mail.plugins.module_utils._slapd.run import Run

_WINDOW = 4  # requests under way at once: enough to keep slapd busy, and it logs when a connection has many


def fill(run: Run, there: bool, shows: bool) -> Merge:
    """Make the entries; returns what was found out, whose `needed` names the passwords that are to be set.

    there: whether the database is there already. shows: whether a diff is wanted.
    """
    desired = run.plan["entries"]
    tree = run.connection.search(desired["suffix"], "subtree", names=ENTRY_ATTRIBUTES) if there else {}
    current = {dn: entries.Entry(dn, attributes) for dn, attributes in tree.items()}
    result = merge(desired, current, run.record.applied, stored_digest)
    if run.plan["followed"] and there and (result.changes or result.needed):
        replica.refuse_late(run.connection, desired["suffix"])
    _tell(run, result.changes)
    if result.changes and shows:
        before = [line for request in result.changes for line in request.lines(request.before)]
        after = [line for request in result.changes for line in request.lines(request.after)]
        run.report.diffs.append(difference(f"entries below {desired['suffix']}", before, after))
    if result.changes and not run.dry:
        _send(run, result)
    run.record.applied.update(result.record)
    return result


def _send(run: Run, result: Merge) -> None:
    # a run that ends half way must leave nothing that a later one takes for somebody else's
    run.record.under_way = True
    run.record.applied.update(united(run.record.applied, result.record))
    run.record.keep()
    roots = [request for request in result.changes if request.kind == "branch"]
    rest = [request for request in result.changes if request.kind != "branch"]
    run.connection.all_of(map(run.connection.entry_request, roots))
    run.connection.all_of(map(run.connection.entry_request, rest), _WINDOW)


def _tell(run: Run, requests: Sequence[EntryRequest]) -> None:
    """Say what becomes of which entries, in one sentence a verb and kind."""
    groups: dict[tuple[entries.Verb, str], list[EntryRequest]] = {}
    for request in requests:
        groups.setdefault((request.verb, request.kind), []).append(request)
    for (verb, kind), group in groups.items():
        if kind == "branch":
            where = run.plan["entries"]["suffix"]
            run.report.did("added", "add", f"the directory's root and branches below {where}")
            continue
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
        word = kind if len(group) == 1 else f"{len(group)} {plural}"
        run.report.did(entries.PAST[verb], verb, f"{word}: {entries.names(request.name for request in group)}")


def set_passwords(run: Run, names: Sequence[str], given: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Apply the passwords at hand; returns the names of those that are needed.

    names: whose password has to be set. given: by name, each with `clear` or `hash`.
    """
    if run.dry:
        if names:
            run.report.did("set", "set", f"the password of {entries.names(names)}")
        return []
    now = [name for name in names if name in given]
    if now:
        run.record.begin()
        dns = _dns(run, ("mail", "cn"))
        run.connection.all_of((_password_request(run, name, dns[name][0], given[name]) for name in now), _WINDOW)
        run.report.did("set", "set", f"the password of {entries.names(now)}")
        after = _dns(run, ("mail", "cn", "userPassword"))
        for name in now:
            run.record.applied["passwords"][name] = {
                "fingerprint": run.plan["entries"]["fingerprints"][name],
                "stored": stored_digest(after[name][1].get("userPassword", [])),
            }
    return [name for name in names if name not in given]


def _dns(run: Run, names: Iterable[str]) -> dict[str, tuple[str, config.Attributes]]:
    """Return DN and attributes of accounts by address, of services and clients by service:NAME or client:NAME."""
    suffix = run.plan["entries"]["suffix"]

    def below(branch: str, kind: str) -> Iterable[tuple[str, config.Attributes]]:
        return run.connection.search(f"ou={branch},{suffix}", "subtree", f"(objectClass={kind})", names).items()

    found = {entry["mail"][0].lower(): (dn, entry) for dn, entry in below("accounts", entries.ACCOUNT[1])}
    for kind, (branch, structural) in entries.LOGINS.items():
        found.update({f"{kind}:{entry['cn'][0]}": (dn, entry) for dn, entry in below(branch, structural)})
    return found


def _password_request(run: Run, name: str, dn: str, password: Mapping[str, str]) -> tuple[str, Callable[[], int]]:
    what = f"to set the password of {name}"
    if "hash" in password:
        return what, lambda: run.connection.modify(dn, [("replace", "userPassword", [password["hash"]])])
    return what, lambda: run.connection.password(dn, password["clear"])

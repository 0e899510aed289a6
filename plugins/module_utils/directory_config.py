# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to change in cn=config, and how to take it back: pure functions, values as text.

Ordered values come back from slapd numbered {n} and otherwise as they were written (slapd-config(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Attributes = dict[str, list[str]]
Tree = dict[str, Attributes]  # DN -> attributes
Modification = tuple[Literal["add", "delete", "replace"], str, list[str]]

GLOBAL = "cn=config"
MODULES = "cn=module{0},cn=config"
FRONTEND = "olcDatabase={-1}frontend,cn=config"
DEBIAN_DATABASE = "/var/lib/ldap"
TLS = ("olcTLSCertificateFile", "olcTLSCertificateKeyFile", "olcTLSCACertificateFile")

_NUMBERED = re.compile(r"\{\d+\}")


class ConfigError(Exception):
    """What is asked of cn=config cannot be done; the text says in one sentence why."""


@dataclass(frozen=True)
class Change:
    """One request: what to send, what takes it back, and lines for a diff."""

    dn: str
    what: str  # for people, such as "access rules" or "schema postfixbook"
    add: Attributes | None  # a new entry, or None where modifications change one
    modifications: list[Modification]
    inverse: list[Modification]
    before: list[str]
    after: list[str]

    @property
    def about(self) -> str:
        """What it changes, and to which values."""
        came = [line for line in self.after if line not in self.before]
        return "; ".join([*came[:3], *(["..."] if len(came) > 3 else [])]) or self.what


def bare(values: Iterable[str]) -> list[str]:
    """Return values without the numbers that slapd puts before ordered ones."""
    return [_NUMBERED.sub("", value, count=1) if value.startswith("{") else value for value in values]


def same(left: Iterable[str], right: Iterable[str], ordered: bool) -> bool:
    """Tell whether two lists of values mean the same."""
    return bare(left) == bare(right) if ordered else sorted(left) == sorted(right)


_ORDERED = {"olcAccess", "olcLimits", "olcAttributeTypes", "olcObjectClasses", "olcModuleLoad", "olcAuthzRegexp"}


def _entry(current: Tree, attribute: str, value: str) -> str | None:
    """Return the DN of the database with this value."""
    found = (dn for dn, have in current.items() if dn.startswith("olcDatabase=") and value in have.get(attribute, []))
    return next(found, None)


def _modified(
    dn: str, what: str, current: Attributes, wanted: Mapping[str, list[str]], drop: Iterable[str]
) -> Change | None:
    """Return what makes the named attributes of an entry as wanted and removes those to drop."""
    does: list[Modification] = []
    undo: list[Modification] = []
    before: list[str] = []
    after: list[str] = []
    goals = {**{name: [] for name in sorted(drop) if name not in wanted}, **wanted}
    for name, values in goals.items():
        have = current.get(name, [])
        ordered = name in _ORDERED
        if same(have, values, ordered):
            continue
        before += [f"{what}: {name}: {value}" for value in bare(have)]
        after += [f"{what}: {name}: {value}" for value in values]
        if not ordered and set(have) & set(values):  # replacing all of olcDbIndex would index everything anew
            old, new = [v for v in have if v not in values], [v for v in values if v not in have]
            does += _exchanged(name, old, new)
            undo += _exchanged(name, gone=new, new=old)
        else:
            does.append(("replace", name, list(values)))
            undo.append(("replace", name, bare(have) if ordered else have))
    if not does:
        return None
    if set(TLS) & {name for _verb, name, _values in does}:  # slapd takes certificate, key and CA together
        touched = {name for _verb, name, _values in does}
        rest: list[Modification] = [("replace", n, list(wanted[n])) for n in TLS if n in wanted and n not in touched]
        does, undo = does + rest, undo + rest
    return Change(dn, what, None, does, undo, before, after)


def _exchanged(name: str, gone: list[str], new: list[str]) -> list[Modification]:
    steps: list[Modification] = [("delete", name, gone), ("add", name, new)]
    return [step for step in steps if step[2]]


def _added(dn: str, what: str, attributes: Attributes) -> Change:
    lines = [f"{what}: {n}: {v}" for n, values in attributes.items() if n != "objectClass" for v in values]
    return Change(dn, what, attributes, [], [], [], lines)


def changes(wanted: Mapping[str, Any], current: Tree, record: Mapping[str, list[str]]) -> list[Change]:
    """Return the requests that make cn=config as wanted, in the order in which slapd takes them.

    wanted: the plan's `config`. current: cn=config as slapd shows it, the schema's own entries too. record: names of
    the attributes set by the last run, per section; those no longer wanted are removed.
    Raises ConfigError where the directory's data would be stranded.
    """
    found: list[Change | None] = []
    loaded = bare(current.get(MODULES, {}).get("olcModuleLoad", []))
    names = {_module(line) for line in loaded}
    missing = [line for line in wanted["modules"] if _module(line) not in names]
    if missing:  # a loaded module stays: slapd cannot unload it
        found.append(
            Change(
                MODULES, "modules", None, [("add", "olcModuleLoad", missing)], [],
                [], [f"modules: {line}" for line in missing],
            )
        )  # fmt: skip
    for name, schema in wanted["schema"].items():
        pattern = re.compile(rf"cn=(\{{\d+\}})?{re.escape(name)},cn=schema,cn=config")
        dn = next(filter(pattern.fullmatch, current), None)
        if dn:
            found.append(_modified(dn, f"schema {name}", current[dn], schema, ()))
        else:
            entry = {"objectClass": ["olcSchemaConfig"], "cn": [name], **schema}
            found.append(_added(f"cn={name},cn=schema,cn=config", f"schema {name}", entry))
    for section, dn in (("global", GLOBAL), ("frontend", FRONTEND)):
        found.append(_modified(dn, section, current.get(dn, {}), wanted[section], record.get(section, ())))
    found.append(_debian(wanted["debian_access"], current))
    found.append(_database(wanted, current, record.get("database", ())))
    return [change for change in found if change]


def _module(line: str) -> str:
    return line.split()[0].removesuffix(".la").removesuffix(".so")


def _debian(access: Mapping[str, list[str]], current: Tree) -> Change | None:
    """Close Debian's own, empty database to strangers, as long as it is as the package made it."""
    dn = _entry(current, "olcDbDirectory", DEBIAN_DATABASE)
    if dn is None or not same(current[dn].get("olcAccess", []), access["was"], ordered=True):
        return None
    what = f"Debian's database {current[dn]['olcSuffix'][0]}"
    return _modified(dn, what, current[dn], {"olcAccess": access["now"]}, ())


def _database(wanted: Mapping[str, Any], current: Tree, recorded: Iterable[str]) -> Change | None:
    suffix, attributes = wanted["suffix"], wanted["database"]
    dn = _entry(current, "olcSuffix", suffix)
    folder = attributes["olcDbDirectory"][0]
    if dn is None:
        other = _entry(current, "olcDbDirectory", folder)
        if other:
            there = current[other]["olcSuffix"][0]
            raise ConfigError(
                f"the directory's data in {folder} has the suffix {there}, and mail_directory_suffix says {suffix}: "
                f"set it back to {there}; a suffix does not change once there are entries"
            )
        entry = {
            "objectClass": ["olcDatabaseConfig", "olcMdbConfig"], "olcDatabase": ["mdb"], "olcSuffix": [suffix],
            **attributes,
        }  # fmt: skip
        return _added("olcDatabase=mdb,cn=config", f"database {suffix}", entry)
    where = current[dn].get("olcDbDirectory")
    if where != attributes["olcDbDirectory"]:
        raise ConfigError(f"the database {suffix} lies in {where} and was made by somebody else: choose another suffix")
    return _modified(dn, f"database {suffix}", current[dn], attributes, recorded)


def reloaded_certificates(wanted: Mapping[str, list[str]]) -> Change:
    """Return what makes slapd read its certificate anew: the same values once more, all three together."""
    same_again: list[Modification] = [("replace", name, list(wanted[name])) for name in TLS if name in wanted]
    return Change(GLOBAL, "the renewed certificate", None, same_again, [], [], [])

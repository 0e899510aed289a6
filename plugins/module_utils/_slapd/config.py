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

from ansible_collections.postamt.mail.plugins.module_utils._engine import secrecy

Attributes = dict[str, list[str]]
Tree = dict[str, Attributes]  # DN -> attributes
Modification = tuple[Literal["add", "delete", "replace"], str, list[str]]

GLOBAL = "cn=config"
MODULES = "cn=module{0},cn=config"
FRONTEND = "olcDatabase={-1}frontend,cn=config"
DEBIAN_DATABASE = "/var/lib/ldap"
TLS = ("olcTLSCertificateFile", "olcTLSCertificateKeyFile", "olcTLSCACertificateFile")

_NUMBERED = re.compile(r"\{\d+\}")
_CREDENTIALS = re.compile(r'(credentials=)("[^"]*"|\S+)')


class ConfigError(Exception):
    """What is asked of cn=config cannot be done; the text says in one sentence why."""


@dataclass(frozen=True)
class ConfigRequest:
    """One request: what to send, what takes it back, and lines for a diff."""

    dn: str
    what: str  # for people, such as "access rules" or "schema postfixbook"
    add: Attributes | None  # a new entry, or None where modifications change one
    modifications: list[Modification]
    inverse: list[Modification]
    before: list[str]
    after: list[str]
    gone: Attributes | None = None  # an entry that is deleted, as it was

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


def _line(what: str, name: str, value: str) -> str:
    """Return a line for people, without the password by which a replica logs in."""
    hidden = _CREDENTIALS.sub(lambda found: found[1] + secrecy.fingerprint(found[2].encode()).rstrip(), value)
    return f"{what}: {name}: {hidden}"


_ORDERED = {
    "olcAccess", "olcLimits", "olcAttributeTypes", "olcObjectClasses", "olcModuleLoad", "olcAuthzRegexp", "olcSyncrepl",
}  # fmt: skip


def _entry(current: Tree, attribute: str, value: str) -> str | None:
    """Return the DN of the database with this value."""
    found = (dn for dn, have in current.items() if dn.startswith("olcDatabase=") and value in have.get(attribute, []))
    return next(found, None)


def _modified(
    dn: str, what: str, current: Attributes, desired: Mapping[str, list[str]], drop: Iterable[str]
) -> ConfigRequest | None:
    """Return what makes the named attributes of an entry as desired and removes those to drop."""
    does: list[Modification] = []
    undo: list[Modification] = []
    before: list[str] = []
    after: list[str] = []
    goals = {**{name: [] for name in sorted(drop) if name not in desired}, **desired}
    for name, values in goals.items():
        have = current.get(name, [])
        ordered = name in _ORDERED
        if same(have, values, ordered):
            continue
        before += [_line(what, name, value) for value in bare(have)]
        after += [_line(what, name, value) for value in values]
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
        rest: list[Modification] = [("replace", n, list(desired[n])) for n in TLS if n in desired and n not in touched]
        does, undo = does + rest, undo + rest
    return ConfigRequest(dn, what, None, does, undo, before, after)


def _exchanged(name: str, gone: list[str], new: list[str]) -> list[Modification]:
    steps: list[Modification] = [("delete", name, gone), ("add", name, new)]
    return [step for step in steps if step[2]]


def _added(dn: str, what: str, attributes: Attributes) -> ConfigRequest:
    return ConfigRequest(dn, what, attributes, [], [], [], _lines(what, attributes))


def _lines(what: str, attributes: Attributes) -> list[str]:
    return [_line(what, name, v) for name, values in attributes.items() if name != "objectClass" for v in values]


def changes(desired: Mapping[str, Any], current: Tree, record: Mapping[str, list[str]]) -> list[ConfigRequest]:
    """Return the requests that make cn=config as desired, in the order in which slapd takes them.

    desired: the plan's `config`. current: cn=config as slapd shows it, the schema's own entries too. record: names of
    the attributes set by the last run, per section; those no longer desired are removed.
    Raises ConfigError where the directory's data would have no database that serves it.
    """
    found: list[ConfigRequest | None] = []
    loaded = bare(current.get(MODULES, {}).get("olcModuleLoad", []))
    names = {_module(line) for line in loaded}
    missing = [line for line in desired["modules"] if _module(line) not in names]
    if missing:  # a loaded module stays: slapd cannot unload it
        found.append(
            ConfigRequest(
                MODULES, "modules", None, [("add", "olcModuleLoad", missing)], [],
                [], [f"modules: {line}" for line in missing],
            )
        )  # fmt: skip
    for name, schema in desired["schema"].items():
        pattern = re.compile(rf"cn=(\{{\d+\}})?{re.escape(name)},cn=schema,cn=config")
        dn = next(filter(pattern.fullmatch, current), None)
        if dn:
            found.append(_modified(dn, f"schema {name}", current[dn], schema, ()))
        else:
            entry = {"objectClass": ["olcSchemaConfig"], "cn": [name], **schema}
            found.append(_added(f"cn={name},cn=schema,cn=config", f"schema {name}", entry))
    for section, dn in (("global", GLOBAL), ("frontend", FRONTEND)):
        found.append(_modified(dn, section, current.get(dn, {}), desired[section], record.get(section, ())))
    found.append(_debian(desired["debian_access"], current))
    database = _entry(current, "olcSuffix", desired["suffix"]) or _new_database(current)
    found.append(_database(desired, current, database, record.get("database", ())))
    for name, overlay in desired["overlays"].items():
        on = FRONTEND if overlay["on"] == "frontend" else database
        found += _overlay(name, overlay, on, current, name in record.get("overlays", ()))
    return [change for change in found if change]


def _rdn_value(dn: str) -> str:
    return dn.partition(",")[0].partition("=")[2]


def _new_database(current: Tree) -> str:
    """Return the DN of a database that comes after all others."""
    numbers = [int(found[1]) for dn in current if (found := re.match(r"olcDatabase=\{(\d+)\}[^,]*,cn=config$", dn))]
    return f"olcDatabase={{{max(numbers, default=0) + 1}}}mdb,cn=config"


def _overlay(
    name: str, desired: Mapping[str, Any], on: str, current: Tree, recorded: bool
) -> list[ConfigRequest | None]:
    """Return what brings an overlay and the database that it has for itself, or takes away what a run brought."""
    there = [dn for dn in current if dn.endswith(f",{on}") and dn.count(",") == on.count(",") + 1]
    dn = next((dn for dn in there if re.match(rf"olcOverlay=(\{{\d+\}})?{name},", dn)), "")
    below = [inner for inner in current if dn and inner.endswith(f",{dn}")]
    what = f"overlay {name}"
    if not desired["wanted"]:
        gone = [*sorted(below, key=len, reverse=True), dn] if dn and recorded else []
        return [ConfigRequest(one, what, None, [], [], _lines(what, current[one]), [], current[one]) for one in gone]
    changes: list[ConfigRequest | None] = []
    if dn:
        changes.append(_modified(dn, what, current[dn], desired["attributes"], ()))
    else:
        dn = f"olcOverlay={{{len(there)}}}{name},{on}"
        entry = {"objectClass": desired["classes"], "olcOverlay": [f"{{{len(there)}}}{name}"], **desired["attributes"]}
        changes.append(_added(dn, what, entry))
    inside = desired.get("database")
    if inside and below:
        changes.append(_modified(below[0], f"database of {what}", current[below[0]], inside["attributes"], ()))
    elif inside:
        entry = {"objectClass": inside["classes"], "olcDatabase": ["{0}ldap"], **inside["attributes"]}
        changes.append(_added(f"olcDatabase={{0}}ldap,{dn}", f"database of {what}", entry))
    return changes


def _module(line: str) -> str:
    return line.split()[0].removesuffix(".la").removesuffix(".so")


def _debian(access: Mapping[str, list[str]], current: Tree) -> ConfigRequest | None:
    """Close Debian's own, empty database to strangers, as long as it is as the package made it."""
    dn = _entry(current, "olcDbDirectory", DEBIAN_DATABASE)
    if dn is None or not same(current[dn].get("olcAccess", []), access["was"], ordered=True):
        return None
    what = f"Debian's database {current[dn]['olcSuffix'][0]}"
    return _modified(dn, what, current[dn], {"olcAccess": access["now"]}, ())


def _database(desired: Mapping[str, Any], current: Tree, dn: str, recorded: Iterable[str]) -> ConfigRequest | None:
    suffix, attributes = desired["suffix"], desired["database"]
    folder = attributes["olcDbDirectory"][0]
    if dn not in current:
        other = _entry(current, "olcDbDirectory", folder)
        if other:
            there = current[other]["olcSuffix"][0]
            raise ConfigError(
                f"the directory's data in {folder} has the suffix {there}, and mail_directory_suffix says {suffix}: "
                f"set it back to {there}; a suffix does not change once there are entries"
            )
        entry = {
            "objectClass": ["olcDatabaseConfig", "olcMdbConfig"], "olcDatabase": [_rdn_value(dn)],
            "olcSuffix": [suffix], **attributes,
        }  # fmt: skip
        return _added(dn, f"database {suffix}", entry)
    where = current[dn].get("olcDbDirectory")
    if where != attributes["olcDbDirectory"]:
        raise ConfigError(f"the database {suffix} lies in {where} and was made by somebody else: choose another suffix")
    return _modified(dn, f"database {suffix}", current[dn], attributes, recorded)


def reloaded_certificates(desired: Mapping[str, list[str]]) -> ConfigRequest:
    """Return what makes slapd read its certificate anew: the same values once more, all three together."""
    same_again: list[Modification] = [("replace", name, list(desired[name])) for name in TLS if name in desired]
    return ConfigRequest(GLOBAL, "the renewed certificate", None, same_again, [], [], [])

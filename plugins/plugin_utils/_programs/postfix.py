# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postfix: how what concerns contribute (_postfix_parts.py) becomes main.cf, master.cf and tables."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Container, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
    disagree,
    every,
    files_of,
    merged,
    overridden,
    slotted,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import File, Plan, Unit, make_plan
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program, Workers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _postfix_milters as milters
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import _postfix_names as names
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_health import (
    certificate_files,
    health_checks,
    serves,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    HOST_ALIASES,
    MAILS,
    SLOTS,
    STRICTNESS,
    Front,
    Service,
    Table,
    Value,
    text_of,
)

FOLDER = "/etc/postfix"
PROGRAM = Program(
    title="Postfix",
    checker="/usr/lib/postfix/sbin/smtpd",
    last=(f"{FOLDER}/master.cf", f"{FOLDER}/main.cf"),
    # A main.cf or LDAP table younger than a second makes each program of Postfix 3.10 wait until it has settled.
    age=5.0,
    reload=("postfix", "reload"),
    workers=Workers("/var/spool/postfix/pid/master.pid", ("smtpd", "tlsproxy")),
    order=90,
    configuration=f"{FOLDER}/main.cf",
    versions={"postfix": "postfix"},
    mail_server=True,
    stays={"the queue": "/var/spool/postfix"},
    about="Postfix for the site's mail",
    task="Postfix",
    options={
        "settings": "Parameters of C(main.cf) (I(postconf(5))). A value may be text, a number, a boolean or a list.",
        "services": "Services of C(master.cf) (I(master(5))) by name and type, such as V(submission/inet). Each is a "
        "mapping with C(command), and optionally C(private), C(unprivileged), C(chroot), C(wakeup), C(maxproc) and "
        "C(options).",
    },
)


def in_full(site: Site, host: Host) -> bool:
    """Tell whether Postfix does all that the site wants of it; elsewhere it hands the host's mail on."""
    return site.sends(host)


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Postfix for one host."""
    if not parts:
        return make_plan(enabled=False, units=[Unit("postfix.service", running=False)])
    parameters, services = configuration(host, parts, overrides)
    tables = merged(parts, "tables", "Postfix table")
    return make_plan(
        packages={"postfix", *united(parts, "packages"), *_map_packages(tables)},
        files=[
            *(_table_file(name, item) for name, item in sorted(tables.items())),
            *files_of(parts, "Postfix file"),
            File(f"{FOLDER}/main.cf", main_cf(parameters)),
            File(f"{FOLDER}/master.cf", master_cf(services)),
        ],
        units=[Unit("postfix.service", running=True)],
        watch=certificate_files(parameters),
        serves=serves(parameters, services),
        checks=[
            *health_checks(site, host, parameters, services),
            *every(parts, "checks"),
        ],
        secrets=every(parts, "secrets"),
        host_aliases=HOST_ALIASES in text_of(parameters.get("alias_maps", "")),
    )


def configuration(
    host: Host, parts: Contributions, overrides: Mapping[str, t.Any]
) -> tuple[dict[str, Value], dict[str, Service]]:
    """Return what main.cf and master.cf say, the user's own included."""
    settings, own_services = overrides.get("settings") or {}, _services(overrides.get("services") or {})
    version = host.version("postfix")
    parts, lines = milters.seen(parts, services_of(parts), SLOTS, settings)
    brought = {**_parameters(parts), **_lists(parts)}
    parameters, services = overridden(brought, settings), overridden(lines, own_services)
    changed = settings or own_services
    left = {*_left_over(version, (brought, lines), (parameters, services))} - {*settings} if changed else set()
    parameters = {name: value for name, value in parameters.items() if name not in left}
    services = {key: service if key in own_services else _without(service, left) for key, service in services.items()}
    parameters = {**_proxied(parameters, services), **parameters}
    _refuse_entries([(name, part.lists) for name, part in parts], parameters, settings)
    _refuse_unknown(version, parameters, services, _owners(parts, settings, own_services))
    return parameters, services


Said = tuple[Mapping[str, Value], Mapping[str, Service]]  # parameters and services


def _left_over(version: tuple[int, int], before: Said, now: Said) -> list[str]:
    """Return the names that were made for services or lists which the user has taken out, as mua_ lists are."""
    wrong = {name for place, name, _said in names.unknown_parameters(version, *before) if not place}
    return [name for place, name, _said in names.unknown_parameters(version, *now) if not place and name not in wrong]


def _without(service: Service, names_left: Container[str]) -> Service:
    """Return a service without some of its options."""
    kept = {name: value for name, value in service.options.items() if name not in names_left}
    return dataclasses.replace(service, options=kept)


def _proxied(parameters: Mapping[str, Value], services: Mapping[str, Service]) -> dict[str, Value]:
    """Return what proxymap(8) may open, where master.cf names tables that main.cf does not: it reads main.cf alone."""

    def named(values: Iterable[Value]) -> set[str]:
        return {found for value in values for found in re.findall(r"proxy:[^\s,}]+", text_of(value))}

    general = named(parameters.values())
    special = named(value for service in services.values() for value in service.options.values())
    return {"proxy_read_maps": ["$local_recipient_maps", *sorted(general | special)]} if special - general else {}


def _parameters(parts: Contributions) -> dict[str, Value]:
    return merged(parts, "parameters", "Postfix parameter", STRICTNESS)


def _lists(parts: Contributions) -> dict[str, list[str]]:
    """Return the lists that concerns fill together; one that is a parameter of another as well is an error."""
    given = {name for _concern, part in parts for name in part.lists}
    orders = SLOTS | {name: SLOTS[twin] for name in given if (twin := re.sub(r"^mua_", "smtpd_", name)) in SLOTS}
    filled = slotted(parts, "lists", orders, "Postfix list")
    lists = {name: [*dict.fromkeys(entries)] for name, entries in filled.items()}  # nobody is asked twice
    for name in lists:
        asking = [(concern, part.parameters[name]) for concern, part in parts if name in part.parameters]
        filling = [(concern, dict(part.lists[name])) for concern, part in parts if name in part.lists]
        if asking:
            (setter, value), (filler, slots) = (min(said, key=lambda one: one[0]) for said in (asking, filling))
            raise ConcernError(
                f"Postfix list {name}: concern {setter} sets it to {value!r}, concern {filler} adds {slots!r} to it"
            )
    return lists


def services_of(parts: Contributions) -> dict[str, Service]:
    """Return the lines of master.cf: each concern's services, what others add to them, and what stands before them."""
    services: dict[str, Service] = merged(parts, "services", "Postfix service")
    takes = {key: service.takes for key, service in services.items()}
    for key in sorted({key for _concern, part in parts for key in part.extensions} - set(MAILS)):
        adding = [(concern, part.extensions[key]) for concern, part in parts if key in part.extensions]
        _brought(services, key, "extends", adding[0][0])
    for key in sorted(services):
        adding = [
            (name, part.extensions[one]) for name, part in parts for one in (key, takes[key]) if one in part.extensions
        ]
        if adding:
            services[key] = _extended(key, services[key], adding)
    taken: set[tuple[str, str]] = set()
    for key, concern, front in _fronts(parts):
        behind = _brought(services, key, "stands before", concern)
        if front.behind in services:
            holder = min(
                other for other, part in parts if front.behind in part.services or (other, front.behind) in taken
            )
            raise ConcernError(
                f"Postfix service {front.behind}: concern {concern} wants it for {key}, concern {holder} has it already"
            )
        taken.add((concern, front.behind))
        services[front.behind] = dataclasses.replace(behind, private="-")
        services[key] = front.service
    return services


def _fronts(parts: Contributions) -> list[tuple[str, str, Front]]:
    """Return what stands before a service, each with the service and its concern."""
    found = merged(parts, "fronts", "daemon before Postfix service")
    return [(key, min(name for name, part in parts if key in part.fronts), found[key]) for key in sorted(found)]


def _brought(services: Mapping[str, Service], key: str, verb: str, concern: str) -> Service:
    if key not in services:
        raise ConcernError(f"concern {concern} {verb} Postfix service {key}, which no concern brings to this host")
    return services[key]


def _extended(key: str, service: Service, adding: Contributions) -> Service:
    """Return a service with what concerns add to it; two that want different things of one option are an error."""
    what = f"Postfix service {key}, option"
    options = merged(adding, "options", what)
    limits = [(concern, one.maxproc) for concern, one in adding if one.maxproc]
    for other in limits[1:]:
        if other[1] != limits[0][1]:
            raise disagree(f"Postfix service {key}, maxproc", limits[0], other)
    return dataclasses.replace(
        service,
        options={**service.options, **options},
        maxproc=limits[0][1] if limits else service.maxproc,
        chroot=service.chroot and all(one.chroot for _concern, one in adding),
    )


def _owners(
    parts: Contributions, settings: Mapping[str, t.Any], services: Mapping[str, Service | None]
) -> dict[tuple[str, str], str]:
    """Return who has brought each parameter, by service ("" for main.cf) and name: whose mistake it is."""
    found: dict[tuple[str, str], str] = {}
    taken = {key: service.takes for _concern, part in parts for key, service in part.services.items()}
    for concern, part in parts:
        found.update({("", name): f"concern {concern}" for name in [*part.parameters, *part.lists]})
        found.update(
            {(key, name): f"concern {concern}" for key, item in part.services.items() for name in item.options}
        )
    for concern, part in parts:  # what an extension says of an option counts
        for key, extension in part.extensions.items():
            places = [key] if key not in MAILS else [place for place, takes in taken.items() if takes == key]
            found.update({(place, name): f"concern {concern}" for place in places for name in extension.options})
    for key, concern, front in _fronts(parts):
        found.update({(front.behind, name): owner for (place, name), owner in [*found.items()] if place == key})
        found.update({(key, name): f"concern {concern}" for name in front.service.options})
    found.update({("", name): "postfix_settings" for name in settings})
    for key, service in services.items():
        found.update({(key, name): "postfix_services" for name in (service.options if service else ())})
    return found


def main_cf(parameters: Mapping[str, Value]) -> dict[str, str]:
    """Return what main.cf says, each value as it stands there."""
    return {name: text_of(value) for name, value in sorted(parameters.items())}


def master_cf(services: Mapping[str, Service]) -> dict[str, dict[str, t.Any]]:
    """Return what master.cf says by NAME/TYPE: the columns from the third on, and the options of the command."""
    found = {}
    for key, service in sorted(services.items()):
        chroot = "y" if service.chroot else "n"
        columns = [service.private, service.unprivileged, chroot, service.wakeup, service.maxproc, service.command]
        options = {name: text_of(value) for name, value in sorted(service.options.items()) if value is not None}
        found[key] = {"columns": columns, "options": options}
    return found


def _services(given: Mapping[str, t.Any]) -> dict[str, Service | None]:
    """Return the user's own services (variable postfix_services)."""
    result: dict[str, Service | None] = {}
    known = {field.name for field in dataclasses.fields(Service)} - {"takes", "returns"}
    for key, value in given.items():
        if not re.fullmatch(r"[^\s/]\S*/(inet|unix|unix-dgram|fifo|pass)", key):
            raise ComposeError(f"postfix_services: {key} must be NAME/TYPE, such as submission/inet (master(5))")
        if value is None:
            result[key] = None
            continue
        if not isinstance(value, Mapping) or set(value) - known or "command" not in value:
            raise ComposeError(f"postfix_services: {key} takes {', '.join(sorted(known))}, command being required")
        # A port is never private, and master(8) ends over one that says so.
        usual = {"private": "n"} if key.endswith("/inet") else {}
        result[key] = Service(**{**usual, **{name: _column(key, name, item) for name, item in value.items()}})
    return result


_COLUMNS: dict[str, tuple[str, str]] = {
    "private": (r"[-yn]", "-, y or n"),
    "unprivileged": (r"[-yn]", "-, y or n"),
    "wakeup": (r"-|[0-9]+\??", "seconds, with ? where idle ones stay asleep, or -"),
    "maxproc": (r"-|[0-9]+", "a number, or -"),
    "command": (r"\S.*", "a command on one line"),
}


def _column(key: str, name: str, value: t.Any) -> t.Any:
    """Return one value of a service as master.cf has it; YAML's booleans and numbers are as good as text."""
    place = f"postfix_services: {key}: {name} is {value!r}"
    if name == "options":
        if not isinstance(value, Mapping):
            raise ComposeError(f"{place}, and must be a mapping of parameters")
        return value
    if name == "chroot":
        if value not in (True, False, "y", "n"):
            raise ComposeError(f"{place}, and must be true or false")
        return value in (True, "y")
    pattern, allowed = _COLUMNS[name]
    text = ("y" if value else "n") if isinstance(value, bool) else str(value)
    if not re.fullmatch(pattern, text):
        raise ComposeError(f"{place}, and must be {allowed} (master(5))")
    return text


def _table_file(name: str, item: Table) -> File:
    if isinstance(item.content, str):
        content = item.content
    else:
        content = "".join(f"{key}\t{value}\n" for key, value in sorted(item.content.items()))
    # proxymap opens LDAP tables as user postfix
    mode, group = ("0640", "postfix") if item.type == "ldap" else ("0600", "root") if item.secret else ("0644", "root")
    build = item.type if item.type == "lmdb" else ""
    return File(f"{FOLDER}/tables/{name}", content, mode, "root", group, item.secret or item.type == "ldap", build)


def _map_packages(tables: Mapping[str, Table]) -> set[str]:
    return {f"postfix-{item.type}" for item in tables.values() if item.type in ("lmdb", "ldap", "pcre")}


def _refuse_entries(
    lists: Iterable[tuple[str, Mapping[str, Mapping[str, list[str]]]]],
    parameters: Mapping[str, Value],
    settings: Mapping[str, t.Any],
) -> None:
    """Refuse what concerns fill lists with, each slot alone: a word without its table would take another's entry.

    Lists that the user has set are the user's.
    """
    classes = {"smtpd_restriction_classes": parameters.get("smtpd_restriction_classes", "")}
    problems = [
        f"concern {concern}: {said}"
        for concern, filled in sorted(lists, key=lambda one: one[0])
        for name, slots in filled.items()
        for entries in slots.values()
        for _service, _name, said in names.unknown_words({**classes, name: entries}, {})
        if name not in settings
    ]
    if problems:
        raise ConcernError(problems)


def _refuse_unknown(
    version: tuple[int, int],
    parameters: Mapping[str, Value],
    services: Mapping[str, Service],
    owners: Mapping[tuple[str, str], str],
) -> None:
    found = [*names.unknown_parameters(version, parameters, services), *names.unknown_words(parameters, services)]
    said: dict[bool, list[str]] = {True: [], False: []}  # by whether the user has said it
    for key, name, wrong in found:
        owner = owners.get((key, name), "postfix_settings")
        said[owner.startswith("postfix_")].append(f"{owner}: {wrong}")
    if said[False]:
        raise ConcernError(said[False], said[True])
    if said[True]:
        raise ComposeError(*said[True])

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postfix: what a concern may contribute, how contributions become main.cf, master.cf and tables."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils import links
from ansible_collections.postamt.mail.plugins.plugin_utils.compose import (
    ComposeError,
    Contributions,
    merged,
    overridden,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.plan import (
    File,
    Plan,
    Question,
    Serves,
    Unit,
    make_plan,
    shown_at,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.programs import _postfix_names as names
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

Value = str | int | bool | list[str] | None
FOLDER = "/etc/postfix"
DIRECTORY = "directory"  # the table that finds something as long as the directory answers
HOST_ALIASES = "hash:/etc/aliases"  # the host administrator's own; hash is Debian's type for it on both releases

# The order of checks in each restriction list: one kind of check, one slot.
SLOTS: dict[str, tuple[str, ...]] = {
    "smtpd_client_restrictions": ("permit", "access", "pipelining", "dnsbl"),
    "smtpd_helo_restrictions": ("permit", "syntax", "own", "access", "name"),
    "smtpd_sender_restrictions": ("syntax", "owner", "permit", "stranger", "access", "domain"),
    "smtpd_relay_restrictions": ("networks", "authenticated", "certificate", "destination"),
    "smtpd_recipient_restrictions": ("syntax", "permit", "recipient", "access", "dnsbl", "greylist", "quota", "last"),
    "smtpd_data_restrictions": ("pipelining", "bounce"),
    "smtpd_end_of_data_restrictions": ("size", "rate", "quota"),
}


@dataclasses.dataclass(frozen=True)
class Service:
    """One line of master.cf (master(5)); the daemon's command may carry -o options."""

    command: str
    private: str = "-"
    unprivileged: str = "-"
    chroot: bool = True
    wakeup: str = "-"
    maxproc: str = "-"
    options: Mapping[str, Value] = dataclasses.field(default_factory=dict)


# Options of an smtpd on loopback or at a Unix socket: takes mail from this host's programs and links, and nobody else
TRUSTING: Mapping[str, Value] = {
    "mynetworks": "127.0.0.0/8",
    "smtpd_client_restrictions": ["permit_mynetworks", "reject"],
    "smtpd_relay_restrictions": ["permit_mynetworks", "reject"],
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "",
    "smtpd_tls_security_level": "none",
    "smtpd_sasl_auth_enable": False,
    "smtpd_client_connection_count_limit": 0,  # all of it comes from one address
}


@dataclasses.dataclass(frozen=True)
class Extension:
    """What a concern adds to another's line of master.cf."""

    maxproc: str = ""
    options: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    chroot: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """A lookup table in /etc/postfix/tables: pairs for lmdb, else the text of the type's own syntax.

    type: lmdb, pcre, regexp, cidr, ldap, texthash.
    """

    type: str
    content: Mapping[str, str] | str
    secret: bool = False


@dataclasses.dataclass(frozen=True)
class Postfix:
    """What one concern contributes.

    parameters: main.cf; services: master.cf by "name/type"; extensions: to services of other concerns; tables by file
    name, named in parameters by table(); restrictions: list -> slot -> words (see SLOTS); a list whose name starts with
    mua_ is one for users' ports and has the slots of its smtpd_ twin.
    """

    parameters: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    services: Mapping[str, Service] = dataclasses.field(default_factory=dict)
    extensions: Mapping[str, Extension] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Table] = dataclasses.field(default_factory=dict)
    restrictions: Mapping[str, Mapping[str, list[str]]] = dataclasses.field(default_factory=dict)
    files: Iterable[File] = ()
    packages: Iterable[str] = ()
    questions: Iterable[Question] = ()
    secrets: Iterable[str] = ()  # what no log, diff or result may show


def table(name: str, kind: str) -> str:
    """Return how a parameter names a table of this collection, such as lmdb:$config_directory/tables/relay."""
    prefix = "proxy:ldap" if kind == "ldap" else kind
    return f"{prefix}:$config_directory/tables/{name}"


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Postfix for one host."""
    if not host.duties:
        return make_plan(wanted=False, units=[Unit("postfix.service", running=False)])
    version = host.version("postfix")
    parameters = merged(parts, "parameters", "Postfix parameter")
    parameters.update(restriction_lists(parts))
    parameters = overridden(parameters, overrides.get("settings") or {})
    services = merged(parts, "services", "Postfix service")
    for key, extension in merged(parts, "extensions", "Postfix service").items():
        service = services[key]
        options = {**service.options, **extension.options}
        services[key] = dataclasses.replace(
            service,
            options=options,
            maxproc=extension.maxproc or service.maxproc,
            chroot=service.chroot and extension.chroot,
        )
    services = overridden(services, _services(overrides.get("services") or {}))
    parameters = {**_proxied(parameters, services), **parameters}
    tables = merged(parts, "tables", "Postfix table")
    _refuse_unknown(version, parameters, services)
    return make_plan(
        packages={"postfix", *united(parts, "packages"), *_map_packages(tables)},
        files=[
            *(_table_file(name, item) for name, item in tables.items()),
            *(file for _concern, part in parts for file in part.files),
            File(f"{FOLDER}/main.cf", main_cf(parameters)),
            File(f"{FOLDER}/master.cf", master_cf(services)),
        ],
        units=[Unit("postfix.service", running=True)],
        watch=_paths(parameters),
        serves=serves(parameters, services),
        questions=[
            *questions(site, host, parameters, services),
            *(question for _concern, part in parts for question in part.questions),
        ],
        secrets=[secret for _concern, part in parts for secret in part.secrets],
        host_aliases=HOST_ALIASES in text_of(parameters.get("alias_maps", "")),
    )


def _proxied(parameters: Mapping[str, Value], services: Mapping[str, Service]) -> dict[str, Value]:
    """Return what proxymap(8) may open, where master.cf names tables that main.cf does not: it reads main.cf alone."""

    def named(values: Iterable[Value]) -> set[str]:
        return {found for value in values for found in re.findall(r"proxy:[^\s,}]+", text_of(value))}

    general = named(parameters.values())
    special = named(value for service in services.values() for value in service.options.values())
    return {"proxy_read_maps": ["$local_recipient_maps", *sorted(general | special)]} if special - general else {}


def _paths(parameters: Mapping[str, Value]) -> list[str]:
    """Return the files that certificates and keys of smtpd lie in."""
    names = ("smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file")
    return [path for name in names for path in re.split(r"[,\s]+", text_of(parameters.get(name, ""))) if path]


_PORTS = {"smtp": 25, "submissions": 465, "smtps": 465, "submission": 587}


def questions(
    site: Site, host: Host, parameters: Mapping[str, Value], services: Mapping[str, Service]
) -> list[Question]:
    """Return what each smtpd that listens is asked: its greeting, TLS where it has that, and two recipients on 25."""
    found = [
        Question("smtp_greeting", {"path": links.public(key.rsplit("/", 1)[0])})
        for key, service in sorted(services.items())
        if key.endswith("/unix") and service.command.split()[0] == "smtpd" and service.private == "n"
    ]
    for greeting, settings in _greetings(parameters, services):
        if table(DIRECTORY, "ldap") in text_of(settings.get("smtpd_client_restrictions") or ""):
            needs = links.directory_needs(site, host, "postfix")
            greeting = dataclasses.replace(greeting, arguments={**greeting.arguments, "needs": needs})
        found.append(greeting)
        if greeting.arguments["port"] == 25 and site.sends(host):
            needs = links.directory_needs(site, host, "postfix")
            # an alias and a mailbox, since they are found in different tables
            for recipient in dict.fromkeys([f"postmaster@{site.domains[0]}", *_someone(site)]):
                found.append(Question("smtp_rcpt", {"port": 25, "recipient": recipient, "needs": needs}))
    return found


def serves(parameters: Mapping[str, Value], services: Mapping[str, Service]) -> list[Serves]:
    """Return the ports at which an smtpd shows a certificate, each with its own."""
    greetings = _greetings(parameters, services)
    return [found for greeting, settings in greetings for found in shown_at([greeting], _paths(settings))]


def _greetings(
    parameters: Mapping[str, Value], services: Mapping[str, Service]
) -> t.Iterator[tuple[Question, Mapping[str, Value]]]:
    """Yield what each smtpd that listens is asked for its greeting, and its parameters."""
    for key, service in sorted(services.items()):
        name, kind = key.rsplit("/", 1)
        address, _colon, word = name.rpartition(":")
        port = int(word) if word.isdigit() else _PORTS.get(word)
        if kind != "inet" or service.command.split()[0] != "smtpd" or not port:
            continue
        settings = {**parameters, **service.options}
        level = text_of(settings.get("smtpd_tls_security_level") or "none")
        wrapped = text_of(settings.get("smtpd_tls_wrappermode") or False) == "yes"
        where: dict[str, t.Any] = {"port": port, "tls": "implicit" if wrapped else "none"}
        if level != "none" and not wrapped:
            where["tls"] = "starttls"
        if not address and settings.get("inet_interfaces") == "loopback-only":
            address = "127.0.0.1"
        if address:
            where["address"] = address.strip("[]")
        yield Question("smtp_greeting", where), settings


def _someone(site: Site) -> list[str]:
    """Return an account that receives mail, if there is one."""
    found = (str(account.address) for account in site.accounts if account.enabled and not account.forward)
    return list(itertools.islice(found, 1))


def restriction_lists(parts: Contributions) -> dict[str, list[str]]:
    """Return each restriction list, its slots in order; two concerns in one slot are an error."""
    filled: dict[str, dict[str, tuple[str, list[str]]]] = {}
    for concern, part in parts:
        for name, slots in part.restrictions.items():
            order = SLOTS.get(re.sub(r"^mua_", "smtpd_", name))
            if order is None:
                raise ComposeError(f"concern {concern}: {name} is no restriction list")
            for slot, words in slots.items():
                if slot not in order:
                    raise ComposeError(f"concern {concern}: {name} has no slot {slot} (slots: {', '.join(order)})")
                taken = filled.setdefault(name, {}).setdefault(slot, (concern, words))
                if taken[0] != concern:
                    raise ComposeError(f"concerns {taken[0]} and {concern} both fill slot {slot} of {name}")
    lists = {}
    for name, slots_of in filled.items():
        order = SLOTS[re.sub(r"^mua_", "smtpd_", name)]
        lists[name] = [word for slot in order if slot in slots_of for word in slots_of[slot][1]]
    return lists


def text_of(value: Value) -> str:
    """Return a value as main.cf wants it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def main_cf(parameters: Mapping[str, Value]) -> str:
    """Return main.cf (postconf(5)), sorted by parameter."""
    lines = [f"{name} = {text_of(value)}".rstrip() for name, value in sorted(parameters.items())]
    return "\n".join(["# Written by postamt.mail; change the site's variables instead.", *lines, ""])


def master_cf(services: Mapping[str, Service]) -> str:
    """Return master.cf (master(5))."""
    lines = ["# Written by postamt.mail; change the site's variables instead."]
    for key, service in sorted(services.items()):
        name, kind = key.rsplit("/", 1)
        chroot = "y" if service.chroot else "n"
        columns = (name, kind, service.private, service.unprivileged, chroot, service.wakeup, service.maxproc)
        lines.append(" ".join([*columns, service.command]))
        for option, value in sorted(service.options.items()):
            if value is not None:
                lines.append(f"  -o {{ {option} = {text_of(value)} }}")
    return "\n".join([*lines, ""])


def _services(given: Mapping[str, t.Any]) -> dict[str, Service | None]:
    """Return the user's own services (variable postfix_services)."""
    result: dict[str, Service | None] = {}
    known = {field.name for field in dataclasses.fields(Service)}
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


def _refuse_unknown(version: tuple[int, int], parameters: Mapping[str, Value], services: Mapping[str, Service]) -> None:
    problems = [*names.unknown_parameters(version, parameters, services), *names.unknown_words(parameters, services)]
    if problems:
        raise ComposeError("\n".join(problems))

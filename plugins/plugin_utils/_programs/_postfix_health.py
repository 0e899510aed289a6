# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Postfix is asked after a change, by what main.cf and master.cf say: greetings, certificates, recipients."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import public
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck, Serves, shown_at
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    DIRECTORY,
    Service,
    Value,
    table,
    text_of,
)

_PORTS = {"smtp": 25, "submissions": 465, "smtps": 465, "submission": 587}


def health_checks(
    site: Site, host: Host, parameters: Mapping[str, Value], services: Mapping[str, Service]
) -> list[HealthCheck]:
    """Return what each smtpd that listens is asked: its greeting, TLS where it has that, and two recipients on 25."""
    found = [
        HealthCheck("smtp_greeting", {"path": public(key.rsplit("/", 1)[0])})
        for key, service in sorted(services.items())
        if key.endswith("/unix") and service.command.split()[0] == "smtpd" and service.private == "n"
    ]
    for greeting, settings in _greetings(parameters, services):
        if table(DIRECTORY, "ldap") in text_of(settings.get("smtpd_client_restrictions") or ""):
            needs = site.lookups.needs(site, host, "postfix")
            greeting = dataclasses.replace(greeting, arguments={**greeting.arguments, "needs": needs})
        found.append(greeting)
        if greeting.arguments["port"] == 25 and site.sends(host):
            needs = site.lookups.needs(site, host, "postfix")
            # an alias and a mailbox, since they are found in different tables
            for recipient in dict.fromkeys([f"postmaster@{site.domains[0]}", *_someone(site)]):
                found.append(HealthCheck("smtp_rcpt", {"port": 25, "recipient": recipient, "needs": needs}))
    return found


def serves(parameters: Mapping[str, Value], services: Mapping[str, Service]) -> list[Serves]:
    """Return the ports at which an smtpd shows a certificate, each with its own."""
    greetings = _greetings(parameters, services)
    return [found for greeting, settings in greetings for found in shown_at([greeting], certificate_files(settings))]


def _greetings(
    parameters: Mapping[str, Value], services: Mapping[str, Service]
) -> t.Iterator[tuple[HealthCheck, Mapping[str, Value]]]:
    """Yield what each smtpd that listens is asked for its greeting, and its parameters."""
    for key, service in sorted(services.items()):
        name, kind = key.rsplit("/", 1)
        address, _colon, word = name.rpartition(":")
        port = int(word) if word.isdigit() else _PORTS.get(word)
        behind = _answers(services, service)
        if kind != "inet" or behind is None or not port:
            continue
        settings = {**parameters, **service.options, **behind.options}
        if text_of(settings.get("smtpd_tls_req_ccert") or False) == "yes":
            continue  # it greets nobody who shows no certificate
        level = text_of(settings.get("smtpd_tls_security_level") or "none")
        wrapped = text_of(settings.get("smtpd_tls_wrappermode") or False) == "yes"
        where: dict[str, t.Any] = {"port": port, "tls": "implicit" if wrapped else "none"}
        if level != "none" and not wrapped:
            where["tls"] = "starttls"
        if not address and settings.get("inet_interfaces") == "loopback-only":
            address = "127.0.0.1"
        if address:
            where["address"] = address.strip("[]")
        yield HealthCheck("smtp_greeting", where), settings


def _answers(services: Mapping[str, Service], service: Service) -> Service | None:
    """Return the smtpd that answers at a service: itself, or the one to which postscreen(8) hands connections."""
    command = service.command.split()[0]
    if command == "postscreen":
        service = services.get(f"{text_of(service.options.get('smtpd_service_name', 'smtpd'))}/pass", service)
        command = service.command.split()[0]
    return service if command == "smtpd" else None


def _someone(site: Site) -> list[str]:
    """Return an account that receives mail, if there is one."""
    found = (str(account.address) for account in site.accounts if account.enabled and not account.forward)
    return list(itertools.islice(found, 1))


def certificate_files(parameters: Mapping[str, Value]) -> list[str]:
    """Return the files that certificates and keys of smtpd lie in."""
    names = ("smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file")
    return [path for name in names for path in re.split(r"[,\s]+", text_of(parameters.get(name, ""))) if path]

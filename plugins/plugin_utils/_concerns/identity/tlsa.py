# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLSA records (incoming DANE, RFC 7672): the DNS says which key each mail exchanger has, and others verify it by that.

A record that names another key than the exchanger has keeps mail of servers away that verify. So there is none by
default, and with records a host takes another key only once the DNS has shown its record for long enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import _exchanger_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import KEY_DIGEST, Known
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.certificates import Certificates

_LONGEST = 253 - len(exchangers.owner(""))  # of a host's name, so that its record has a name


Variables = _exchanger_keys.Variables


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    for digest in said.mail_tlsa_next:
        if not KEY_DIGEST.fullmatch(digest.lower()):
            yield Problem("mail_tlsa_next", digest, "must be the SHA-256 of a public key: 64 hexadecimal digits")
    if said.mail_tlsa_next and not said.mail_tlsa:
        yield Problem("mail_tlsa_next", list(said.mail_tlsa_next), "must be empty where mail_tlsa is false")
    for host in site.hosts_with("mail_mx") if said.mail_tlsa else ():
        if len(host.name) > _LONGEST:
            allowed = f"must have at most {_LONGEST} characters where mail_tlsa is true"
            yield Problem(f"mail_host_name of host {host.inventory_name}", str(host.name), allowed)


def dns(site: Site, domain: str) -> Iterator[Record]:
    for host in site.hosts_with("mail_mx"):
        if _is_within(host, domain):
            yield from _records(site, host)


def _records(site: Site, host: Host) -> Iterator[Record]:
    digests = _exchanger_keys.wanted(site, host)
    for digest in sorted(_told(site, host)) if digests is None else digests:
        yield Record(exchangers.owner(str(host.name)), "TLSA", exchangers.data(digest))


def _told(site: Site, host: Host) -> frozenset[str]:
    """Return the digests of the keys that the zone had the last time that the host's key was known."""
    return site.tlsa.get(str(host.name), Known()).told


def _is_within(host: Host, domain: str) -> bool:
    return f".{host.name}".endswith(f".{domain}")


def dns_warnings(site: Site) -> Iterator[str]:
    """Yield which exchangers have no records, and whose records belong into another zone."""
    if not site.of(Variables).mail_tlsa:
        return
    for host in site.hosts_with("mail_mx"):
        digests = _exchanger_keys.wanted(site, host)
        if digests is None:
            why = (
                "its port 25 shows no certificate"
                if host.inventory_name in site.port_25
                else "not all its keys are known; postamt.mail.dns asks for them"
            )
            what = "name the former keys" if _told(site, host) else "name no key"
            yield f"the zones {what} of {host.name} (TLSA), since {why}: its records in the DNS stay as they are"
        elif not digests:
            yield (
                f"{host.name} has no TLSA record yet, since its certificate is a stand-in: when its own has come, run "
                "postamt.mail.dns again"
            )
        elif not any(_is_within(host, domain) for domain in site.domains):
            listed = " / ".join(f"{one.owner}. IN TLSA {one.data}" for one in _records(site, host))
            yield f"{host.name} is in no zone of the site: have these TLSA records published in its own: {listed}"


def certificates(site: Site, host: Host) -> Certificates | None:
    """Return which other keys the host may take; None where any will do."""
    known = site.tlsa.get(str(host.name), Known())
    if not (site.of(Variables).mail_tlsa and host.has("mail_mx") and known.is_bound):
        return None
    return Certificates(next_keys={_exchanger_keys.PUBLIC: tuple(known.usable(time.time()))})

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The zone fragment of each domain: the records that concerns contribute (dns_records.py), as a zone file has them."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.hosts.dns import Variables
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

_ORDER = ("MX", "A", "AAAA", "TXT", "CAA", "SRV")


def zones(site: Site) -> dict[str, str]:
    """Return the text of a zone file by its name, DOMAIN.zone; names are absolute, so any zone may include it."""
    ttl = site.of(Variables).mail_dns_ttl
    return {
        f"{domain}.zone": "".join(f"{one.owner}. {ttl} IN {one.kind} {one.data}\n" for one in records(site, domain))
        for domain in site.domains
    }


def records(site: Site, domain: str) -> list[Record]:
    """Return the records of a domain, each once, whatever the order of the concerns."""
    asked = [concern.dns for concern in compose.concerns().values() if hasattr(concern, "dns")]
    found = {record for dns in asked for record in dns(site, domain)}
    return sorted(found, key=_place)


def _place(record: Record) -> tuple[int, str, str, str]:
    place = _ORDER.index(record.kind) if record.kind in _ORDER else len(_ORDER)
    return place, record.kind, record.owner, record.data


def warnings(site: Site) -> Iterator[str]:
    """Yield what somebody has to know or decide before the zones are published."""
    for concern in compose.concerns().values():
        yield from getattr(concern, "dns_warnings", lambda _site: ())(site)

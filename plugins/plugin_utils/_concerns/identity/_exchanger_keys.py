# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which keys of mail exchangers the zones have to name (TLSA)."""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.acme import Variables as Acme
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.certificates import Variables as Files
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Known
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

PUBLIC = "public"  # the certificate of port 25


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether other servers may know the exchangers by their keys."""

    mail_tlsa: bool = var(
        "Whether the zones have a TLSA record for the key of each mail exchanger. Set it if the zone of their names is "
        "signed (DNSSEC); elsewhere the records have no effect. A host then takes another key only after the DNS has "
        "shown its record for long enough (mail_tlsa_next).", False,
    )  # fmt: skip
    mail_tlsa_next: list[str] = var(
        "Keys that exchangers will have next: SHA-256 of the public key (DER), 64 hexadecimal digits. The zones name "
        "them beside the present ones. Only where mail_tlsa is true.", [],
    )  # fmt: skip


def wanted(site: Site, host: Host) -> list[str] | None:
    """Return the digests of the keys that the zone has to name for an exchanger; None where its key is not known."""
    if not site.of(Variables).mail_tlsa:
        return []
    shown = site.port_25.get(host.inventory_name)
    if not shown:
        return None
    known = site.tlsa.get(str(host.name), Known())
    return exchangers.wanted(shown, coming(site), known, _is_replaced(site))


def coming(site: Site) -> list[str]:
    """Return the digests of the keys that come next, each once."""
    return list(dict.fromkeys(digest.lower() for digest in site.of(Variables).mail_tlsa_next))


def _is_replaced(site: Site) -> bool:
    """Tell whether somebody else brings the certificate, and that of the site's CA is there until then."""
    brought = site.of(Files).mail_certificates.get(PUBLIC)
    return PUBLIC in site.of(Acme).mail_acme or bool(brought and brought.hook)

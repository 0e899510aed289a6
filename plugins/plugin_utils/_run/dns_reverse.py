# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reverse records (PTR): other servers ask for the name of an address that sends, and whether the name leads back."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, is_private, published
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.relayhost import Variables as Relay
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_compare import canonical
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Row, row, unknown
from ansible_collections.postamt.mail.plugins.plugin_utils._run.spf import Ask


def wanted(site: Site) -> list[Record]:
    """Return the name that each public address should have from which the site sends; owner: the address."""
    if site.of(Relay).mail_relayhost is not None:
        return []  # others see the relay's address
    return [
        Record(address, "PTR", f"{host.name}.")
        for host in site.senders
        for address in published(host)
        if not is_private(address)
    ]


def questions(records: Iterable[Record]) -> list[tuple[str, str]]:
    found = []
    for record in records:
        found += [(reverse(record.owner), "PTR"), (record.data.rstrip("."), forward(record.owner))]
    return found


def compare(record: Record, ask: Ask) -> Row:
    name, kind = record.data.rstrip("."), forward(record.owner)
    answer = ask(reverse(record.owner), "PTR")
    if answer.status == "unknown":
        return unknown(record, answer)
    if not answer.values:
        return row(record, "missing")
    if name not in [value.rstrip(".").lower() for value in answer.values]:
        return row(record, "different", answer.values)
    back = ask(name, kind)
    if back.status == "unknown":
        return row(record, "unknown", note=f"whether {name} leads back to it: {back.why}")
    if record.owner in [canonical(kind, value) for value in back.values]:
        return row(record, "right")
    return row(record, "different", answer.values, f"{name} has no {kind} record that leads back to it")


def forward(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def reverse(address: str) -> str:
    """Return the name at which the DNS has an address's name."""
    return ipaddress.ip_address(address).reverse_pointer

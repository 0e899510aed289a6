# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS reports: other servers write what went wrong when they sent mail to the site over TLS (RFC 8460)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, mailto, text
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Recipient


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_tls_reports: Recipient | None = var(
        "To whom other servers write once a day how their TLS connections to the site went.", None,
        example="tls-reports@example.org",
    )  # fmt: skip


def dns(site: Site, domain: str) -> Iterator[Record]:
    reader = site.of(Variables).mail_tls_reports
    if reader:
        yield text(f"_smtp._tls.{domain}", f"v=TLSRPTv1; rua={mailto(reader)}")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DMARC: what other servers do with mail that only claims to come from the site's domains (RFC 7489)."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, mailto, text
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Recipient


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_dmarc_policy: t.Literal["none", "quarantine", "reject"] = var(
        "What other servers do with mail in the site's domains that passes neither SPF nor DKIM: take it, treat it as "
        "spam, or refuse it.", "none",
    )  # fmt: skip
    mail_dmarc_reports: Recipient | None = var(
        "To whom other servers write once a day what they saw (rua).", None, example="dmarc@example.org"
    )


def dns(site: Site, domain: str) -> Iterator[Record]:
    """Return the domain's policy; where reports on other domains come here, also that they are wanted (7.1)."""
    said = site.of(Variables)
    words = ["v=DMARC1", f"p={said.mail_dmarc_policy}"]
    if said.mail_dmarc_reports:
        words.append(f"rua={mailto(said.mail_dmarc_reports)}")
    yield text(f"_dmarc.{domain}", "; ".join(words))
    if domain == _reader(site):
        yield from (text(f"{other}._report._dmarc.{domain}", "v=DMARC1") for other in site.domains if other != domain)


def dns_warnings(site: Site) -> Iterator[str]:
    reader = _reader(site)
    if reader and reader not in site.domains:
        yield (
            f"reports of DMARC go to {reader}, which is no domain of the site: they come only if its zone has a record "
            f'DOMAIN._report._dmarc.{reader} TXT "v=DMARC1" for each domain of the site'
        )


def _reader(site: Site) -> str:
    return str(site.of(Variables).mail_dmarc_reports or "").rpartition("@")[2]

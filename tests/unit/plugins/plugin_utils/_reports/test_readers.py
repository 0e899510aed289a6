# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""To which mailboxes reports lead, and which months' reports arrive when."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._reports import months
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.readers import Readers, readers

ANNA = "anna@example.org"


def found(dmarc: str = "", tls: str = "", **more: t.Any) -> Readers:
    said = {"mail_dmarc_reports": dmarc or None, "mail_tls_reports": tls or None, **more}
    variables = {"mail_domains": ["example.org"], **{name: value for name, value in said.items() if value}}
    return readers(parse_site(variables, {"mail.example.org": HostInput()}, compose.concerns().values()))


@pytest.mark.parametrize(
    ("address", "more", "mailboxes", "elsewhere"),
    [
        (ANNA, {"mail_accounts": [{"address": ANNA}]}, [ANNA], []),
        ("anna+dmarc@example.org", {"mail_accounts": [{"address": ANNA}]}, [ANNA], []),
        ("a@example.org", {"mail_accounts": [{"address": ANNA, "aliases": ["a@example.org"]}]}, [ANNA], []),
        ("postmaster@example.org", {"mail_accounts": [{"address": ANNA}]}, [ANNA], []),
        ("made-later@example.org", {}, ["made-later@example.org"], []),
        ("us@example.net", {}, [], ["us@example.net"]),
        (
            "r@example.org",
            {"mail_accounts": [{"address": ANNA}], "mail_aliases": {"r@example.org": [ANNA, "us@example.net"]}},
            [ANNA],
            ["us@example.net"],
        ),
        (ANNA, {"mail_accounts": [{"address": ANNA, "forward": ["x@example.net"]}]}, [], ["x@example.net"]),
        (
            ANNA,
            {"mail_accounts": [{"address": ANNA, "forward": ["x@example.net"], "keep_copy": True}]},
            [ANNA],
            ["x@example.net"],
        ),
        (ANNA, {"mail_accounts_backend": "system", "mail_accounts": [{"address": ANNA}]}, ["anna"], []),
    ],
)
def test_where_an_address_leads(
    address: str, more: dict[str, t.Any], mailboxes: list[str], elsewhere: list[str]
) -> None:
    assert found(address, **more) == Readers({"mail_dmarc_reports": address}, mailboxes, elsewhere)


def test_one_mailbox_for_both_is_read_once() -> None:
    both = found("d@example.org", "t@example.org", mail_accounts=[{"address": ANNA}],
                 mail_aliases={"d@example.org": [ANNA], "t@example.org": [ANNA]})  # fmt: skip
    assert both.addresses == {"mail_dmarc_reports": "d@example.org", "mail_tls_reports": "t@example.org"}
    assert both.mailboxes == [ANNA]


def test_nobody_reads_what_nobody_asks_for() -> None:
    assert found() == Readers({}, [], [])


@pytest.mark.parametrize(
    ("today", "two"), [("2026-01-01", ["2025-12", "2026-01"]), ("2026-12-31", ["2026-11", "2026-12"])]
)
def test_the_latest_months(today: str, two: list[str]) -> None:
    assert months.latest(datetime.date.fromisoformat(today)) == two


@pytest.mark.parametrize(
    ("chosen", "days"),
    [
        (["2026-11"], ("2026-10-31", "2026-12-09")),
        (["2026-01", "2025-12"], ("2025-11-30", "2026-02-09")),
        (["2024-02"], ("2024-01-31", "2024-03-09")),
    ],
)
def test_when_they_arrive(chosen: list[str], days: tuple[str, str]) -> None:
    assert months.arrival(chosen) == days

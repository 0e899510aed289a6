# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""To whom a stranger's domain may have TLS reports sent, and what one domain does to the others."""

from __future__ import annotations

import logging

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._programs.postamt_tls_reports import (
    MOST,
    alone,
    destinations,
    name_by_host,
    one_pass,
)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("rua=mailto:tls@example.net", ["mailto:tls@example.net"]),
        ("rua=mailto:a@example.net,mailto:b@example.org", ["mailto:a@example.net", "mailto:b@example.org"]),
        (" rua=mailto:a@example.net , mailto:b@example.org ;", ["mailto:a@example.net", "mailto:b@example.org"]),
        ("x=1; rua=mailto:tls@example.net; y=2", ["mailto:tls@example.net"]),
        ("rua=mailto:tls%2Bx@example.net", ["mailto:tls+x@example.net"]),
        ("rua=MAILTO:Tls.Reports-1_2@Mail.Example.NET", ["mailto:Tls.Reports-1_2@Mail.Example.NET"]),
        ("rua=https://report.example.net/tls,mailto:tls@example.net", ["mailto:tls@example.net"]),
    ],
)  # fmt: skip
def test_plain_addresses_get_reports(said: str, wanted: list[str]) -> None:
    assert destinations(f"v=TLSRPTv1;{said}") == wanted


def test_an_address_counts_once_and_few_of_many() -> None:
    """tlsrpt-reportd ends at an address that comes twice, and would send to each of a hundred."""
    assert destinations("v=TLSRPTv1; rua=mailto:a@example.net,mailto:A@Example.net") == ["mailto:a@example.net"]
    many = ",".join(f"mailto:a{number}@example.net" for number in range(100))
    assert destinations(f"v=TLSRPTv1; rua={many}") == [f"mailto:a{number}@example.net" for number in range(MOST)]


@pytest.mark.parametrize(
    "uri",
    [
        "https://10.0.0.1/admin",
        "https:report.example.net",
        "file:///etc/passwd",
        "directory:/etc",
        "mailto:root",
        "mailto:root@localhost",
        "mailto:a@192.0.2.1",
        "mailto:a@[192.0.2.1]",
        "mailto:a@example.net?cc=b@example.org",
        "mailto:a@example.net!10m",
        "mailto:a@example.net b@example.org",
        "mailto:a@example.net%0aBcc:b@example.org",
        "mailto:a@example.net\nBcc: b@example.org",
        "mailto:a%40example.org@example.net",
        "mailto:a%25example.org@example.net",
        "mailto:example.org!a@example.net",
        "mailto:-oQ/tmp@example.net",
        "mailto:|sh@example.net",
        'mailto:"a b"@example.net',
        "mailto:<a@example.net>",
        "mailto:group:a@example.net",
        "mailto:ä@example.net",
        "mailto:  @example.net",
        "mailto:a@ex ample.net",
        "mailto:a@example.123",
        "mailto:a@-example.net",
        "mailto:a@example..net",
        f"mailto:{'a' * 65}@example.net",
        f"mailto:a@{'a' * 64}.net",
        f"mailto:a@{'a.' * 127}net",
        "mailto:",
        "",
    ],
)
def test_nothing_else_is_an_address(uri: str) -> None:
    assert destinations(f"v=TLSRPTv1; rua={uri}") == []
    assert destinations(f"v=TLSRPTv1; rua={uri},mailto:tls@example.net") == ["mailto:tls@example.net"]


@pytest.mark.parametrize(
    "record",
    [
        "",
        "v=TLSRPTv1",
        "v=TLSRPTv2; rua=mailto:a@example.net",
        "rua=mailto:a@example.net",
        "v=TLSRPTv1; rua",
        "v=TLSRPTv1; ruf=mailto:a@example.net",
    ],
)
def test_other_records_name_nobody(record: str) -> None:
    assert destinations(record) == []


class Reportd:
    """What the command needs of tlsrpt-reportd. broken: a domain whose report cannot be made."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.con, self.did = broken, self, list[str]()

    def __getattr__(self, step: str) -> object:
        return lambda: self.did.append(step)

    def create_report_for(self, day: str, domain: str) -> str:
        if domain == self.broken:
            raise ValueError("odd")
        return f"{day} {domain}"

    def report_id(self, day: str, number: int, domain: str) -> str:
        return f"{day}_{number}_{domain}"

    def create_report_filename(self, domain: str, day: str, number: object) -> str:
        return f"{domain}!{day}!{number}.json.gz"


def test_a_pass_does_each_step_once() -> None:
    reportd = Reportd()
    assert one_pass(reportd) == 0
    steps = ["check_day", "collect_domains", "fetch_data", "create_reports", "send_out_reports", "commit"]
    assert reportd.did == steps


def test_a_domain_that_cannot_be_reported_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    tried = alone(Reportd.create_report_for, "failed")
    with caplog.at_level(logging.ERROR):
        assert tried(Reportd("bad.example"), "2026-11-27", "bad.example") == "failed"
        assert tried(Reportd("bad.example"), "2026-11-27", "good.example") == "2026-11-27 good.example"
    assert [record.getMessage() for record in caplog.records] == ["('2026-11-27', 'bad.example'): ValueError odd"]


def test_reports_of_two_hosts_have_two_numbers() -> None:
    found = []
    for host in ("mx1.example.org", "mx2.example.org"):

        class Daemon(Reportd):
            pass

        name_by_host(Daemon, host)
        found.append((Daemon().report_id("d", 1, "x"), Daemon().create_report_filename("x", "d", 1)))
    assert [number for number, _name in found] == ["d_1_x_mx1.example.org", "d_1_x_mx2.example.org"]
    names = {name for _number, name in found}
    assert len(names) == 2
    assert all(name.split("!")[2].partition(".")[0].isalnum() for name in names)

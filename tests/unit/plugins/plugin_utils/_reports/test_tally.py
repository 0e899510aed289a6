# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports as the large reporters send them, added up."""

from __future__ import annotations

import base64
import gzip
import typing as t
from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.table import WIDTH, table
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.tally import Tally
from ansible_collections.postamt.mail.tests.lib import reports
from ansible_collections.postamt.mail.tests.lib.reports import dmarc, failure, policy, record, tls

OWN = {"192.0.2.25", "2001:db8::25"}


def tally(*contents: bytes, months: t.Iterable[str] = ("2026-11",)) -> Tally:
    found = Tally(["example.test", "example.net"], OWN, list(months))
    for number, content in enumerate(contents):
        found.add(f"file {number}", content)
    return found


def sources(found: Tally, domain: str = "example.test") -> list[dict[str, t.Any]]:
    listed: list[dict[str, t.Any]] = found.data()["months"]["2026-11"][domain]["dmarc"]["sources"]
    return listed


@pytest.mark.parametrize(
    "pack",
    [
        reports.by_google, reports.by_microsoft, reports.by_yahoo, lambda xml: xml, gzip.compress, reports.zipped,
        lambda xml: gzip.compress(xml[:100]) + gzip.compress(xml[100:]),
    ],
    ids=["google", "microsoft", "yahoo", "xml", "gzip", "zip", "gzip in two pieces"],
)  # fmt: skip
def test_each_way_of_packing(pack: Callable[[bytes], bytes]) -> None:
    found = tally(pack(dmarc(record(count=3), record("198.51.100.7", 2, "fail", "fail"))))
    assert found.broken == [] and found.read == 1
    assert [(one["address"], one["own"], one["messages"], one["failed"]) for one in sources(found)] == [
        ("198.51.100.7", False, 2, 2),
        ("192.0.2.25", True, 3, 0),
    ]


@pytest.mark.parametrize(
    "xml",
    [
        dmarc(root='feedback xmlns="http://dmarc.org/dmarc-xml/0.1"'),
        dmarc(root='feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"'),
        dmarc(root='d:feedback xmlns:d="x"').replace(b"</d:feedback>", b"</d:feedback>\n\n"),
        dmarc(head=""),
        dmarc(head="\ufeff<?xml version='1.0'?><!-- by hand -->"),
        dmarc(head='<?xml version="1.0" encoding="utf-16"?>', encoding="utf-16"),
        dmarc(head='<?xml version="1.0" encoding="windows-1252"?>', reporter="M\u00fcller", encoding="windows-1252"),
        dmarc(domain="Example.TEST."),
        dmarc(domain="news.example.test"),
        dmarc(record(source=" ::ffff:192.0.2.25 ", count=" 1 ", dkim="Pass")),
        dmarc(reporter=""),  # there is an address
        dmarc(reporter="\xff", encoding="latin-1"),  # says that it is UTF-8
        dmarc(head='<?xml version="1.0" encoding="utf-16"?>'),  # .NET does so
        b"\r\n " + dmarc(),
        dmarc(root="feedback xsi:noNamespaceSchemaLocation='x'"),  # and says nowhere what xsi is
        dmarc(domain=f"{'a' * 60}.{'b' * 60}.example.test"),
    ],
)
def test_each_way_of_writing(xml: bytes) -> None:
    found = tally(xml)
    assert found.broken == []
    assert [(one["address"], one["own"], one["passed"]) for one in sources(found)] == [("192.0.2.25", True, 1)]


def test_one_aligned_check_is_enough_to_pass() -> None:
    found = tally(
        dmarc(
            record(count=10),
            record(count=5, dkim="fail"),
            record(count=3, spf="fail"),
            record(count=2, dkim="fail", spf="fail", disposition="reject"),
            record(count=1, dkim="fail", spf="none", disposition="quarantine"),
        )
    )
    (source,) = sources(found)
    assert {word: source[word] for word in ("messages", "dkim_pass", "spf_pass", "passed", "failed")} == {
        "messages": 21, "dkim_pass": 13, "spf_pass": 15, "passed": 18, "failed": 3,
    }  # fmt: skip
    assert (source["rejected"], source["quarantined"]) == (2, 1)


def test_a_report_that_comes_twice_counts_once() -> None:
    found = tally(dmarc(), reports.by_google(dmarc()), dmarc(reporter="Google.com"), dmarc(number="4712"), tls(), tls())
    assert sources(found)[0]["messages"] == 2
    assert (found.read, found.left_out.duplicates) == (3, 3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (dmarc(number="example.test"), dmarc(number="example.test", begin=reports.BEGIN + reports.DAY)),
        (dmarc(number="a" * 90 + "1"), dmarc(number="a" * 90 + "2")),
        (tls(policy(domain="example.test")), tls(policy(domain="example.net"))),
        (dmarc(reporter="google.com"), dmarc(reporter="Yahoo")),
    ],
    ids=["other day", "long number", "other domain", "other reporter"],
)
def test_a_number_that_several_reports_have(one: bytes, other: bytes) -> None:
    found = tally(one, other, other + b"\n")
    assert (found.read, found.left_out.duplicates, found.broken) == (2, 1, [])


NO_DOMAIN = policy("no-policy-found", 4)  # as Postfix counts it
del NO_DOMAIN["policy"]["policy-domain"]
FILE = "mx.example!example.test!1793750400!1793836799!1.json.gz"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("by its message", reports.by_tls_reporter(tls(NO_DOMAIN))),
        (FILE, gzip.compress(tls(NO_DOMAIN))),
        ("by its attachment", reports.by_tls_reporter(tls(NO_DOMAIN)).replace(b"TLS-Report-Domain:", b"X-Not:")),
        ("about a host", reports.by_tls_reporter(tls(policy("tlsa", 4, domain="mx.hoster.example")))),
    ],
)  # fmt: skip
def test_a_tls_report_is_about_the_domain_that_its_message_names(name: str, content: bytes) -> None:
    found = tally()
    found.add(name, content)
    assert found.broken == [] and found.left_out.foreign == 0
    assert [one["successful"] for one in found.data()["months"]["2026-11"]["example.test"]["tls"]] == [4]


def test_a_logo_beside_a_report_is_no_report() -> None:
    logo = b"Content-Type: image/svg+xml; name=logo.xml\n\n<?xml version='1.0'?><svg/>\n--x\n"
    report = b"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(
        gzip.compress(dmarc())
    )
    found = tally(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n" + logo + report + b"\n--x--\n")
    assert (found.read, found.broken) == (1, [])


def test_a_tls_report_without_a_count_of_failures() -> None:
    said = policy("sts", 4)
    del said["summary"]["total-failure-session-count"]
    found = tally(tls(said))
    assert "TLS, example.test: 4 sessions, 0 failed" in table(found)


def test_a_tls_report_without_any_domain() -> None:
    found = tally(tls(NO_DOMAIN), reports.by_tls_reporter(tls(policy("sts", domain="mx.hoster.example"))))
    assert found.broken == [("file 0", "has no policy-domain")] and found.left_out.foreign == 1


def test_other_domains_and_other_months_are_left_out_and_counted() -> None:
    found = tally(
        dmarc(domain="evil.example"),
        dmarc(domain="notexample.test"),
        dmarc(domain="test"),
        tls(policy(domain="evil.example")),
        dmarc(begin=reports.BEGIN - 31 * reports.DAY),
        b"Subject: hello\n\nhello\n",
    )
    assert found.data()["months"] == {"2026-11": {}}
    assert (found.left_out.foreign, found.left_out.other_months, found.left_out.without_report) == (4, 1, 1)
    assert "no reports" in table(found)


def test_a_day_that_begins_in_another_zone_belongs_to_its_month() -> None:
    first = 1793491200  # 2026-11-01
    begin = first - 7 * 3600
    assert tally(dmarc(begin=begin, end=begin + reports.DAY)).read == 1
    assert tally(dmarc(begin=first - 17 * 3600, end=first + 7 * 3600 - 1)).left_out.other_months == 1


@pytest.mark.parametrize(
    "pack",
    [
        reports.by_tls_reporter, lambda document: reports.by_tls_reporter(document, packed=False), gzip.compress,
        lambda document: document, lambda document: b"\xef\xbb\xbf" + document,
    ],
    ids=["gzip", "json", "file", "plain", "bom"],
)  # fmt: skip
def test_tls_reports(pack: Callable[[bytes], bytes]) -> None:
    document = tls(
        policy("sts", 90, 3, details=[failure(count=2), failure("starttls-not-supported", "1")]),
        policy("tlsa", "5"),
        policy("no-policy-found", 7),
        policy("new", 1, domain="example.net"),
        policy("sts", 1000, domain="evil.example"),
    )
    found = tally(pack(document))
    assert found.broken == []
    domains = found.data()["months"]["2026-11"]
    assert [(one["policy"], one["successful"], one["failed"]) for one in domains["example.test"]["tls"]] == [
        ("sts", 90, 3), ("no-policy-found", 7, 0), ("tlsa", 5, 0),
    ]  # fmt: skip
    assert domains["example.test"]["tls"][0]["failures"] == [
        {"type": "certificate-expired", "receiver": "mail.example.test", "sessions": 2},
        {"type": "starttls-not-supported", "receiver": "mail.example.test", "sessions": 1},
    ]
    assert domains["example.net"]["tls"][0]["policy"] == "other"


def test_the_table() -> None:
    found = tally(
        dmarc(
            record(count=1180),
            record(
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 12, "fail", "fail", disposition="reject", domain="x.example"
            ),
            record("203.0.113.9", 40, "pass", "fail"),
        ),
        dmarc(reporter="Yahoo", domain="example.net"),
        tls(policy("sts", 90, 3, details=[failure(count=3)]), policy("tlsa", 5)),
        b"\x1f\x8bbroken",
        months=("2026-10", "2026-11"),
    )
    text = table(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    order = [
        "Month 2026-10: no reports", "Month 2026-11", "DMARC, example.net: 1 message, 1 passed, 0 failed",
        "DMARC, example.test: 1232 messages, 1220 passed, 12 failed", "reported by google.com", "unknown sources",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "signed or sent as example.test, x.example", "203.0.113.9",
        "addresses of the site", "192.0.2.25", "TLS, example.test: 98 sessions, 3 failed", "Google Inc.",
        "3 x certificate-expired at mail.example.test", "3 reports read", "  file 3\n    has a gzip file that is ",
    ]  # fmt: skip
    place = 0
    for words in order:
        place = text.index(words, place)


def test_many_sources_and_reporters_stay_a_table() -> None:
    found = tally(
        *(
            dmarc(
                *(record(f"198.51.{third}.{last}", 2, "fail") for last in range(100)), reporter=f"{third} " + "x" * 90
            )
            for third in range(30)
        ),
        *(
            tls(policy("sts", 1, 1, details=[failure("k" * 300 + str(n))]), organization_name=f"T{n}")
            for n in range(30)
        ),
        dmarc(record(count=10**12), record("203.0.113.1", 10**12, "fail", "fail"), number="large"),
        *(b"\x1f\x8b" for _ in range(70)),
    )
    text = table(found)
    assert "2981 more" in text and "and 20 more" in text and "10 more" in text
    assert " 1000000000000 " in text
    assert len(text.splitlines()) < 230
    assert max(map(len, text.splitlines())) <= WIDTH

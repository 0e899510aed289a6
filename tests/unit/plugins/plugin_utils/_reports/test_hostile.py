# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of strangers who mean harm, or write what is no report: one line each, in little time and memory."""

from __future__ import annotations

import base64
import gzip
import json
import time
import tracemalloc
import typing as t
import zipfile

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._reports import tally as tally_of
from ansible_collections.postamt.mail.plugins.plugin_utils._reports import tls_json, unpack
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.facts import Broken
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.table import WIDTH, table
from ansible_collections.postamt.mail.plugins.plugin_utils._reports.tally import Tally
from ansible_collections.postamt.mail.tests.lib import reports
from ansible_collections.postamt.mail.tests.lib.reports import dmarc, failure, policy, record, tls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BOMB = gzip.compress(b"<feedback>" + b" " * (300 << 20))
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
OUTSIDE = '<!DOCTYPE feedback SYSTEM "file:///etc/passwd">'
LINE_1 = "has XML that cannot be read (line 1)"
LONG_FIELD = "has a field of more than 16384 characters in a header"
NO_TIME = dict.fromkeys(("start-datetime", "end-datetime"), "9999-12-31T23:59:59-23:59")
ENTITY = '<!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


def tally(*contents: bytes) -> Tally:
    found = Tally(["example.test"], set(), ["2026-11"])
    for content in contents:
        found.add("it", content)
    return found


def mail(content: bytes, kind: str = "application/gzip") -> bytes:
    packed = base64.encodebytes(content)
    return b"Subject: x\nContent-Type: " + kind.encode() + b"\nContent-Transfer-Encoding: base64\n\n" + packed


def why(content: bytes) -> str:
    """Return what is said of one broken file."""
    found = tally(content)
    assert found.read == 0
    ((_name, said),) = found.broken
    return said


def without(word: str, xml: bytes) -> bytes:
    start, end = xml.index(f"<{word}>".encode()), xml.index(f"</{word}>".encode())
    return xml[:start] + xml[end + len(word) + 3 :]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "unpacks to more than 20 MB"),
        (mail(BOMB), "unpacks to more than 20 MB"),
        (reports.zipped(b"<feedback>" + b" " * (30 << 20)), "unpacks to more than 20 MB"),
        (reports.zipped(*[b"<feedback>" + b" " * (11 << 20)] * 2), "unpacks to more than 20 MB"),
        (reports.zipped(*[b"<feedback/>"] * 21), "has a zip file with more than 20 files"),
        (reports.zipped(), "has a zip file with nothing in it"),
        (reports.zipped(reports.zipped(dmarc())), "has an archive in an archive"),
        (gzip.compress(gzip.compress(dmarc())), "has an archive in an archive"),
        (gzip.compress(reports.zipped(dmarc())), "has an archive in an archive"),
        (reports.zipped(dmarc(), method=zipfile.ZIP_LZMA), "has a zip file that is packed in an unusual way"),
        (reports.zipped(dmarc(), method=zipfile.ZIP_BZIP2), "has a zip file that is packed in an unusual way"),
        (reports.zipped(b"MZ\0\0"), "has an archive without XML or JSON"),
        (reports.zipped(dmarc())[:-30], "has a zip file that is damaged"),
        (reports.zipped(dmarc())[:60] + b"\0" * 20 + reports.zipped(dmarc())[80:], "has a zip file that is damaged"),
        (gzip.compress(dmarc())[:-20], "has a gzip file that is cut off"),
        (gzip.compress(dmarc())[:-8] + b"\0" * 8, "has a gzip file that is damaged"),
        (b"\x1f\x8b", "has a gzip file that is cut off"),
        (gzip.compress(b""), "has an archive without XML or JSON"),
        (mail(b"hello"), "has an attachment that is neither gzip, zip, XML nor JSON"),
        (b" " * ((10 << 20) + 1), "is larger than 10 MB"),
        (b"Subject: x\n" * 500_001, "has more lines or parts than a report"),
        (
            b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(1000)),
            "has more lines or parts than a report",
        ),
        (b"Content-Type: message/rfc822\n\n" * 10_000, "is no message that can be read"),
        (b"Content-Type: text/xml" + b"; a=b" * 10**6, LONG_FIELD),
        (b"Content-Type: text/xml" + b"\n ; a=b" * 4 * 10**5, LONG_FIELD),
        (b'X: y\nContent-Type: text/xml; name="' + b"=?utf-8?q?x?= " * 10**5 + b'"', LONG_FIELD),
        (
            b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\nx\n" * 100 + b"--x--\n",
            "has more than 20 parts",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_unpacked(content: bytes, said: str) -> None:
    assert why(content) == said


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (dmarc(head=LAUGHS, reporter="&j;"), "has XML with a document type (DOCTYPE), which no report needs"),
        (dmarc(head=OUTSIDE), "has XML with a document type (DOCTYPE), which no report needs"),
        (dmarc(head=ENTITY, reporter="&x;"), "has XML with a document type (DOCTYPE), which no report needs"),
        (dmarc(head="<!DOCTYPE html>", root="html"), "has XML with a document type (DOCTYPE), which no report needs"),
        (dmarc(reporter="&x;"), "has XML that cannot be read (line 4)"),
        (dmarc(root="html", head="<?xml version='1.0'?>"), "has XML that is no DMARC report"),
        (dmarc()[:-20], "has XML that cannot be read (line 26)"),
        (dmarc(head="<?xml version='1.0' encoding='utf-8'?>", encoding="utf-16"), LINE_1),
        (dmarc(head='<?xml version="1.0" encoding="x-none"?>'), "has XML in an encoding that cannot be read"),
        (b"<feedback>" * 100_000, "has XML with too many elements within elements"),
        (gzip.compress(b"<feedback>" + b"<a/>" * (4 << 20)), "has XML with more than 1000000 elements"),
        (dmarc(reporter="x" * 5000), "has a text of more than 4096 characters"),
        (without("report_id", dmarc()), "has no report_id"),
        (without("email", dmarc(reporter=" \t ")), "has no name of who reports (org_name)"),
        (without("begin", dmarc()), "has no number as begin of its time"),
        (without("domain", dmarc()), "has no domain"),
        (dmarc(domain="a..b"), "has no domain as domain"),
        (dmarc(domain="\x85\u202eexample.test"), "has no domain as domain"),
        (without("source_ip", dmarc()), "has no source address"),
        (dmarc(record(source="mail.example.test")), "has a source that is no IP address"),
        (dmarc(record(source="fe80::1%\u202eevil")), "has a source that is no IP address"),
        (without("count", dmarc()), "has no number as count of messages"),
        (dmarc(record(count=-1)), "has no number as count of messages"),
        (dmarc(record(count="1e3")), "has no number as count of messages"),
        (dmarc(record(count="9" * 4000)), "has no number as count of messages"),
        (dmarc(record(count="\u0663")), "has no number as count of messages"),
        (dmarc(begin=0), "has a time that cannot be"),
        (dmarc(end=reports.BEGIN - 1), "has a time that cannot be"),
        (dmarc(end=reports.BEGIN + 60 * reports.DAY), "has a time that cannot be"),
        (dmarc(begin=999_999_000_000), "has a time that cannot be"),
    ],
)  # fmt: skip
def test_what_is_no_dmarc_report(xml: bytes, said: str) -> None:
    assert why(xml) == said


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "has JSON that cannot be read"),
        (b'{"a":' + b"[" * 1_000_000, "has JSON that cannot be read"),
        (b'{"a":' * 500_000, "has JSON that cannot be read"),
        (b'{"a": 1' + b"0" * 10_000 + b"}", "has JSON that cannot be read"),
        (b'{"policies": NaN}', "has JSON that cannot be read"),
        (b'{"a": "\xff"}', "has JSON that cannot be read"),
        (gzip.compress(b'{"a": [' + b"[]," * (2 << 20) + b"[]]}"), "has more than 4 MB of JSON"),
        (b"{}", "has JSON that is no TLS report"),
        (tls(date_range=None), "has no date-range"),
        (tls(date_range={}), "has no date-range"),
        (tls(date_range={"start-datetime": "yesterday"}), "has a time that cannot be"),
        (tls(date_range=NO_TIME), "has a time that cannot be"),
        (tls(organization_name=7), "has no organization-name"),
        (tls(report_id=None), "has no report-id"),
        (tls(policies={}), "has no list of at most 1000 as policies"),
        (tls(*[policy()] * 1001), "has no list of at most 1000 as policies"),
        (tls(7), "has something else than mappings in policies"),
        (tls({"policy": []}), "has a policy without policy or summary"),
        (tls(policy(domain=None)), "has no policy-domain"),
        (tls(policy(successful=True)), "has no number as count of successful sessions"),
        (tls(policy(failed=-1)), "has no number as count of failed sessions"),
        (tls(policy(failed=1.5)), "has no number as count of failed sessions"),
        (tls(policy(failed=10**13)), "has no number as count of failed sessions"),
        (tls(policy(details=[failure(count=None)])), "has no number as count of failed sessions"),
        (tls(policy(details=[failure(kind="")])), "has no result-type"),
        (tls(policy(details="x")), "has no list of at most 1000 as failure-details"),
    ],
)  # fmt: skip
def test_what_is_no_tls_report(document: bytes, said: str) -> None:
    assert why(document) == said


def test_a_policy_of_a_strange_type_is_another_one() -> None:
    for kind in (None, 7, ["sts"], "\x1b[31m"):
        assert [one.kind for one in tls_json.read(tls(policy(t.cast(str, kind)))).policies] == ["other"]


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    evil = "\x1b[31m\x07\u202e\u2028\x9b\r\nMonth 2026-11"
    written = evil.replace("\x1b", "").replace("\x07", "")  # XML has no such characters
    found = tally(
        dmarc(record("198.51.100.7", 1, "fail", "fail", domain=written, envelope="\x9b2J"), reporter=written),
        tls(policy(failed=1, details=[{**failure(evil), "receiving-mx-hostname": evil}]), organization_name=evil),
        f"Subject: {evil}\nContent-Type: application/gzip; name={evil}\n\nx".encode(),
    )
    assert found.read == 2
    found.note(evil, "is broken")
    for text in (table(found), json.dumps(found.data(), ensure_ascii=False)):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "\nMonth 2026-11" not in table(found).replace("Month 2026-11\n\nDMARC", "")


def test_a_claim_is_one_name() -> None:
    found = tally(dmarc(record("198.51.100.7", 2, "fail", "fail", domain="a.example, b.example", envelope="run this")))
    assert found.read == 1 and "signed or sent as" not in table(found)


def test_little_time_and_memory() -> None:
    many = dmarc(*(record(f"198.51.{n >> 8 & 255}.{n & 255}", n) for n in range(20_000)))
    tracemalloc.start()
    begin = time.monotonic()
    found = tally(BOMB, mail(gzip.compress(b"<feedback>" + b"<a/>" * (5 << 20))), gzip.compress(many))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - begin < 60
    assert peak < 200 << 20
    assert len(found.broken) == 2 and found.read == 1


def test_made_up_names_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_of, "_MOST", 30)
    letters = [
        dmarc(*(record(f"198.51.{n}.{last}", 2, "fail", "fail", domain=f"{n}-{last}.example") for last in range(20)),
              record("192.0.2.25", 5), reporter=f"r{n}")
        for n in range(50)
    ]  # fmt: skip
    details = [failure(f"kind-{number}") for number in range(900)]
    found = Tally(["example.test"], {"192.0.2.25"}, ["2026-11"])
    for content in [
        *letters,
        *(tls(policy("sts", 1, 900, details=details), organization_name=f"T{n}") for n in range(50)),
    ]:
        found.add("it", content)
    said = found.data()["months"]["2026-11"]["example.test"]
    assert (found.read, len(said["dmarc"]["sources"]), len(said["dmarc"]["reporters"])) == (100, 32, 31)
    numbers = {one["address"]: one["messages"] for one in said["dmarc"]["sources"]}
    assert (numbers["others"], numbers["192.0.2.25"], sum(numbers.values())) == (970 * 2, 250, 2250)
    assert len(said["tls"]) == 1 and len(said["tls"][0]["failures"]) == 21
    assert sum(one["sessions"] for one in said["tls"][0]["failures"]) == 900 * 50
    assert max(len(one["domains"]) for one in said["dmarc"]["sources"]) == 10
    assert max(map(len, table(found).splitlines())) <= WIDTH


def changed(content: bytes, cuts: list[tuple[int, bytes]]) -> bytes:
    for place, new in cuts:
        place %= len(content)
        content = content[:place] + new + content[place + max(len(new), 1) :]
    return content


PIECES = st.one_of(st.binary(max_size=8), st.sampled_from([b"<", b"&", b"\0", b"]]>", b'"', b"1e9"]))
CUTS = st.lists(st.tuples(st.integers(0, 10**5), PIECES), min_size=1, max_size=6)
SAMPLES = [
    dmarc(),
    tls(policy(failed=1, details=[failure()])),
    reports.by_google(dmarc()),
    reports.by_microsoft(dmarc()),
    reports.by_tls_reporter(tls()),
    reports.by_tls_reporter(tls(), packed=False),
    gzip.compress(dmarc(), mtime=0),
    reports.zipped(dmarc(), tls()),
]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SAMPLES), CUTS)
def test_a_damaged_report_is_one_line(sample: bytes, cuts: list[tuple[int, bytes]]) -> None:
    found = tally(changed(sample, cuts))
    text = table(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    json.dumps(found.data()).encode("ascii")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(st.text(max_size=9), inside, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_value_in_a_tls_report(data: st.DataObject) -> None:
    """Some value of a right report becomes any other one."""
    said = json.loads(tls(policy(failed=1, details=[failure()])))
    place: t.Any = said
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    try:
        found = tls_json.read(json.dumps(said).encode())
    except Broken as broken:
        assert str(broken).startswith("has ")
    else:
        assert all(one.successful >= 0 for one in found.policies)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    for start in (
        b"",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"<feedback>",
        b"{",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n",
    ):
        try:
            unpack.documents(start + content)
        except Broken:
            continue

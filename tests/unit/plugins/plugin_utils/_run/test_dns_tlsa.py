# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of TLSA records in the DNS, whoever has made them."""

from __future__ import annotations

import time
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Certificate, Known, Shown
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_report, dns_tlsa
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer, Questions
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer

NAME, DOMAIN = "mail.example.org", "example.org"
OWNER = f"_25._tcp.{NAME}"
FIRST, SECOND = (Shown((Certificate(key, key),)) for key in (b"first", b"second"))
OLD = "0" * 64
STOPS = "Servers that use DANE send it no mail"


def site_of(*shown: Shown, **said: t.Any) -> Site:
    found = parse_site({"mail_domains": [DOMAIN], **said}, {NAME: HostInput()}, compose.concerns().values())
    found.port_25 = {NAME: shown}
    return found


class Dns:
    """What resolvers answer. signed: names in signed zones, `.` too where the resolver validates."""

    def __init__(self, *digests: str, signed: t.Collection[str] = (".", NAME, OWNER, DOMAIN), **more: Answer) -> None:
        found = tuple(one if " " in one else f"3 1 1 {one}" for one in digests)
        self.answers = {
            (OWNER, "TLSA"): Answer(OWNER, "TLSA", "found" if found else "none", found),
            (DOMAIN, "MX"): Answer(DOMAIN, "MX", "found", (f"10 {NAME}.",)),
        }
        self.signed = signed

    def __call__(self, name: str, kind: str) -> Answer:
        one = self.answers.get((name, kind), Answer(name, kind, "none"))
        secure = name in self.signed and not (name == OWNER and one.status == "none")
        return Answer(name, kind, one.status, one.values, why=one.why, secure=secure)


def told(site: Site, ask: Dns, serious: bool) -> list[str]:
    return [one.text for one in dns_tlsa.findings(site, ask) if one.serious == serious]


def test_the_right_record_needs_no_word() -> None:
    for site in (site_of(FIRST), site_of(FIRST, mail_tlsa=True)):
        assert dns_tlsa.findings(site, Dns(FIRST.key_digest)) == []
    assert dns_tlsa.findings(site_of(FIRST, SECOND), Dns(FIRST.key_digest, SECOND.key_digest)) == []


@pytest.mark.parametrize("on", [True, False])
def test_a_record_of_no_key_there_stops_mail(on: bool) -> None:
    (said,) = told(site_of(FIRST, mail_tlsa=on), Dns(OLD), serious=True)
    assert said.startswith(
        f"no TLSA record of {NAME} in the DNS fits the key there (SHA-256 {FIRST.key_digest}). {STOPS}"
    )
    (said,) = told(site_of(mail_tlsa=on), Dns(OLD), serious=True)
    assert said.startswith(f"no TLSA record of {NAME} in the DNS fits a certificate: port 25 shows none. {STOPS}")


def test_each_certificate_needs_a_record() -> None:
    (said,) = told(site_of(FIRST, SECOND), Dns(FIRST.key_digest), serious=True)
    assert said.startswith(f"{NAME} also shows a certificate whose key (SHA-256 {SECOND.key_digest}) no TLSA record in")


def test_a_former_key_is_named_and_one_that_comes_is_not() -> None:
    both = Dns(FIRST.key_digest, OLD)
    assert told(site_of(FIRST), both, serious=True) == []
    (said,) = told(site_of(FIRST), both, serious=False)
    extra = f"{NAME} also has the TLSA record 3 1 1 {OLD}, which fits no certificate that it shows"
    assert said == f"{extra}: remove it if its key is a former one"
    assert dns_tlsa.findings(site_of(FIRST, mail_tlsa=True, mail_tlsa_next=[OLD]), both) == []


def test_records_that_no_server_uses_do_not_count() -> None:
    ask = Dns(f"1 1 1 {OLD}", "3 1 9 00", "junk")
    assert told(site_of(FIRST), ask, serious=True) == []


def test_nobody_is_blamed_for_what_is_not_known() -> None:
    site = site_of(FIRST)
    site.port_25 = {}
    (said,) = told(site, Dns(OLD), serious=False)
    assert said == f"not all keys of {NAME} are known, so its TLSA records could not be checked"
    ask = Dns()
    ask.answers[OWNER, "TLSA"] = Answer(OWNER, "TLSA", "unknown", why="SERVFAIL")
    assert told(site_of(FIRST), ask, serious=True) == []
    assert f"nobody could say whether {NAME} has TLSA records (SERVFAIL)" in told(site_of(FIRST), ask, serious=False)[0]
    assert told(site_of(FIRST, mail_tlsa=True), ask, serious=False) == []  # the record's row says it


def test_where_records_have_no_effect_is_told() -> None:
    right, on = FIRST.key_digest, site_of(FIRST, mail_tlsa=True)
    (said,) = told(on, Dns(right, signed=["."]), serious=False)
    assert said == f"the TLSA records of {NAME} have no effect, since the zone is not signed (DNSSEC): sign it"
    (said,) = told(on, Dns(right, signed=[]), serious=False)
    assert said.startswith(f"it is not known whether the zone of {NAME} is signed, since the resolver that was asked")
    (said,) = told(on, Dns(right, signed=[".", NAME, OWNER]), serious=False)
    assert said.startswith(f"the MX record of {DOMAIN} is not signed (DNSSEC), so somebody may lead mail to another")


def test_a_signed_zone_without_records_may_have_some() -> None:
    (said,) = told(site_of(FIRST), Dns(), serious=False)
    assert said.startswith(f"the zone of {NAME} is signed (DNSSEC): with mail_tlsa: true other servers can verify")
    assert dns_tlsa.findings(site_of(FIRST), Dns(signed=["."])) == []


def test_when_the_next_key_may_be_used_is_said() -> None:
    site, now = site_of(FIRST, mail_tlsa=True, mail_tlsa_next=["A" * 64, "a" * 64, FIRST.key_digest]), time.time()
    digest = "a" * 64
    (first, second) = dns_tlsa.next_keys(site, now)
    assert (
        first == f"next key {digest}: the DNS has no TLSA record of it for {NAME} yet: publish it, and run this again"
    )
    assert second == f"next key {FIRST.key_digest}: {NAME} shows it: remove it from mail_tlsa_next"
    site.tlsa = {NAME: Known(frozenset([digest]), {digest: 0}, 43200)}
    assert dns_tlsa.next_keys(site, 5)[0].endswith(
        f"may still know older TLSA records of {NAME}: wait until 1970-01-02 00:00 UTC"
    )
    assert dns_tlsa.next_keys(site, 86400)[0] == f"next key {digest}: {NAME} may use it: run postamt.mail.site"


def test_the_report_has_it_all() -> None:
    site = site_of(FIRST, mail_tlsa=True)
    zone = f"_25._tcp.mail TLSA 3 1 1 {FIRST.key_digest[:30].upper()} {FIRST.key_digest[30:]}\n"
    for lines, status in ((zone, "right"), ("", "missing"), (f"_25._tcp.mail TLSA 3 1 1 {OLD}\n", "different")):
        with DnsServer({DOMAIN: lines}) as server:
            found = dns_report.gather(site, Questions([server.resolver], patience=1))
        (row,) = [row for part in found.parts for row in part.rows if row.kind == "TLSA"]
        assert (row.owner, row.status) == (OWNER, status)
        stops = [one["text"] for one in found.data()["findings"] if one["serious"]]
        assert len(stops) == (status == "different")
        assert all(text in dns_report.table(found) and text in dns_report.refusal(found) for text in stops)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's records against a real name server on loopback: what an administrator is told, and what is sent to it."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from ansible_collections.postamt.mail.plugins.action import dns as action
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_report, zone_files
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Questions
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Row
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer, silent_port
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
ADDRESSES = ("192.0.2.25", "2001:db8::25")
REVERSE = {
    "2.0.192.in-addr.arpa": f"25 PTR {NAME}.",
    "8.b.d.0.1.0.0.2.ip6.arpa": f"5.2.{'0.' * 22} PTR {NAME}.".replace(". PTR", " PTR"),
}


def site(addresses: tuple[str, ...] = ADDRESSES, **more: t.Any) -> Site:
    variables = {"mail_domains": ["example.org"], **more}
    inputs = {NAME: HostInput(look=looked(addresses=list(addresses)))}
    return parse_site(variables, inputs, compose.concerns().values())


def published(of: Site, without: str = "", more: str = "") -> dict[str, str]:
    """Return the zones of somebody who has published all that the site wants, but for lines with a text in them."""
    zones = {}
    for name, text in zone.zones(of).items():
        lines = [line for line in text.splitlines() if not without or without not in line]
        zones[name.removesuffix(".zone")] = "\n".join([*lines, more, ""])
    return {**REVERSE, **zones}


def report(of: Site, zones: dict[str, str], **server: t.Any) -> dns_report.Report:
    with DnsServer(zones, **server) as running:
        return dns_report.gather(of, Questions([running.resolver], patience=1))


def row(found: dns_report.Report, owner: str, kind: str) -> Row:
    return next(one for part in found.parts for one in part.rows if (one.owner, one.kind) == (owner, kind))


def sentences(found: dns_report.Report, serious: bool = True) -> list[str]:
    return [one.text for part in found.parts for one in part.findings if one.serious == serious]


def test_what_is_published_is_right() -> None:
    found = report(site(mail_dmarc_policy="reject"), published(site(mail_dmarc_policy="reject")))
    assert {one.status for part in found.parts for one in part.rows} == {"right"}
    assert (sentences(found), dns_report.refusal(found)) == ([], "")
    assert "All records are right: example.org" in dns_report.table(found)


def test_what_is_missing_comes_first_and_is_named() -> None:
    both = site(mail_domains=["example.net", "example.org"])
    found = report(both, {**published(both), "example.org": published(both, "_dmarc")["example.org"]})
    assert row(found, "_dmarc.example.org", "TXT").status == "missing"
    text = dns_report.table(found)
    assert text.startswith("DNS records of the site: 1 is missing, ")
    assert '  missing    _dmarc.example.org  TXT   "v=DMARC1; p=none"' in text
    assert text.index("_dmarc.example.org") < text.index("All records are right: example.net")
    assert dns_report.refusal(found) == ("dns_strict: of the site's DNS records, 1 is missing (_dmarc.example.org TXT)")


def test_spelling_order_and_ttl_mean_nothing() -> None:
    of = site()
    zones = published(of)
    zones["example.org"] = (
        zones["example.org"]
        .replace("MX 10 mail.example.org.", "MX 5 MAIL.Example.ORG.")
        .replace("2001:db8::25", "2001:0DB8:0:0:0:0:0:25")
        .replace('"v=spf1 mx -all"', '"v=spf1" " +MX -all"')
        .replace('"v=DMARC1; p=none"', '"v=DMARC1;p=none;"')
        .replace("3600", "60")
    )
    found = report(of, zones)
    assert [one for part in found.parts for one in part.rows if one.status != "right"] == []


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [("silent", "no answer within 1 seconds"), ("servfail", "SERVFAIL"), ("refused", "REFUSED")],
)
def test_what_nobody_could_say_is_not_missing(behaviour: str, why: str) -> None:
    found = report(site(), published(site()), behaviour={"_dmarc.example.org": behaviour})
    one = row(found, "_dmarc.example.org", "TXT")
    assert (one.status, one.note) == ("unknown", why)
    assert "1 could not be looked up (_dmarc.example.org TXT)" in dns_report.refusal(found)
    assert "missing" not in dns_report.table(found)


def test_a_dead_resolver_costs_seconds_for_fifty_domains() -> None:
    many = site(mail_domains=[f"d{number}.example.org" for number in range(50)])
    begin = time.monotonic()
    with silent_port() as dead:
        found = dns_report.gather(many, Questions([dead], patience=1))
    assert time.monotonic() - begin < 5
    assert {one.status for part in found.parts for one in part.rows} == {"unknown"}


def test_a_dead_resolver_beside_another_one_is_left_out() -> None:
    many = site(mail_domains=[f"d{number}.example.org" for number in range(50)])
    begin = time.monotonic()
    with silent_port() as dead, DnsServer(published(many)) as running:
        found = dns_report.gather(many, Questions([dead, running.resolver], patience=2))
    assert time.monotonic() - begin < 8
    assert {one.status for one in found.domains[7].rows} == {"right"}


SPF = '"v=spf1 mx -all"'


@pytest.mark.parametrize(
    ("text", "status", "harmless", "sentence"),
    [
        ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", "different", True, ""),
        ("v=spf1 a:mail.example.org -all", "different", True, ""),
        ("v=spf1 include:own.example.org -all", "different", True, ""),
        ("v=spf1 redirect=own.example.org", "different", True, ""),
        ("v=spf1 ip4:192.0.2.25 -all", "different", False, ""),
        ("v=spf1 include:other.example.org -all", "different", False, ""),
        ("v=spf1 mx +all", "different", False, "lets everybody send mail in its name (+all)"),
        ("v=spf1 mx all", "different", False, "lets everybody send mail in its name (+all)"),
        ("v=spf1 mx include:loop.example.org -all", "different", False, "loop.example.org includes itself"),
        ("v=spf1 mx include:none.example.org -all", "different", False, "none.example.org, which has no SPF record"),
        ("v=spf1 mx include:many.example.org -all", "different", False, "needs 13 look-ups"),
        ("v=spf1 mx a:x1.test a:x2.test a:x3.test -all", "different", False, "names 3 names that give nothing"),
        ("v=spf1 mx include:bomb1.example.org -all", "different", False, "needs too many look-ups"),
        ("v=spf1 mx ipv4:192.0.2.1 -all", "different", False, "has the word ipv4:192.0.2.1, which means nothing"),
        ("v=spf1 mx include:deaf.example.org -all", "different", True, ""),
        ("v=spf1 include:deaf.example.org -all", "unknown", False, ""),
        ("v=spf1 redirect=open.example.org", "different", False, "lets everybody send mail in its name, by a net"),
        ("v=spf1 include:open.example.org -all", "different", False, "lets everybody send mail in its name, by a net"),
        ("v=spf1 ip4:0.0.0.0/0 ip6:::/0", "different", False, "lets everybody send mail in its name, by a network"),
        ("v=spf1 include:%{i}._ip.example.org -all", "unknown", False, ""),
        ("v=spf1 exists:%{i}.example.org ~all", "unknown", False, ""),
        ("v=spf1 redirect=%{d2}.example.org", "unknown", False, ""),
        ("v=spf1 mx exists:%{i}.example.org -all", "different", True, ""),
        ("v=spf1 -exists:%{i}.example.org mx -all", "unknown", False, ""),
        ("v=spf1 exists:mail.example.org -all", "different", False, "lets everybody send mail in its name, by a net"),
        ("v=spf1 -all mx", "different", False, ""),
        *(
            (f"v=spf1 mx {word} -all", "different", False, f"has the word {word}, which means nothing")
            for word in [
                "ip4:2001:db8::25",
                "ip6:192.0.2.1",
                "ip4:192.0.2.0/255.255.255.0",
                "ip6:fe80::1%eth0",
                "all:foo",
                "redirect=",
                "mx/024",
                "mx/33",
                "a//129",
                "a:..",
                "a:example.org:25",
                "mx/",
                "include:",
                "-all;",
                "include",
                "ip4",
                "ip4:192.0.2.0/08",
                "exists:%{x}.example.org",
                "a:example.1",
                "ptr/24",
            ]
        ),
        ("v=spf1 mx redirect=own.example.org redirect=own.example.org", "different", False, "more than one redirect="),
    ],
)
def test_an_spf_record_of_ones_own_is_judged_by_what_it_does(
    text: str, status: str, harmless: bool, sentence: str
) -> None:
    more = "\n".join(
        [
            'open.example.org. TXT "v=spf1 +all"',
            'own.example.org. TXT "v=spf1 mx:example.org -all"',
            'other.example.org. TXT "v=spf1 ip4:198.51.100.1 -all"',
            'loop.example.org. TXT "v=spf1 include:loop2.example.org -all"',
            'loop2.example.org. TXT "v=spf1 include:loop.example.org -all"',
            'many.example.org. TXT "v=spf1 ' + "a:mail.example.org " * 5 + '" "' + "a:mail.example.org " * 6 + '-all"',
            'none.example.org. TXT "hello"',
            *(
                f'bomb{number}.example.org. TXT "v=spf1 ' + f'include:bomb{number + 1}.example.org " "' * 12 + '-all"'
                for number in range(1, 9)
            ),
        ]
    )
    zones = published(site(), more=more)
    zones["example.org"] = zones["example.org"].replace(SPF, f'"{text}"')
    found = report(site(), zones, behaviour={"deaf.example.org": "servfail"})
    one = row(found, "example.org", "TXT")
    assert (one.status, one.harmless) == (status, harmless), (one, sentences(found))
    assert [sentence in said for said in sentences(found)] == ([True] if sentence else []), sentences(found)
    assert ("may stay" in one.note) is harmless


@pytest.mark.parametrize(
    ("text", "status", "note"),
    [
        ("include:own.example.org -all", "different", "may stay"),
        ("redirect=own.example.org", "different", "may stay"),
        ("mx redirect=own.example.org", "different", "may stay"),
        ("include:via.example.org -all", "different", "may stay"),
        ("mx -all include:own.example.org", "different", "sent by include:own.example.org"),
        ("mx -include:own.example.org -all", "different", "sent by include:own.example.org"),
        ("mx ?include:own.example.org -all", "different", "sent by include:own.example.org"),
        ("mx ~include:via.example.org -all", "different", "sent by include:own.example.org"),
        ("mx -all redirect=own.example.org", "different", "sent by include:own.example.org"),
        ("mx include:%{d}.example.org -all", "unknown", "depends on the message (macros"),
    ],
)
def test_a_name_counts_as_included_only_where_it_lets_somebody_send(text: str, status: str, note: str) -> None:
    of = site(mail_spf_includes=["own.example.org"])
    more = [
        'own.example.org. TXT "v=spf1 mx:example.org -all"',
        'via.example.org. TXT "v=spf1 include:own.example.org -all"',
    ]
    one = row(report(of, published(of, "v=spf1", "\n".join([*more, f'example.org. TXT "v=spf1 {text}"']))),
              "example.org", "TXT")  # fmt: skip
    assert (one.status, note in one.note) == (status, True), one


def test_two_spf_records_are_as_good_as_none() -> None:
    found = report(site(), published(site(), more='example.org. TXT "v=spf1 include:x.test -all"'))
    assert any("has 2 SPF records" in said for said in sentences(found))
    assert row(found, "example.org", "TXT").counts  # although one of them is the site's


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        ("example.org. MX 10 alias.example.org.\nalias.example.org. CNAME mail", "which is an alias (CNAME)"),
        ("example.org. MX 10 192.0.2.25.", "has the address 192.0.2.25, where only a host's name may stand"),
        ("example.org. MX 10 gone\ngone.example.org. CNAME gone.test.", "which is an alias (CNAME) of gone.test"),
        ("example.org. MX 10 mail\nexample.org. MX 20 old", "names old.example.org, which takes no mail for the site"),
        ("example.org. MX 10 old", "names old.example.org, which has no address"),
        ("example.org. MX 0 .", "which says that it takes no mail at all"),
    ],
)
def test_mail_exchangers_that_lose_mail(instead: str, sentence: str) -> None:
    found = report(site(), published(site(), " MX ", instead))
    assert any(sentence in said for said in sentences(found)), sentences(found)


def test_a_name_that_is_an_alias_has_no_records_of_its_own() -> None:
    found = report(site(mail_domains=["example.org", "example.net"]), {
        **published(site()), "net": "example CNAME example.org.\n"
    })  # fmt: skip
    assert any(said.startswith("example.net is an alias (CNAME) of example.org") for said in sentences(found))


def test_an_address_that_is_not_the_hosts_is_named() -> None:
    found = report(site(), published(site(), more="mail.example.org. A 198.51.100.7"))
    assert any("also has the A record 198.51.100.7" in said for said in sentences(found))
    instead = report(site(), published(site(), "192.0.2.25", "mail.example.org. A 198.51.100.7"))
    assert (row(instead, NAME, "A").status, row(instead, NAME, "A").found) == ("different", ("198.51.100.7",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('"v=DMARC1; p=nothing"', "p must be none, quarantine or reject"),
        ('"v=DMARC1; rua=mailto:a@example.org"', "a DMARC record with no p="),
        ('"v=DMARC1; p=none"\n_dmarc.example.org. TXT "v=DMARC1; p=reject"', "has 2 DMARC records"),
    ],
)
def test_dmarc_records_that_nobody_takes(text: str, sentence: str) -> None:
    found = report(site(), published(site(), "_dmarc", f"_dmarc.example.org. TXT {text}"))
    assert any(sentence in said for said in sentences(found)), sentences(found)
    stricter = report(site(), published(site(), "_dmarc", '_dmarc.example.org. TXT "v=DMARC1; p=reject; pct=50"'))
    assert (sentences(stricter), row(stricter, "_dmarc.example.org", "TXT").harmless) == ([], True)


@pytest.mark.parametrize(
    ("text", "weak"),
    [
        ("v=DMARC1; p=none", "(p=none, no rua=mailto:a@example.org)"),
        ("v=DMARC1; p=reject; rua=mailto:b@x.test,mailto:A@example.org!10m", ""),
        ("v=DMARC1; p=reject; sp=none; pct=5; rua=mailto:a@example.org", "(sp=none, pct=5)"),
        ("v=DMARC1; p=reject; pct=100; adkim=s; rua=mailto:a@example.org", ""),
    ],
)
def test_a_policy_that_does_less_than_the_sites_is_named(text: str, weak: str) -> None:
    of = site(mail_dmarc_policy="reject", mail_dmarc_reports="a@example.org")
    found = report(of, published(of, "_dmarc", f'_dmarc.example.org. TXT "{text}"'))
    assert row(found, "_dmarc.example.org", "TXT").harmless and sentences(found) == []
    assert [weak in said for said in sentences(found, serious=False)] == ([True] if weak else [])


@pytest.mark.parametrize(
    ("text", "wanted", "stricter"),
    [
        ("v=DMARC1; p=reject", "none", "(reject) is stricter than mail_dmarc_policy (none)"),
        ("v=DMARC1; p=none; sp=quarantine", "none", "(quarantine) is stricter than mail_dmarc_policy (none)"),
        ("v=DMARC1; p=reject; sp=none", "none", ""),
        ("v=DMARC1; p=reject", "reject", ""),
        ("p=reject", "none", ""),
    ],
)
def test_a_stricter_policy_above_a_domain_is_not_weakened(text: str, wanted: str, stricter: str) -> None:
    of = site(mail_domains=["a.lists.example.org"], mail_dmarc_policy=wanted)
    zones = {**published(of, "_dmarc"), "example.org": f'_dmarc TXT "{text}"\n'}
    found = report(of, zones)
    assert row(found, "_dmarc.a.lists.example.org", "TXT").status == "missing"
    about = [said for said in sentences(found) if "_dmarc" in said]
    assert [stricter in said for said in about] == ([True] if stricter else [])
    own = report(of, {**published(of), "example.org": zones["example.org"]})
    assert not [said for said in sentences(own) if "_dmarc" in said]


@pytest.mark.parametrize(
    ("there", "status", "harmless"),
    [
        ('"v=DKIM 1; k=rsa; p=QUJDREVG"', "different", False),
        ('"v=DKIM1; k=r sa; p=QUJDREVG"', "different", False),
        ('"v=DKIM1; h = sha1 : sha256; s= * ; p=QUJDREVG"', "different", True),
        ('"v=DKIM1; k=rsa; p=QUJD" "REVG"', "right", False),
        ('"p=QUJD REVG"', "right", False),
        ('"v=DKIM1; p=WFla"', "different", False),
        ('"v=DKIM1; p="', "different", False),
        ('"v=DKIM1; k=ed25519; p=QUJDREVG"', "different", False),
        ('"v=DKIM1; t=y; p=QUJDREVG"', "different", False),
        ('"v=DKIM1; t=s; p=QUJDREVG"', "different", True),
        ('"v=DKIM1;\\009p=QUJD\\009REVG"', "right", False),
    ],
)
def test_keys_of_signatures(monkeypatch: pytest.MonkeyPatch, there: str, status: str, harmless: bool) -> None:
    owner = "s1._domainkey.example.org"
    key = Record(owner, "TXT", '"v=DKIM1; k=rsa; " "p=QUJDREVG"')
    known = zone.records
    monkeypatch.setattr(zone, "records", lambda of, domain: [*known(of, domain), key])
    found = report(site(), published(site(), "_domainkey", f"{owner}. TXT {there}"))
    assert (row(found, owner, "TXT").status, row(found, owner, "TXT").harmless) == (status, harmless)


@pytest.mark.parametrize(
    ("pointers", "status", "note"),
    [
        (f"25 PTR host.provider.test.\n25 PTR {NAME}.", "right", ""),
        ("25 PTR host.provider.test.", "different", ""),
        ("26 PTR x.test.", "missing", ""),
    ],
)
def test_names_of_addresses(pointers: str, status: str, note: str) -> None:
    found = report(site(), {**published(site()), "2.0.192.in-addr.arpa": pointers})
    assert (row(found, "192.0.2.25", "PTR").status, row(found, "192.0.2.25", "PTR").note) == (status, note)


def test_a_name_of_an_address_that_does_not_lead_back() -> None:
    found = report(site(), published(site(), "192.0.2.25"))
    assert row(found, "192.0.2.25", "PTR").note == f"{NAME} has no A record that leads back to it"


_PUBLIC: dict[str, t.Any] = {"email": "a@example.org", "agree_to_terms": True}
ACME: dict[str, t.Any] = {"mail_acme": {"public": _PUBLIC}}


@pytest.mark.parametrize(
    ("there", "status"),
    [
        ("", "missing"),
        ('example.org. CAA 0 issue "letsencrypt.org"', "right"),  # a CA looks upwards
        ('mail.example.org. CAA 0 issue "letsencrypt.org; validationmethods=http-01"', "right"),
        ('example.org. CAA 0 issue "sectigo.com"', "different"),
        ('mail.example.org. CAA 0 issue ";"\nexample.org. CAA 0 issue "letsencrypt.org"', "different"),
        ('mail.example.org. CAA 0 iodef "mailto:a@example.org"', "missing"),
    ],
)
def test_who_may_issue_certificates(there: str, status: str) -> None:
    of = site(**ACME)
    assert row(report(of, published(of, " CAA ", there)), NAME, "CAA").status == status


@pytest.mark.parametrize("tag", ["tbs", "issuewild"])
def test_what_no_ca_understands_keeps_each_from_issuing(tag: str) -> None:
    of = site(**ACME)
    found = report(of, published(of, more=f'mail.example.org. CAA 128 {tag} "Unknown"'))
    assert row(found, NAME, "CAA").status == "right"
    assert [said[:51] for said in sentences(found)] == (
        ["no CA issues a certificate for mail.example.org, si"] if tag == "tbs" else []
    )


@pytest.mark.parametrize(
    ("variables", "authorities"),
    [
        ({}, []),
        (ACME, ["letsencrypt.org"]),
        ({"mail_acme": {"public": {**_PUBLIC, "server": "https://ca.example.org/acme"}}}, []),
        ({"mail_acme": {"public": {**_PUBLIC, "server": "https://xletsencrypt.org/"}}}, []),
        ({**ACME, "mail_certificates": {"web": {"certificate": "w.pem", "key": "w.key"}}}, []),
        ({**ACME, "mail_certificates": {"web": {"hook": True, "names": [NAME]}}}, []),
        ({**ACME, "mail_certificates": {"web": {"hook": True, "names": ["www.example.org"]}}}, ["letsencrypt.org"]),
        ({**ACME, "mail_domains": ["example.org", NAME]}, []),  # a web server of the domain may have others
        ({"mail_caa": ["sectigo.com"]}, ["sectigo.com"]),
        ({**ACME, "mail_caa": []}, []),
    ],
)
def test_no_record_forbids_a_certificate_that_is_used(variables: dict[str, t.Any], authorities: list[str]) -> None:
    found = zone.records(site(**variables), "example.org")
    assert [one.data for one in found if one.kind == "CAA"] == [f'0 issue "{name}"' for name in authorities]


def test_a_list_of_cas_must_have_the_one_that_is_used() -> None:
    with pytest.raises(SiteError, match="mail_caa is .*: must also name letsencrypt.org"):
        site(**ACME, mail_caa=["sectigo.com"])


def test_reports_come_only_where_they_are_wanted() -> None:
    of = site(mail_domains=["example.org", "example.net"], mail_dmarc_reports="x?y@example.org")
    texts = {one.owner: one.data for one in zone.records(of, "example.org") if "dmarc" in one.owner}
    assert texts == {
        "_dmarc.example.org": '"v=DMARC1; p=none; rua=mailto:x%3Fy@example.org"',
        "example.net._report._dmarc.example.org": '"v=DMARC1"',
    }
    elsewhere = site(mail_dmarc_reports="x@reports.test")
    assert [sentence for sentence in zone.warnings(elsewhere) if "DOMAIN._report._dmarc.reports.test" in sentence]


def test_reports_on_tls_are_asked_for_where_somebody_reads_them() -> None:
    of = site(mail_tls_reports="tls@example.org")
    found = report(of, published(of, "_tls", '_smtp._tls.example.org. TXT "v=TLSRPTv1;rua=mailto:tls@example.org"'))
    assert row(found, "_smtp._tls.example.org", "TXT").status == "right"
    assert "_tls" not in zone.zones(site())["example.org.zone"]


def test_two_records_for_reports_on_tls_are_as_good_as_none() -> None:
    of = site(mail_tls_reports="tls@example.org")
    found = report(of, published(of, more='_smtp._tls.example.org. TXT "v=TLSRPTv1; rua=mailto:x@x.test"'))
    assert any("_smtp._tls.example.org has 2 TLS-report records" in said for said in sentences(found))


def test_a_text_for_something_else_at_the_name_of_dmarc() -> None:
    of = site()
    there = "_dmarc.example.org. TXT"
    assert row(report(of, published(of, "_dmarc", f'{there} "google=1"')), there[:18], "TXT").status == "missing"
    odd = row(report(of, published(of, "_dmarc", f'{there} "v=dmarc1; p=none"')), there[:18], "TXT")
    assert (odd.status, odd.note[:35]) == ("different", "a DMARC record begins in another wa")


# ---- somebody who means harm


def lie(rrsets: t.Callable[[t.Any], list[t.Any]]) -> t.Callable[[t.Any], bytes]:
    def answer(asked: t.Any) -> bytes:
        response = dns.message.make_response(asked)
        response.flags |= dns.flags.AA | dns.flags.RA
        response.answer += rrsets(asked.question[0].name)
        return response.to_wire(max_size=65535)

    return answer


def texts(*found: str) -> t.Callable[[t.Any], bytes]:
    return lie(lambda name: [dns.rrset.from_text_list(name, 60, "IN", "TXT", found)])


@pytest.mark.parametrize(
    "answer",
    [
        texts('"v=spf1 \\027]0;x\\007 \\000\\010\\255\\194\\133 mx -all"'),
        texts('"v=DMARC1; p=\\027[31mowned"'),
        texts(" ".join(['"v=spf1 "', *['"' + "a:x.test " * 28 + '"'] * 200])),
        texts(*(f'"v=spf1 {number}"' for number in range(90))),
        texts(*(f'"{number}"' for number in range(2000))),
        texts('"v=spf1 exists:%{i}.test include:%{d} redirect=%{d} ip4:x ip6:192.0.2.1/500 a//x mx:/99999999999 -all"'),
        texts('"v=spf1 include: include:.. include:' + "x" * 200 + '.test" " a:' + "y." * 100 + ' -all"'),
        lie(lambda name: [dns.rrset.from_text(name, 60, "IN", "CNAME", str(name))]),
        lie(lambda _name: [dns.rrset.from_text("other.test.", 60, "IN", "TXT", '"v=spf1 mx -all"')]),
        lambda _asked: b"\0" * 12,
        lambda asked: asked.to_wire()[:7],
    ],
)
def test_answers_may_be_anything(answer: t.Callable[[t.Any], bytes]) -> None:
    begin = time.monotonic()
    found = report(site(), published(site()), behaviour={"example.org": answer, "_dmarc.example.org": answer})
    text = dns_report.table(found)
    assert text.isascii() and all(line.isprintable() for line in text.splitlines())
    assert json.dumps(found.data()).isascii()
    assert max(map(len, text.splitlines())) < 2000
    assert time.monotonic() - begin < 20


# ---- what is asked for


@pytest.mark.parametrize(
    ("given", "resolvers"),
    [
        ({"resolvers": "192.0.2.1, 2001:db8::1#53"}, ["192.0.2.1", "2001:db8::1#53"]),
        ({"resolvers": ["192.0.2.1#5353"], "push": "true", "strict": "no"}, ["192.0.2.1#5353"]),
        ({}, []),
    ],
)
def test_options(given: dict[str, t.Any], resolvers: list[str]) -> None:
    assert action.options(given) == (resolvers, given.get("push") == "true", False)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"resolvers": ["dns.example.org"]}, "dns_resolvers[0] is 'dns.example.org': must be ADDRESS or ADDRESS#PORT"),
        ({"resolvers": ["192.0.2.1#0"]}, "dns_resolvers[0] is '192.0.2.1#0': must be ADDRESS or"),
        ({"resolvers": {"x": 1}}, "dns_resolvers is {'x': 1}: must be a list"),
        ({"push": "perhaps"}, "dns_push is 'perhaps': must be true or false"),
        ({"resolver": "192.0.2.1"}, "resolver: is no option (known: resolvers, push, strict)"),
    ],
)
def test_options_that_are_wrong(given: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        action.options(given)
    assert [sentence in str(problem) for problem in caught.value.problems] == [True]


def test_a_zone_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "example.org.zone"
    zone_files.write(str(tmp_path), {place.name: "old"})
    place.chmod(0o640)
    with place.open(encoding="ascii") as reader:
        zone_files.write(str(tmp_path), {place.name: "new"})
        assert (reader.read(), place.read_text(encoding="ascii"), place.stat().st_mode & 0o777) == ("old", "new", 0o640)
    with pytest.raises(UnicodeEncodeError):
        zone_files.write(str(tmp_path), {place.name: "n\N{LATIN SMALL LETTER E WITH ACUTE}w"})
    assert (place.read_text(encoding="ascii"), list(tmp_path.iterdir())) == ("new", [place])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SiteError, match="mail_zone_dir is .*: must be a folder that can be written"):
        zone_files.write(str(tmp_path / "file"), {"example.org.zone": ""})

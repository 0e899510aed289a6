# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLSA records of exchangers: which the zones have, what binds a host to its key, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, zone
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import tlsa
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Certificate, Known, Shown
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

MX1, MX2, STORE = "mx1.example.org", "mx2.other.example", "store.example.org"
HOSTS = {
    MX1: HostInput(("mail", "mail_mx")),
    MX2: HostInput(("mail", "mail_mx")),
    STORE: HostInput(("mail", "mail_store", "mail_directory", "mail_submission")),
}
OWN, OTHER = (Shown((Certificate(b"", key),), own=key == b"own") for key in (b"own", b"other"))
NEXT = "f" * 64
BOUND = "/etc/postamt/next-keys.json"


def site_of(hosts: dict[str, HostInput] | None = None, **said: Any) -> Site:
    given = {"mail_domains": ["example.org"], "mail_tlsa": True, **said}
    found = parse_site(given, hosts or HOSTS, compose.concerns().values())
    found.port_25 = {name: [OWN] for name in found.hosts}
    return found


def records(site: Site) -> list[str]:
    return [f"{one.owner} {one.data}" for one in zone.records(site, "example.org") if one.kind == "TLSA"]


def bound(site: Site, name: str) -> dict[str, list[str]] | None:
    plan = compose.plan("certificates", site, site.hosts[name])
    written = next((file["content"] for file in plan["files"] if file["path"] == BOUND), None)
    assert (written is None) == ("next_keys" not in plan)
    return None if written is None else json.loads(str(written))


def test_there_are_none_by_default() -> None:
    assert records(site_of(mail_tlsa=False)) == []
    assert list(tlsa.dns_warnings(site_of(mail_tlsa=False))) == []


def test_each_key_of_an_exchanger_has_one() -> None:
    site = site_of(mail_tlsa_next=[NEXT.upper()])
    site.port_25 = {**site.port_25, MX1: [OWN, OTHER]}
    wanted = sorted([OWN.key_digest, OTHER.key_digest, NEXT])
    assert records(site) == [f"_25._tcp.{MX1} 3 1 1 {one}" for one in wanted]


def test_who_is_in_no_zone_of_the_site_is_told() -> None:
    (said,) = tlsa.dns_warnings(site_of())
    record = f"_25._tcp.{MX2}. IN TLSA 3 1 1 {OWN.key_digest}"
    assert said == f"{MX2} is in no zone of the site: have these TLSA records published in its own: {record}"


def test_a_host_of_a_domains_own_name_is_in_its_zone() -> None:
    assert records(site_of({"example.org": HostInput()})) == [f"_25._tcp.example.org 3 1 1 {OWN.key_digest}"]
    assert records(site_of({"mail.badexample.org": HostInput()})) == []


def test_who_was_not_asked_or_shows_nothing_is_told() -> None:
    site = site_of()
    site.port_25 = {MX2: []}
    ask, stay = "postamt.mail.dns asks for them", ": its records in the DNS stay as they are"
    assert records(site) == []
    assert list(tlsa.dns_warnings(site)) == [
        f"the zones name no key of {MX1} (TLSA), since not all its keys are known; {ask}{stay}",
        f"the zones name no key of {MX2} (TLSA), since its port 25 shows no certificate{stay}",
    ]


def test_the_zone_of_who_was_not_asked_has_what_it_had() -> None:
    site = site_of()
    site.port_25, site.tlsa = {}, {MX1: Known(told=frozenset([NEXT]))}
    assert records(site) == [f"_25._tcp.{MX1} 3 1 1 {NEXT}"]
    assert list(tlsa.dns_warnings(site))[0].startswith(f"the zones name the former keys of {MX1} (TLSA), since not")


@pytest.mark.parametrize(
    "said",
    [
        {"mail_certificates": {"public": {"hook": True}}},
        {"mail_acme": {"public": {"email": "a@example.org", "agree_to_terms": True}}},
    ],
)
def test_a_stand_in_has_none(said: dict[str, Any]) -> None:
    site = site_of({MX1: HostInput()}, **said)
    assert records(site) == []
    assert list(tlsa.dns_warnings(site))[0].startswith(
        f"{MX1} has no TLSA record yet, since its certificate is a stand"
    )
    site.port_25 = {MX1: [OTHER]}
    assert records(site) == [f"_25._tcp.{MX1} 3 1 1 {OTHER.key_digest}"]


def test_a_host_whose_key_others_may_know_takes_only_what_they_know() -> None:
    site = site_of()
    assert [bound(site, name) for name in HOSTS] == [None, None, None]
    now = int(time.time())
    site.tlsa = {
        MX1: Known(told=frozenset([NEXT])),
        MX2: Known(frozenset([NEXT, "a" * 64]), {NEXT: now - 1000, "a" * 64: now - 400}, 300),
        STORE: Known(told=frozenset([NEXT])),
    }
    assert [bound(site, name) for name in HOSTS] == [{"public": []}, {"public": [NEXT]}, None]
    off = site_of(mail_tlsa=False)
    off.tlsa = site.tlsa
    assert [bound(off, name) for name in HOSTS] == [None, None, None]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"mail_tlsa_next": ["abc"]}, "mail_tlsa_next is 'abc': must be the SHA-256 of a public key: 64 hexadecimal"),
        ({"mail_tlsa_next": [f"3 1 1 {NEXT}"]}, "must be the SHA-256 of a public key: 64 hexadecimal digits"),
        ({"mail_tlsa_next": [NEXT], "mail_tlsa": False}, "must be empty where mail_tlsa is false"),
        ({"mail_tlsa": "maybe"}, "mail_tlsa is 'maybe': must be true or false"),
    ],
)
def test_what_is_wrong_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SiteError, match=sentence):
        site_of(**said)


def test_a_name_leaves_room_for_its_record() -> None:
    long = ".".join(["a" * 49] * 5)
    assert site_of({long[:244]: HostInput()})
    with pytest.raises(SiteError, match="must have at most 244 characters where mail_tlsa is true"):
        site_of({long[:245]: HostInput()})

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a step towards new keys can be done, as a name server on this machine answers."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import text
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import (
    DomainKeys,
    KeySet,
    Role,
    name_of,
    new_set,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dkim_rotation as rotation
from ansible_collections.postamt.mail.plugins.plugin_utils._run import dns_answers
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer

ORG = Domain("example.org")
NOW = 1_795_824_000
DAY = 86400


@functools.cache
def keys(date: str = "20261128") -> KeySet:
    return new_set(date)


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer({"example.org": "", "elsewhere.example": ""}) as started:
        yield started


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = dns_answers.ask
    monkeypatch.setattr(dns_answers, "ask", lambda name, kind, resolvers: ask(name, kind, resolvers, 0.6))


def seen_at(server: DnsServer, one: KeySet | None = None) -> dict[Role, list[rotation.Seen]]:
    found = rotation.look([(ORG, "next", one or keys())], rotation.asking([server.resolver]))
    return found[ORG]


def statuses(server: DnsServer) -> list[str]:
    return [one.status for one in seen_at(server)["next"]]


def publish(server: DnsServer, one: KeySet, change: t.Callable[[str], list[str]] = lambda text: [text]) -> None:
    for key in one.keys:
        name = name_of(key.selector, ORG)
        server.put(name, "TXT", *(text(name, one).data for one in change(key.record())))
        server.put(name, "A", "192.0.2.1")  # so that the name exists, whatever it has


def test_records_that_are_there(server: DnsServer) -> None:
    publish(server, keys())
    assert statuses(server) == ["shown", "shown"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("v=DKIM1; ", ""),
        lambda text: text.replace("; ", ";") + ";",
        lambda text: text.replace(" p=", " t=s; n=a note; p = "),
        lambda text: text.replace(" p=M", " p=M \t "),  # RFC 6376, 3.2: white space, folded lines as well
        lambda text: text.replace(" p=M", " p=M\\013\\010 "),
        lambda text: text.replace(" p=", " n=Schl\\195\\188ssel; p="),
        lambda text: text.replace(" k=", " h=sha1:sha256; s=email; k="),
        lambda text: text.replace("k=rsa; ", ""),  # RSA is the default
    ],
)
def test_records_that_mean_the_same(server: DnsServer, change: t.Callable[[str], str]) -> None:
    publish(server, keys(), lambda text: [change(text)])
    assert statuses(server) == ["shown", "shown"]


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        (lambda text: [text, text + ";"], "wrong", "has 2 TXT records at rsa20261128._domainkey.example.org"),
        (lambda text: [text, "v=spf1 -all"], "wrong", "and there must be one"),
        (lambda text: ["v=spf1 -all"], "wrong", "is no DKIM key"),
        (lambda text: ["v=DKIM2" + text[7:]], "wrong", "is no DKIM key"),
        (lambda text: [text.partition(" p=")[0]], "wrong", "is no DKIM key"),
        (lambda text: [text.partition("p=")[0] + "p="], "wrong", "says that the key is revoked"),
        (lambda text: [text[:-8] + "AAAA"], "wrong", "has another key (p=)"),
        (lambda text: [text + "%"], "wrong", "has another key (p=)"),
        (lambda text: [text.replace("k=", "k=x")], "wrong", "is for another algorithm than rsa"),
        (lambda text: [text + "; h=sha1"], "wrong", "does not allow SHA-256"),
        (lambda text: [text + "; s=tlsrpt"], "wrong", "is not for mail"),
        (lambda text: [text + "; t=y:s"], "wrong", "only a test (t=y)"),
        (lambda text: [text + "; p=x"], "wrong", "cannot be read"),
        (lambda text: [text + "; p"], "wrong", "cannot be read"),
        (lambda text: [text[len("v=DKIM1; ") :] + "; v=DKIM1"], "wrong", "cannot be read"),
        (lambda text: [], "missing", "the DNS has no TXT record at rsa20261128._domainkey.example.org"),
    ],
)
def test_records_that_are_not_the_keys(
    server: DnsServer, change: t.Callable[[str], list[str]], status: str, why: str
) -> None:
    publish(server, keys(), change)
    first = seen_at(server)["next"][0]
    assert (first.status, why in first.why) == (status, True), first
    said = rotation.obstacle("sign", DomainKeys(keys("20260101"), keys()), seen_at(server), rotation.Asked(), NOW)
    assert why in said and "dkim_confirmed" in said and "PRIVATE" not in said


def test_a_name_that_does_not_exist(server: DnsServer) -> None:
    assert statuses(server) == ["missing", "missing"]


def test_a_record_behind_an_alias_is_shown(server: DnsServer) -> None:
    for key in keys().keys:
        name = f"{key.selector}.elsewhere.example"
        server.put(name, "TXT", text(name, key.record()).data)
        server.put(name_of(key.selector, ORG), "CNAME", f"{name}.")
    assert statuses(server) == ["shown", "shown"]


@pytest.mark.parametrize(("mood", "why"), [("servfail", "SERVFAIL"), ("silent", "no answer"), ("refused", "REFUSED")])
def test_nobody_could_say_is_no_yes(server: DnsServer, mood: str, why: str) -> None:
    server.behaviour["*"] = mood
    publish(server, keys())
    assert statuses(server) == ["unknown", "unknown"]
    domain = DomainKeys(keys("20260101"), keys())
    said = rotation.obstacle("sign", domain, seen_at(server), rotation.Asked(), NOW)
    assert "nobody could say" in said and why in said
    assert rotation.obstacle("sign", domain, {}, rotation.Asked(dkim_confirmed=True), NOW) == ""


def test_one_record_of_two_is_not_enough(server: DnsServer) -> None:
    publish(server, keys())
    server.put("ed20261128._domainkey.example.org", "TXT")
    said = rotation.obstacle("sign", DomainKeys(keys("20260101"), keys()), seen_at(server), rotation.Asked(), NOW)
    assert said.startswith("the DNS has no TXT record at ed20261128._domainkey.example.org (")


def obstacle(step: rotation.Step, domain: DomainKeys | None, **asked: t.Any) -> str:
    return rotation.obstacle(step, domain, {}, rotation.Asked(**asked), NOW)


OLD, FRESH = keys("20260101"), keys()
SIGNING = DomainKeys(OLD).deployed(1)
NEXT = SIGNING.published(FRESH, 2)
SIGNED = NEXT.signed()


@pytest.mark.parametrize(
    ("step", "domain", "sentence"),
    [
        ("publish", None, "it has no keys yet: run postamt.mail.site"),
        ("sign", SIGNING, "it has no next set: dkim_step=publish makes one"),
        ("sign", SIGNED.published(FRESH, 3), "its former set is still published, and must be withdrawn first"),
        ("withdraw", SIGNING, "it has no former set"),
        ("withdraw", NEXT, "it has no former set"),
        ("withdraw", SIGNED, "no whole run has deployed the set that is to sign"),
        ("withdraw", SIGNED.deployed(NOW - 7 * DAY + 60), "wait until 2026-11-28 00:01 UTC (dkim_wait_days)"),
        ("withdraw", SIGNED.deployed(NOW + DAY), "wait until 2026-12-06"),  # the clock was ahead
    ],
)
def test_what_a_step_waits_for_and_no_confirmation_changes_that(
    step: rotation.Step, domain: DomainKeys | None, sentence: str
) -> None:
    for confirmed in (False, True):
        assert sentence in obstacle(step, domain, dkim_confirmed=confirmed)


@pytest.mark.parametrize(
    ("step", "domain"),
    [
        ("publish", SIGNING), ("publish", NEXT), ("publish", SIGNED), ("sign", NEXT), ("sign", SIGNED),
        ("withdraw", SIGNED.deployed(NOW - 7 * DAY)),
    ],
)  # fmt: skip
def test_what_can_be_done(step: rotation.Step, domain: DomainKeys) -> None:
    assert obstacle(step, domain) == ""


def test_a_key_that_is_known_to_others_can_go_at_once_when_hosts_sign_with_another() -> None:
    assert obstacle("withdraw", SIGNED.deployed(NOW), dkim_wait_days=0) == ""
    assert "no whole run" in obstacle("withdraw", SIGNED, dkim_wait_days=0, dkim_confirmed=True)


def test_the_former_set_stays_while_the_dns_lacks_the_one_that_signs(server: DnsServer) -> None:
    domain = SIGNED.deployed(NOW - 8 * DAY)
    wanted = list(rotation.to_ask("withdraw", ORG, domain))
    assert [role for _domain, role, _keys in wanted] == ["signing"]
    seen = rotation.look(wanted, rotation.asking([server.resolver]))[ORG]
    assert "no TXT record" in rotation.obstacle("withdraw", domain, seen, rotation.Asked(), NOW)


def test_which_domains_a_step_is_for() -> None:
    named = {
        Domain(f"{word}.example"): one
        for word, one in [("a", SIGNING), ("b", NEXT), ("c", SIGNED), ("d", SIGNED.deployed(1))]
    }
    assert rotation.suited("publish", named) == list(named)
    assert rotation.suited("sign", named) == ["b.example", "c.example"]  # c: its run was killed
    assert rotation.suited("withdraw", named) == ["c.example", "d.example"]


def test_what_is_said_where_a_step_suits_none() -> None:
    assert rotation.suited("sign", {ORG: SIGNING}) == []
    assert rotation.nothing_to_do("sign") == "no domain has a next set: dkim_step=publish makes one"


def test_which_step_is_next() -> None:
    def due(domain: DomainKeys) -> tuple[str | None, str]:
        return rotation.due(domain, {}, rotation.Asked(), NOW)

    assert due(DomainKeys(OLD)) == (None, "run postamt.mail.site: no whole run has deployed these keys yet")
    assert due(SIGNING) == ("publish", "when you want new keys")
    assert due(NEXT) == ("sign", "")
    assert due(SIGNED)[0] is None
    assert due(SIGNED.deployed(NOW))[0] == "withdraw"
    lacking: dict[Role, list[rotation.Seen]] = {"signing": [rotation.Seen("signing", OLD.keys[0], "x", "missing", "x")]}
    assert "cannot check signatures" in rotation.due(SIGNING, lacking, rotation.Asked(), NOW)[1]


def test_the_table(server: DnsServer) -> None:
    publish(server, OLD)
    seen = rotation.look(rotation.to_ask(None, ORG, NEXT), rotation.asking([server.resolver]))[ORG]
    coming = rotation.due(NEXT, seen, rotation.Asked(), NOW)
    lines = rotation.table(ORG, NEXT, seen, coming, 1 + 3 * DAY)
    assert lines[0].startswith("example.org: next: dkim_step=sign, the DNS has no TXT record at rsa20261128.")
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "signing rsa20260101 for 3 days the DNS shows it",
        "signing ed20260101 for 3 days the DNS shows it",
        "next rsa20261128 for 2 days the DNS has no TXT record at rsa20261128._domainkey.example.org",
        "next ed20261128 for 2 days the DNS has no TXT record at ed20261128._domainkey.example.org",
    ]
    assert "PRIVATE" not in str([lines, seen, rotation.plain(ORG, NEXT, seen, coming)])


def test_the_lines_for_the_zone_are_those_that_other_servers_read() -> None:
    import dns.zone

    text = "\n".join(["@ 3600 IN SOA a. b. 1 1 1 1 1", "@ 3600 IN NS a.", *rotation.zone_lines(ORG, FRESH, 3600)])
    zone = dns.zone.from_text(text, origin=f"{ORG}.")
    for key in FRESH.keys:
        (record,) = zone.find_rdataset(f"{key.selector}._domainkey", "TXT")
        assert b"".join(record.strings).decode() == key.record()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"dkim_domains": ["example.net"]}, "dkim_domains is 'example.net': is no domain of the site"),
        ({"dkim_confirmed": True}, "dkim_confirmed: is for dkim_step=sign and dkim_step=withdraw"),
        ({"dkim_resolvers": ["ns.example.org"]}, "dkim_resolvers is 'ns.example.org': must be an IP address"),
        ({"dkim_resolvers": ["192.0.2.1#0"]}, "must be an IP address, or ADDRESS#PORT"),
        ({"dkim_resolvers": ["192.0.2.1#"]}, "must be an IP address, or ADDRESS#PORT"),
        ({"dkim_resolvers": ["192.0.2.1#x"]}, "must be an IP address, or ADDRESS#PORT"),
    ],
)
def test_what_cannot_be_asked_for(said: dict[str, t.Any], sentence: str) -> None:
    (problem,) = rotation.check(rotation.Asked(**said), [ORG])
    assert sentence in str(problem)
    assert not list(rotation.check(rotation.Asked(dkim_resolvers=["192.0.2.1#5353", "2001:db8::1"]), [ORG]))

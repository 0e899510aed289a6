# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Updates sent to a name server: its own records only, each once, signed, and nothing of anybody else lost."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing as t
from collections.abc import Iterable
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, zone
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._model.dkim_keys import DomainKeys, new_set
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Certificate, Known, Shown
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._run import stored_dkim_keys
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import DnsError, Questions
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_push import Push, Result
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_wire import Change, UpdateRefused
from ansible_collections.postamt.mail.plugins.plugin_utils._run.state import State, StateError
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer
from ansible_collections.postamt.mail.tests.lib.looks import looked

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
NAME = "mail.example.org"
EMPTY = {"example.org": "", "example.net": ""}
DOMAIN = "example.org"


def site(server: DnsServer, addresses: tuple[str, ...] = ("192.0.2.25",), **more: t.Any) -> Site:
    updates = {"server": "127.0.0.1", "port": server.port, "key_name": "site-key", "key_secret": SECRET}
    said = {"mail_domains": [DOMAIN], "mail_server_name": NAME, **more}
    said["mail_dns_update"] = {**updates, **more.get("mail_dns_update", {})}
    look = looked(addresses=list(addresses))
    return parse_site(said, {NAME: HostInput(look=look)}, compose.concerns().values())


def serve(zones: dict[str, str] | None = None, **more: t.Any) -> DnsServer:
    return DnsServer(zones or EMPTY, **{"keys": {"site-key": SECRET}, **more})


def push(of: Site, folder: Path, check: bool = False) -> Result:
    return Push(of, State(str(folder / "state")), check).run()


def kept(folder: Path) -> list[list[str]]:
    found: list[list[str]] = json.loads((folder / "state" / "dns.json").read_text(encoding="utf-8"))
    return found


def test_all_records_are_sent_once(tmp_path: Path) -> None:
    with serve() as server:
        of = site(server)
        assert (push(of, tmp_path, check=True).added, server.updates) != ([], 1)
        assert server.updates == 0 and not (tmp_path / "state").exists()
        first = push(of, tmp_path)
        wanted = zone.records(of, DOMAIN)
        assert sorted(first.added) == sorted(f"{one.owner} {one.kind} {one.data}" for one in wanted)
        for one in wanted:
            assert server.texts(one.owner, one.kind) == [one.data]
        updates = server.updates
        second = push(of, tmp_path)
        assert (second.added, second.deleted, server.updates) == ([], [], updates)


def test_what_is_no_longer_wanted_is_deleted_only_if_it_was_sent(tmp_path: Path) -> None:
    with serve() as server:
        push(site(server, ("192.0.2.25", "192.0.2.26"), mail_domains=[DOMAIN, "example.net"]), tmp_path)
        server.add(NAME, "A", "198.51.100.7")
        server.add(DOMAIN, "MX", "20 backup.example.org.")
        server.add(DOMAIN, "TXT", '"site-verification=1"')
        done = push(site(server, ("192.0.2.25",), mail_dmarc_policy="reject"), tmp_path)
        assert server.texts(NAME, "A") == ["192.0.2.25", "198.51.100.7"]
        assert server.texts(DOMAIN, "MX") == ["10 mail.example.org.", "20 backup.example.org."]
        assert server.texts(DOMAIN, "TXT") == ['"site-verification=1"', '"v=spf1 mx -all"']
        assert server.texts(f"_dmarc.{DOMAIN}", "TXT") == ['"v=DMARC1; p=reject"']
        assert server.texts("example.net", "MX") == []  # a domain that the site has no more
        assert f"{NAME} A 192.0.2.26" in done.deleted
        assert not [owner for owner, _kind, _data in kept(tmp_path) if owner.endswith("example.net")]


def test_what_somebody_has_published_by_hand_is_never_deleted(tmp_path: Path) -> None:
    with serve({"example.org": 'mail A 192.0.2.25\n@ TXT "v=spf1 " "mx -all"\n'}) as server:
        done = push(site(server), tmp_path)
        assert not [line for line in done.added if " A " in line or "spf1" in line]
        push(site(server, ("192.0.2.99",)), tmp_path)
        assert server.texts(NAME, "A") == ["192.0.2.25", "192.0.2.99"]


def test_a_host_that_was_not_seen_keeps_its_addresses(tmp_path: Path) -> None:
    with serve() as server:
        push(site(server), tmp_path)
        push(site(server, ()), tmp_path)
        assert server.texts(NAME, "A") == ["192.0.2.25"]


def test_keys_of_an_exchanger_stay_unless_others_are_known(tmp_path: Path) -> None:
    owner = f"_25._tcp.{NAME}"
    first, second = (Shown((Certificate(b"", key),)) for key in (b"first", b"second"))

    def sent(shown: dict[str, list[Shown]], **more: t.Any) -> list[str]:
        of = site(server, mail_tlsa=True, **more)
        of.port_25 = shown
        push(of, tmp_path)
        return server.texts(owner, "TLSA")

    with serve() as server:
        old = f"3 1 1 {first.key_digest}"
        assert sent({NAME: [first]}) == [old]
        assert sent({NAME: []}) == sent({}) == [old]
        unasked = site(server, mail_tlsa=True)
        unasked.tlsa = {NAME: Known(told=frozenset([second.key_digest]))}
        push(unasked, tmp_path)
        assert server.texts(owner, "TLSA") == [old]
        assert len(sent({NAME: [first]}, mail_tlsa_next=[second.key_digest])) == 2
        assert sent({NAME: [second]}) == [f"3 1 1 {second.key_digest}"]
        push(site(server), tmp_path)  # mail_tlsa is false
        assert server.texts(owner, "TLSA") == []


@pytest.mark.parametrize(
    ("line", "place", "sentence"),
    [
        ('@ TXT "v=spf1 include:x.test -all"', (DOMAIN, "TXT"), "has an SPF record that this site has not sent"),
        ('_dmarc TXT "v=DMARC1; p=reject"', ("_dmarc.example.org", "TXT"), "has a DMARC record that this"),
        ('_dmarc TXT "v=DMARC1\\009; p=reject"', ("_dmarc.example.org", "TXT"), "has a DMARC record that this"),
        ('_smtp._tls TXT "v=TLSRPTv1; rua=mailto:x@x.test"', ("_smtp._tls.example.org", "TXT"), "has a TLS-report rec"),
        ('_mta-sts TXT "v=STSv1; id=1"', ("_mta-sts.example.org", "TXT"), "has an MTA-STS record that this site has"),
        ("_dmarc CNAME dmarc.test.", ("_dmarc.example.org", "TXT"), "is an alias (CNAME) of dmarc.test, and can have"),
    ],
)
def test_no_record_is_made_void_by_a_second_one(
    tmp_path: Path, line: str, place: tuple[str, str], sentence: str
) -> None:
    with serve({"example.org": f"{line}\n"}) as server:
        before = server.texts(*place)
        of = site(server, mail_tls_reports="tls@example.org", mail_mta_sts_policy="testing", mail_mta_sts_serve=False)
        done = push(of, tmp_path)
        assert [(one.owner, one.kind) for one in done.refused] == [place]
        assert sentence in done.refused[0].why
        assert server.texts(*place) == before
        assert server.texts(DOMAIN, "MX") == ["10 mail.example.org."]  # the others are sent
        assert push(of, tmp_path, check=True).added == []


def test_a_new_mta_sts_policy_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    with serve() as server:
        for seconds in (90_000, 100_000):
            of = site(server, mail_mta_sts_policy="testing", mail_mta_sts_serve=False, mail_mta_sts_max_age=seconds)
            assert push(of, tmp_path).refused == []
            ours = [one.data for one in zone.records(of, DOMAIN) if one.owner == f"_mta-sts.{DOMAIN}"]
            assert server.texts(f"_mta-sts.{DOMAIN}", "TXT") == ours


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [({}, "policy (reject) is stricter"), ({"_dmarc.example.net": "servfail"}, "nobody could")],
)
def test_no_policy_is_weakened_that_a_domain_has_from_above(
    tmp_path: Path, behaviour: dict[str, str], sentence: str
) -> None:
    above = DnsServer({"example.net": '_dmarc TXT "v=DMARC1; p=reject"\n'}, behaviour=behaviour)
    with serve() as server, above:
        of = site(server, mail_domains=["lists.example.net"])
        done = Push(of, State(str(tmp_path / "state")), False, Questions([above.resolver]).answer).run()
        assert [(one.owner, sentence in one.why) for one in done.refused] == [("_dmarc.lists.example.net", True)]
        assert server.texts("_dmarc.lists.example.net", "TXT") == []
        server.add("_dmarc.lists.example.net", "TXT", '"v=DMARC1; p=none"')  # somebody has decided that
        assert Push(of, State(str(tmp_path / "state")), True, Questions([above.resolver]).answer).run().refused == []


def test_a_text_for_something_else_is_no_dmarc_record(tmp_path: Path) -> None:
    with serve({"example.org": '_dmarc TXT "google-verification=1"\n'}) as server:
        assert push(site(server), tmp_path).refused == []
        assert server.texts("_dmarc.example.org", "TXT") == ['"google-verification=1"', '"v=DMARC1; p=none"']


def test_what_somebody_changes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    with serve() as server:

        def somebody() -> None:
            server.before_update = lambda: None
            server.add(DOMAIN, "TXT", '"v=spf1 include:theirs.test -all"')

        server.before_update = somebody
        done = push(site(server), tmp_path)
        assert server.texts(DOMAIN, "TXT") == ['"v=spf1 include:theirs.test -all"']
        assert [one.owner for one in done.refused] == [DOMAIN]
        assert server.texts(DOMAIN, "MX") == ["10 mail.example.org."]


def test_somebody_who_never_stops_ends_the_push(tmp_path: Path) -> None:
    with serve() as server:
        count = iter(range(100))
        server.before_update = lambda: server.add(DOMAIN, "TXT", f'"{next(count)}"')
        with pytest.raises(DnsError, match="somebody else is changing the same records of example.org"):
            push(site(server), tmp_path)
        assert kept(tmp_path) == []


def test_a_run_that_is_cut_off_knows_what_was_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(name: str, changes: Iterable[Change], ttl: int) -> bool:
        sent(name, changes, ttl)
        raise Killed

    with serve() as server:
        cut = Push(site(server, ("192.0.2.25", "192.0.2.26")), State(str(tmp_path / "state")), False)
        sent = cut._server.update
        monkeypatch.setattr(cut._server, "update", killed)
        with pytest.raises(Killed):
            cut.run()
        push(site(server), tmp_path)
        assert server.texts(NAME, "A") == ["192.0.2.25"]


def test_zones_that_the_server_lacks_or_may_not_be_changed(tmp_path: Path) -> None:
    with serve({"example.org": ""}, elsewhere="refused") as server:
        done = push(site(server, mail_domains=[DOMAIN, "example.net"]), tmp_path)
        assert any("has no zone for" in note and "example.net" in note for note in done.notes)
        assert server.texts(DOMAIN, "MX")
    with serve() as server:
        push(site(server, mail_domains=[DOMAIN, "example.net"], mail_dns_update={"zones": ["example.net"]}), tmp_path)
        assert (server.texts(DOMAIN, "MX"), server.texts("example.net", "MX")) == ([], ["10 mail.example.org."])


@pytest.mark.parametrize(
    "keys", [{"other": SECRET}, {"site-key": "b3RoZXItb3RoZXItb3RoZXI="}], ids=["unknown", "another"]
)
def test_a_key_that_is_not_the_servers(tmp_path: Path, keys: dict[str, str]) -> None:
    with serve(keys=keys) as server, pytest.raises(DnsError) as caught:
        push(site(server), tmp_path)
    assert "with key site-key: its answer is not signed with it" in str(caught.value) and SECRET not in str(
        caught.value
    )
    assert server.updates == 0


def test_a_server_that_is_not_there_or_refuses(tmp_path: Path) -> None:
    with serve() as server:
        of = site(server)
    with pytest.raises(DnsError, match="cannot be reached: Connection refused"):
        push(of, tmp_path)
    with serve() as server:
        server.zones = {name: found for name, found in server.zones.items() if "net" in str(name)}
        with pytest.raises(DnsError, match=r"does not change zone example\.org: NOTAUTH|example.org.*: NXDOMAIN"):
            push(site(server, mail_dns_update={"zones": [DOMAIN]}), tmp_path)


@pytest.mark.parametrize(
    "content",
    ['{"x": 1}', '["abc"]', '[["a", "A", 1]]', '[["a..b", "A", "192.0.2.1"]]', '[["a", "A", "x"]]', "[" * 9999],
)
def test_a_memory_that_is_damaged_stops_the_push(tmp_path: Path, content: str) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "dns.json").write_text(content, encoding="utf-8")
    with serve() as server, pytest.raises(StateError, match="dns.json must be a list of records in JSON"):
        push(site(server), tmp_path)


def keep(folder: Path, known: DomainKeys, domain: str = DOMAIN) -> None:
    stored_dkim_keys.change(State(str(folder / "state")), lambda _known: {Domain(domain): known})


def key_records(server: DnsServer, known: DomainKeys, domain: str = DOMAIN) -> list[bool]:
    return [bool(server.texts(name, "TXT")) for name, _text in known.records(domain)]


OLD, NEW = (DomainKeys(new_set(date)) for date in ("20250101", "20260101"))


@pytest.mark.parametrize("why", ["unsigned", "lost", "broken", "left"])
def test_records_of_keys_stay_that_nobody_has_withdrawn(tmp_path: Path, why: str) -> None:
    keep(tmp_path, OLD, "example.net")
    place = tmp_path / "state" / stored_dkim_keys.DKIM_FILE
    with serve() as server:
        push(site(server, mail_domains=[DOMAIN, "example.net"]), tmp_path)
        assert key_records(server, OLD, "example.net") == [True, True]
        if why == "lost":
            place.unlink()
        if why == "broken":
            place.write_text("nonsense", encoding="utf-8")
        domains = [DOMAIN] if why == "left" else [DOMAIN, "example.net"]
        done = push(site(server, mail_domains=domains, mail_dkim=why in ("lost", "left")), tmp_path)
        assert key_records(server, OLD, "example.net") == [True, True]
        assert not [line for line in done.deleted if "_domainkey" in line]
        assert any("ed20250101._domainkey.example.net" in one and "stay, since mail" in one for one in done.notes)


def test_records_of_keys_that_were_withdrawn_go(tmp_path: Path) -> None:
    keep(tmp_path, dataclasses.replace(NEW, former=OLD.signing))
    with serve() as server:
        push(site(server), tmp_path)
        assert key_records(server, OLD) == key_records(server, NEW) == [True, True]
        keep(tmp_path, NEW)
        done = push(site(server), tmp_path)
        assert (key_records(server, OLD), key_records(server, NEW)) == ([False, False], [True, True])
        assert not [note for note in done.notes if "DKIM" in note]


def test_keys_are_those_of_the_time_at_which_the_push_has_the_lock(tmp_path: Path) -> None:
    keep(tmp_path, OLD)
    with serve() as server:
        waiting = Push(site(server), State(str(tmp_path / "state")), False)
        keep(tmp_path, NEW)
        waiting.run()
        assert (key_records(server, OLD), key_records(server, NEW)) == ([False, False], [True, True])


@pytest.mark.parametrize("error", [DnsError("no answer"), UpdateRefused("REFUSED")])
def test_records_are_forgotten_only_where_the_server_says_that_they_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: DnsError
) -> None:
    def lost(name: str, changes: Iterable[Change], ttl: int) -> bool:
        if not isinstance(error, UpdateRefused):
            sent(name, changes, ttl)
        raise error

    with serve() as server:
        cut = Push(site(server, ("192.0.2.25", "192.0.2.26")), State(str(tmp_path / "state")), False)
        sent = cut._server.update
        monkeypatch.setattr(cut._server, "update", lost)
        with pytest.raises(DnsError):
            cut.run()
        assert bool(kept(tmp_path)) is not isinstance(error, UpdateRefused)
        push(site(server), tmp_path)
        assert server.texts(NAME, "A") == ["192.0.2.25"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"key_secret": "no-base64-at-all!"}, "mail_dns_update.key_secret: must be a key in base64"),
        ({"key_secret": "abcd"}, "mail_dns_update.key_secret: must be a key in base64"),
        ({"key_name": "a..b"}, "mail_dns_update.key_name: must be the name of a key"),
        ({"key_name": SECRET, "key_secret": "mail-dns"}, "mail_dns_update.key_name: must be the name of a key"),
        ({"server": "ns.example.org"}, "mail_dns_update.server is 'ns.example.org': must be an IPv4 or IPv6 address"),
        ({"key_algorithm": "HMAC-MD5"}, "mail_dns_update.key_algorithm is 'HMAC-MD5': must be one of HMAC-SHA256"),
    ],
)
def test_settings_that_are_wrong_are_named(said: dict[str, str], sentence: str) -> None:
    with serve() as server, pytest.raises(SiteError) as caught:
        site(server, mail_dns_update=said)
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)
    assert said.get("key_secret", "-") not in str(caught.value) or "key_secret" not in said


def test_a_key_in_the_dns_longer_than_a_string_is_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Record("s1._domainkey.example.org", "TXT", f'"v=DKIM1; p={"A" * 240}" "{"B" * 200}"')
    known = zone.records
    monkeypatch.setattr(zone, "records", lambda of, domain: [*known(of, domain), key])
    with serve() as server:
        push(site(server), tmp_path)
        (found,) = server._rdatas(dns.name.from_text(key.owner), dns.rdatatype.TXT)
        assert b"".join(found.strings).decode().endswith("B" * 200)
        assert push(site(server), tmp_path).added == []


def test_a_server_that_has_troubles_is_not_one_without_the_zone(tmp_path: Path) -> None:
    with serve(behaviour={f"_sieve._tcp.{DOMAIN}": "servfail"}) as server:
        with pytest.raises(DnsError, match=r"_sieve\._tcp\.example\.org SOA: SERVFAIL"):
            push(site(server), tmp_path)
        assert server.updates == 0


@pytest.mark.parametrize("line", ["* A 198.51.100.1\n* TXT x", "* CNAME www", "* A 192.0.2.25\nmail A 192.0.2.25"])
def test_what_a_wildcard_answers_is_no_record_of_the_name(tmp_path: Path, line: str) -> None:
    with serve({"example.org": f"{line}\nwww A 198.51.100.1\n"}) as server:
        of = site(server)
        assert push(of, tmp_path).refused == []
        for one in zone.records(of, DOMAIN):
            assert server.texts(one.owner, one.kind) == [one.data]
        assert push(of, tmp_path).added == []


def test_without_dnspython_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server:
        of = site(server)
    monkeypatch.setitem(sys.modules, "dns.nameserver", None)
    with pytest.raises(DnsError, match=r"needs the Python package dnspython \(2.4 or newer\) on the controller"):
        push(of, tmp_path)

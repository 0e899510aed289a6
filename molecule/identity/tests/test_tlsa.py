"""TLSA records of the site's own exchanger: other servers verify it by the zone that the site writes, also while its
key changes.

Another host serves the zone, signed, and asks a resolver of its own that validates. Its Postfix judges port 25.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.tests.lib import signed_dns
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Connect, RunAgain, RunOther, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within

NAME, DOMAIN = "mail.example.test", "example.test"
OWNER = f"_25._tcp.{NAME}"
RESOLVER = "world-resolver"
FORWARD = f'forward-zone:\n    name: "."\n    forward-addr: {signed_dns.ADDRESS}\n'


class World:
    """The other host, and what the DNS has there of the site."""

    def __init__(self, other: Host, site: Site) -> None:
        self.other, self.address, self.mail = other, site.hosts["other.example.net"]["lab_ipv4"], site.ipv4

    def publish(self, zone: str, unsigned: bool = False) -> None:
        """Have the DNS answer with the lines of a zone file."""
        anchor = signed_dns.serve([self.other], {DOMAIN: zone}, unsigned=[DOMAIN] if unsigned else [])
        options = ("do-not-query-localhost: no", f'trust-anchor: "{anchor}"')
        config = signed_dns.unbound("0.0.0.0", "0.0.0.0/0", *options) + FORWARD
        self.other.check_output("printf %%s %s > /run/resolver.conf", config)
        self.end_resolver()
        self.other.check_output(f"systemd-run --quiet --unit={RESOLVER} /usr/sbin/unbound -d -c /run/resolver.conf")
        heard = "ss -Hlnu sport = :53 | grep -q 0.0.0.0:53"
        assert within(10, lambda: self.other.run(heard).rc == 0)

    def end_resolver(self) -> None:
        self.other.run(f"systemctl stop {RESOLVER}; systemctl reset-failed {RESOLVER}")

    def key(self) -> str:
        """Return the SHA-256 of the key that port 25 shows to this host."""
        shown = f"openssl s_client -starttls smtp -connect {self.mail}:25 </dev/null 2>/dev/null"
        public = "openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
        return self.other.check_output(f"{shown} | {public}").split()[0]

    def trusts(self) -> bool:
        """Tell whether Postfix verifies the exchanger by DANE."""
        done = self.other.run(f"posttls-finger -c -t 10 -l dane -L summary '[{NAME}]:25' 2>&1")
        print(done.stdout)
        return f"Verified TLS connection established to {NAME}" in done.stdout


@pytest.fixture(scope="module")
def world(connect: Connect, site: Site) -> Iterator[World]:
    found = World(connect("other.example.net"), site)
    before = found.other.check_output("cat /etc/resolv.conf")
    found.other.check_output("printf 'nameserver 127.0.0.1\\n' > /etc/resolv.conf")
    yield found
    found.other.check_output("printf '%%s\\n' %s > /etc/resolv.conf", before)
    found.end_resolver()
    signed_dns.stop(found.other)


class Report:
    """The playbook postamt.mail.dns, which writes zone files."""

    def __init__(self, ansible: RunOther, said: dict[str, Any]) -> None:
        self._ansible, self._said = ansible, said
        self._folder = Path(said["mail_zone_dir"])

    def __call__(self, **more: Any) -> str:
        return " ".join(self._ansible("postamt.mail.dns", {**self._said, **more}).split())

    @property
    def zone(self) -> str:
        return (self._folder / f"{DOMAIN}.zone").read_text(encoding="utf-8")

    @property
    def keys(self) -> set[str]:
        """The keys that the zone names."""
        return {line.rpartition(" TLSA 3 1 1 ")[2] for line in self.zone.splitlines() if " TLSA " in line}


@pytest.fixture(scope="module")
def said(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The variables of all runs here."""
    folder = str(tmp_path_factory.mktemp("zones"))
    return {"mail_tlsa": True, "mail_dns_ttl": 1, "mail_zone_dir": folder, "dns_resolvers": [world.address]}


@pytest.fixture
def report(ansible: RunOther, said: dict[str, Any]) -> Report:
    return Report(ansible, said)


def test_others_verify_the_exchanger_by_its_zone(world: World, report: Report) -> None:
    key = world.key()
    world.publish(f"{NAME}. 60 IN A {world.mail}\n")
    assert f"missing {OWNER} TLSA 3 1 1 {key}" in report()
    assert report.keys == {key}
    world.publish(report.zone)
    assert world.trusts()
    told = report()
    assert f"missing {OWNER}" not in told and "no TLSA record of" not in told and "DNSSEC" not in told


def test_a_record_of_another_key_is_told_since_it_keeps_mail_away(world: World, report: Report) -> None:
    key = world.key()
    wrong = report.zone.replace(key, "0" * 64)
    world.publish(wrong, unsigned=True)
    told = report(mail_tlsa=False)
    assert f"no TLSA record of {NAME} in the DNS fits the key there (SHA-256 {key})" in told
    assert f"the TLSA records of {NAME} have no effect, since the zone is not signed (DNSSEC)" in told
    world.publish(wrong)
    assert not world.trusts()


def test_a_key_changes_once_the_dns_has_shown_the_next_one(
    world: World, report: Report, host: Host, play: RunAgain, site: Site, said: dict[str, Any]
) -> None:
    before = world.key()
    rsa = {"mail_certificates": {**site.vars["mail_certificates"], "public": {"key_type": "rsa"}}}
    refused = play({**said, **rsa}, tags="certificates")
    assert refused.failed and "The DNS names the present key (mail_tlsa)" in refused.message
    assert world.key() == before
    following = host.check_output("postamt-certificates next-key --type rsa").strip()
    announced = {**rsa, "mail_tlsa_next": [following]}
    assert f"next key {following}: the DNS has no TLSA record of it for {NAME} yet" in report(**announced)
    assert report.keys == {before, following}
    world.publish(report.zone)
    assert f"next key {following}: resolvers may still know older TLSA records of {NAME}" in report(**announced)

    def usable() -> bool:
        return f"next key {following}: {NAME} may use it" in report(**announced)

    assert within(60, usable)
    taken = play({**said, **announced}, tags="certificates")
    assert any(one.startswith("issued certificate public") for one in taken.actions)
    assert world.key() == following
    assert world.trusts()
    told = report(**announced)
    assert f"next key {following}: {NAME} shows it: remove it from mail_tlsa_next" in told
    assert f"{NAME} also has the TLSA record 3 1 1 {before}, which fits no certificate that it shows" in told
    assert report.keys == {following}
    assert play({**said, **rsa}, tags="certificates").actions == ["wrote /etc/postamt/next-keys.json"]
    assert play({**said, **rsa}, tags="certificates").changed == []


def test_without_tlsa_any_key_will_do(world: World, host: Host, play: RunAgain) -> None:
    before = world.key()
    assert not play(tags="certificates").failed
    assert world.key() != before
    assert not host.file("/etc/postamt/next-keys.json").exists

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The task that compares and sends DNS records, as a playbook runs it."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.tests.lib.dns_server import DnsServer

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
ZONES = {"example.org": "", "2.0.192.in-addr.arpa": "25 PTR mail.example.org.\n"}


class Site:
    """One host that nobody contacts, and a name server that is its resolver and takes its updates."""

    def __init__(self, folder: Path, server: DnsServer) -> None:
        self.folder, self.server = folder, server
        self.more: dict[str, t.Any] = {}

    def run(self, *options: str, **task: t.Any) -> subprocess.CompletedProcess[str]:
        updates = {"server": "127.0.0.1", "port": self.server.port, "key_name": "site", "key_secret": SECRET}
        said = {"mail_domains": ["example.org"], "mail_state_dir": str(self.folder / "state"), **self.more}
        hosts = {"mail.example.org": {"mail_host_addresses": ["192.0.2.25"]}}
        inventory = {"mail": {"hosts": hosts, "vars": {"mail_dns_update": updates, **said}}}
        given = {"resolvers": self.server.resolver, **task}
        play = {"hosts": "mail", "gather_facts": False, "tasks": [{"postamt.mail.dns": given, "run_once": True}]}
        (self.folder / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (self.folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(self.folder / "hosts.yml"), *options, str(self.folder / "play.yml")]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    with DnsServer(ZONES, keys={"site": SECRET}) as server:
        yield Site(tmp_path, server)


def test_from_nothing_to_all_right(site: Site) -> None:
    site.more = {"mail_zone_dir": str(site.folder / "zones")}
    before = site.run("--check", push=True, strict=True)
    assert "would be added: example.org MX 10 mail.example.org." in before.stdout
    assert "dns_strict: of the site's DNS records, " in before.stdout and "example.org MX" in before.stdout
    assert before.returncode and not (site.folder / "zones").exists() and not (site.folder / "state").exists()
    assert site.server.updates == 0

    sent = site.run("-vvv", "--diff", push=True)
    assert sent.returncode == 0 and "changed=1" in sent.stdout, sent.stdout
    assert SECRET not in sent.stdout
    written = {path.name: path.read_text(encoding="utf-8") for path in (site.folder / "zones").iterdir()}
    assert set(written) == {"example.org.zone", "dns-report.json"}
    assert "example.org. 3600 IN MX 10 mail.example.org." in written["example.org.zone"]

    again = site.run(push=True, strict=True)
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
    assert "All records are right: example.org" in again.stdout


def test_missing_records_alone_fail_nothing(site: Site) -> None:
    done = site.run()
    assert done.returncode == 0 and "changed=0" in done.stdout
    assert '  missing    example.org                    TXT   "v=spf1 mx -all"' in done.stdout


def test_a_record_that_may_not_be_sent_fails_the_task(site: Site) -> None:
    site.server.add("example.org", "TXT", '"v=spf1 ip4:198.51.100.1 -all"')
    refused = site.run(push=True)
    assert refused.returncode and "example.org has an SPF record that this site has not sent" in refused.stdout
    assert site.server.texts("example.org", "MX") == ["10 mail.example.org."]


def test_a_record_of_ones_own_that_serves_as_well_may_stay(site: Site) -> None:
    site.server.add("example.org", "TXT", '"v=spf1 ip4:192.0.2.25 -all"')
    well = site.run(push=True, strict=True)
    assert well.returncode == 0 and "1 of your own may stay" in well.stdout, well.stdout
    assert "[WARNING]: example.org has an SPF record that this site has not sent" in well.stdout


def test_what_is_wrong_is_named_before_anything_is_asked(site: Site) -> None:
    site.more = {"mail_dns_update": None}
    for task, sentence in (
        ({"push": True}, "dns_push is True: needs mail_dns_update, the name server to which records go"),
        ({"resolvers": ["ns.example.org"]}, "dns_resolvers[0] is 'ns.example.org': must be ADDRESS or ADDRESS#PORT"),
        ({"strict": "maybe"}, "dns_strict is 'maybe': must be true or false"),
    ):
        done = site.run(**task)
        assert done.returncode and sentence in done.stdout, done.stdout
    assert site.server.asked == []

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is shown of a site: everything but its secrets, and zone files that other servers can use."""

from __future__ import annotations

import re
import types
from pathlib import Path

import jmespath
import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import File, make_plan
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.zone import warnings, zones
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.show import overview
from ansible_collections.postamt.mail.tests.lib.looks import looked

REPOSITORY = Path(__file__).resolve().parents[5]
NAME = "mail.example.org"
HASH = "{CRYPT}$6$salt$" + 43 * "d5"


def site(release: str = "trixie", addresses: tuple[str, ...] = ("192.0.2.25", "2001:db8::25"), **more: object) -> Site:
    variables = {
        "mail_domains": ["example.org", "example.net"],
        "mail_accounts": [
            {"address": "alice@example.org", "password": "open-sesame-1"},
            {"address": "bob@example.org", "password_hash": HASH},
        ],
        "mail_relayhost": {"host": "smtp.example.net", "username": "u", "password": "relay-secret-1"},
        "mail_acme": {
            "public": {
                "email": "alice@example.org",
                "agree_to_terms": True,
                "challenge": "dns-01",
                "dns": {"server": "192.0.2.53", "key_name": "acme", "key_secret": "YWNtZS1zZWNyZXQtMQ=="},
            }
        },
        **more,
    }
    look = looked(release=release, addresses=list(addresses))
    return parse_site(variables, {NAME: HostInput(look=look)}, compose.concerns().values())


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_no_secret_is_shown(release: str) -> None:
    found = site(release)
    shown = str(overview(found, found.hosts[NAME], {}))
    secrets = ["open-sesame-1", "relay-secret-1", "YWNtZS1zZWNyZXQtMQ==", HASH[20:], *found.secrets.known.values()]
    assert len(secrets) > 5
    assert not [secret for secret in secrets if secret in shown]


def test_of_a_secret_file_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A private key is in no list of secrets, and so are its lines."""
    files = [File("/etc/x.key", "-----BEGIN\nMIIE", "0600", secret=True), File("/etc/x.conf", "key = /etc/x.key\n")]
    monkeypatch.setattr(compose, "plan", lambda *_given: make_plan(files=files))
    found = site()
    for shown in overview(found, found.hosts[NAME], {}).values():
        assert shown["files"] == {"/etc/x.key": ["(hidden)"], "/etc/x.conf": ["key = /etc/x.key"]}


def test_each_program_is_shown() -> None:
    found = site()
    shown = overview(found, found.hosts[NAME], {"postfix": {"settings": {"smtpd_banner": "hello"}}})
    assert set(compose.programs()) == set(shown)
    assert "smtpd_banner = hello" in shown["postfix"]["files"]["/etc/postfix/main.cf"]


def test_what_the_guides_pick_is_there() -> None:
    found = site()
    shown = overview(found, found.hosts[NAME], {})
    pages = [*REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md"]
    picked = {pick for page in pages for pick in re.findall(r"-e pick='?([\w.]+)", page.read_text(encoding="utf-8"))}
    assert {"postfix.files", "ldap.entries.accounts"} <= picked
    assert [pick for pick in picked if not jmespath.search(pick, shown)] == []


def test_zone_files() -> None:
    found = zones(site())
    assert set(found) == {"example.org.zone", "example.net.zone"}
    lines = found["example.org.zone"].splitlines()
    assert "example.org. 3600 IN MX 10 mail.example.org." in lines
    assert "mail.example.org. 3600 IN A 192.0.2.25" in lines
    assert "mail.example.org. 3600 IN AAAA 2001:db8::25" in lines
    assert not [line for line in found["example.net.zone"].splitlines() if " A " in line]


@pytest.mark.parametrize("program", ["postfix", "dovecot", "ldap", "haproxy", "sasl"])
@pytest.mark.parametrize("value", ["x", ["x"], 5])
def test_settings_that_are_no_mapping_are_named(program: str, value: object) -> None:
    found = site()
    with pytest.raises(ComposeError, match=f"^{program}_settings: must be a mapping, not a {type(value).__name__}$"):
        compose.plan(program, found, found.hosts[NAME], {"settings": value})


def test_what_a_relayhost_sends_is_not_refused_for_its_address() -> None:
    unnamed, named = site(), site(mail_spf_includes=["_spf.example.com"])
    alone = site(mail_relayhost=None)
    for found, record, warned in (
        (unnamed, "v=spf1 mx ?all", True),
        (named, "v=spf1 mx include:_spf.example.com -all", False),
        (alone, "v=spf1 mx -all", False),
    ):
        assert f'example.org. 3600 IN TXT "{record}"' in zones(found)["example.org.zone"].splitlines()
        assert any("mail_spf_includes" in sentence for sentence in warnings(found)) == warned


BRIDGES = ("10.89.0.1", "172.17.0.1", "100.64.0.3", "fd00:89::1")


@pytest.mark.parametrize(
    ("addresses", "published", "warned"),
    [
        (("192.0.2.25", *BRIDGES), ["192.0.2.25"], ""),
        (("10.0.0.5", "2001:db8::25"), ["2001:db8::25"], "no IPv4 address of mail.example.org"),
        (("2001:db8::25",), ["2001:db8::25"], ""),
        (("10.0.0.5", "fd00::5"), ["10.0.0.5", "fd00::5"], "mail.example.org has private addresses only"),
    ],
    ids=["bridges", "IPv4 behind NAT", "no IPv4", "behind NAT"],
)
def test_private_addresses_are_published_only_where_there_is_no_other(
    addresses: tuple[str, ...], published: list[str], warned: str
) -> None:
    found = site(addresses=addresses, mail_relayhost=None)
    lines = zones(found)["example.org.zone"].splitlines()
    assert [line.split()[-1] for line in lines if line.split()[3] in ("A", "AAAA")] == published
    told = [sentence for sentence in warnings(found) if "mail_host_addresses" in sentence]
    assert [warned in sentence for sentence in told] == ([True] if warned else [])


def test_any_concern_contributes_records(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Record("s1._domainkey.example.org", "TXT", '"v=DKIM1; p=AAAA"')
    more = types.SimpleNamespace(dns=lambda _site, domain: [key, key] if domain == "example.org" else [])
    found, known = site(), dict(compose.concerns())
    before = zones(found)
    for concerns in ({**known, "more": more}, {"more": more, **dict(reversed(known.items()))}):
        monkeypatch.setattr(compose, "concerns", lambda concerns=concerns: concerns)
        after = zones(found)
        assert after["example.net.zone"] == before["example.net.zone"]
        added = [
            line
            for line in after["example.org.zone"].splitlines()
            if line not in before["example.org.zone"].splitlines()
        ]
        assert added == ['s1._domainkey.example.org. 3600 IN TXT "v=DKIM1; p=AAAA"']

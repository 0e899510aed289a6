# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's own policy: its text and records, who serves it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity import mta_sts_policy
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
ALONE = {NAME: HostInput(variables={"mail_host_addresses": ["192.0.2.1", "2001:db8::1"]})}
SEVERAL = {
    "mx1.example.org": HostInput(("mail", "mail_mx"), {"mail_host_addresses": ["192.0.2.1"]}),
    "mx2.example.org": HostInput(("mail", "mail_mx"), {"mail_host_addresses": ["192.0.2.2"]}),
    "store.example.org": HostInput(("mail", "mail_store", "mail_directory", "mail_submission")),
}
DOMAINS = ["example.org", "example.net"]
NAMES = [f"mta-sts.{domain}" for domain in DOMAINS]
OWN_CA: dict[str, Any] = {"mail_certificates": {"mta-sts": {"names": NAMES}}}
ACME: dict[str, Any] = {"email": "postmaster@example.org", "agree_to_terms": True}
DNS: dict[str, Any] = {
    "challenge": "dns-01",
    "dns": {"server": "192.0.2.53", "key_name": "a.", "key_secret": "c2VjcmV0c2VjcmV0"},
}


def site_of(mode: str | None, hosts: dict[str, HostInput] | None = None, **said: Any) -> Site:
    given = {"mail_domains": DOMAINS, "mail_mta_sts_policy": mode, **said}
    return parse_site(given, hosts or ALONE, compose.concerns().values())


def refusal(mode: str, hosts: dict[str, HostInput] | None = None, **said: Any) -> str:
    with pytest.raises(SiteError) as caught:
        site_of(mode, hosts, **said)
    return str(caught.value).partition("\n- ")[2]


def plan(site: Site, name: str = NAME) -> dict[str, Any]:
    return compose.plan("mta_sts_server", site, site.hosts[name])


def records(site: Site, domain: str) -> list[str]:
    return [f"{one.owner} {one.kind} {one.data}" for one in mta_sts_policy.dns(site, domain)]


def policy(site: Site, name: str = NAME) -> str:
    return next(
        str(file["content"]) for file in plan(site, name)["files"] if file["path"] == "/etc/postamt/mta-sts.txt"
    )


def test_a_site_has_none_by_default() -> None:
    site = site_of(None)
    assert plan(site)["wanted"] is False and plan(site)["files"] == []
    assert records(site, "example.org") == [] and list(mta_sts_policy.dns_warnings(site)) == []


@pytest.mark.parametrize("mode", ["none", "testing"])
def test_each_domain_has_the_same_policy(mode: str) -> None:
    site = site_of(mode, **OWN_CA)
    assert policy(site) == f"version: STSv1\r\nmode: {mode}\r\nmx: {NAME}\r\nmax_age: 604800\r\n"
    for domain in DOMAINS:
        txt, *addresses = records(site, domain)
        assert txt.startswith(f'_mta-sts.{domain} TXT "v=STSv1; id=')
        assert addresses == [f"mta-sts.{domain} A 192.0.2.1", f"mta-sts.{domain} AAAA 2001:db8::1"]
    assert list(mta_sts_policy.dns_warnings(site)) == []


def test_the_record_changes_with_the_policy_and_only_then() -> None:
    def identity(mode: str, **said: Any) -> str:
        text = records(site_of(mode, **OWN_CA, **said), "example.org")[0].partition("id=")[2].rstrip('"')
        assert text.isalnum() and 1 <= len(text) <= 32  # RFC 8461, 3.1
        return text

    assert identity("testing") == identity("testing", mail_dkim=False)
    assert len({identity("none"), identity("testing"), identity("testing", mail_mta_sts_max_age=86400)}) == 3


def test_each_exchanger_serves_it() -> None:
    site = site_of("testing", SEVERAL, **OWN_CA)
    assert [name for name in SEVERAL if plan(site, name)["wanted"]] == ["mx1.example.org", "mx2.example.org"]
    assert "mx: mx1.example.org\r\nmx: mx2.example.org\r\n" in policy(site, "mx2.example.org")
    assert [line.split()[2] for line in records(site, "example.net")[1:]] == ["192.0.2.1", "192.0.2.2"]


def test_another_web_server_may_serve_it() -> None:
    site = site_of("testing", mail_mta_sts_serve=False)
    assert plan(site)["wanted"] is False
    assert [line.split()[1] for line in records(site, "example.org")] == ["TXT"]
    (warning,) = mta_sts_policy.dns_warnings(site)
    assert "version: STSv1 / mode: testing / mx: mail.example.org / max_age: 604800" in warning


@pytest.mark.parametrize(("ipv6", "bind"), [(True, "bind [::]:443 v4v6 ssl"), (False, "bind 0.0.0.0:443 ssl")])
def test_the_server_has_its_certificate_and_is_asked(ipv6: bool, bind: str) -> None:
    site = site_of("testing", {NAME: HostInput(look=looked(ipv6=ipv6))}, **OWN_CA)
    found = plan(site)
    assert bind in next(file["content"] for file in found["files"] if file["path"].endswith(".cfg"))
    assert found["watch"] == ["/etc/postamt/tls/mta-sts/chain.pem", "/etc/postamt/tls/mta-sts/key.pem"]
    assert [one["port"] for one in found["serves"]] == [443]
    assert found["questions"][0]["arguments"]["text"] == policy(site)
    off = site_of(None)
    assert memory.needed(site, site.hosts[NAME]) - memory.needed(off, off.hosts[NAME]) == 25 * memory.MB


def test_without_a_certificate_nobody_could_fetch_it() -> None:
    assert refusal("testing") == (
        "mail_mta_sts_policy is 'testing': needs certificate mta-sts in mail_acme or mail_certificates, for "
        "mta-sts.example.org, mta-sts.example.net; or set mail_mta_sts_serve: false"
    )


@pytest.mark.parametrize("where", ["mail_acme", "mail_certificates"])
def test_the_certificate_has_each_domain_s_name(where: str) -> None:
    some: dict[str, Any] = {"names": NAMES[:1], **(ACME if where == "mail_acme" else {})}
    assert refusal("testing", None, **{where: {"mta-sts": some}}) == (
        f"{where}.mta-sts.names: must have mta-sts.example.net, for mail_mta_sts_policy: testing; or set "
        "mail_mta_sts_serve: false"
    )


def test_several_hosts_cannot_prove_one_name_over_http() -> None:
    acme: dict[str, Any] = {"mta-sts": {**ACME, "names": NAMES}}
    assert "mail_acme.mta-sts.challenge is 'http-01': must be dns-01" in refusal("testing", SEVERAL, mail_acme=acme)
    assert site_of("testing", ALONE, mail_acme=acme)
    assert site_of("testing", SEVERAL, mail_acme={"mta-sts": {**ACME, "names": NAMES, **DNS}})


def test_nobody_can_verify_the_site_s_own_ca() -> None:
    found = refusal("enforce", **OWN_CA)
    for name in ("mta-sts", "public"):
        assert (
            f"mail_mta_sts_policy is 'enforce': needs certificate {name} from an authority that the world trusts"
            in found
        )
    assert "certificate public" in refusal("enforce", mail_mta_sts_serve=False)


@pytest.mark.parametrize(
    "public",
    [
        {"mail_acme": {"public": {**ACME, "names": [NAME]}}},
        {"mail_certificates": {"public": {"certificate": "a.pem", "key": "a.key", "names": [NAME]}}},
        {"mail_certificates": {"public": {"hook": True}}},  # for mail_server_name, which is the host's
    ],
)
def test_enforce_takes_certificates_of_others(public: dict[str, Any]) -> None:
    assert site_of("enforce", mail_mta_sts_serve=False, **public)
    acme = {**public.get("mail_acme", {}), "mta-sts": {**ACME, "names": NAMES}}
    assert "mode: enforce" in policy(site_of("enforce", **{**public, "mail_acme": acme}))


def test_enforce_wants_the_exchangers_names_in_their_certificate() -> None:
    public = {"public": {**ACME, **DNS, "names": ["mx1.example.org"]}}
    assert refusal("enforce", SEVERAL, mail_mta_sts_serve=False, mail_acme=public) == (
        "mail_acme.public.names: must have mx2.example.org, for mail_mta_sts_policy: enforce; or set "
        "mail_mta_sts_policy: testing"
    )


def test_a_domain_may_be_too_long_for_the_records() -> None:
    long = ".".join(["a" * 60] * 4) + ".test"
    assert "leaves no room" in refusal("testing", mail_domains=[long], mail_mta_sts_serve=False, mail_dkim=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mail_mta_sts_policy", "enforced"), ("mail_mta_sts_policy", True), ("mail_mta_sts_max_age", 3600),
     ("mail_mta_sts_max_age", 31557601), ("mail_mta_sts_serve", "mx1")],
)  # fmt: skip
def test_other_values_are_refused(name: str, value: Any) -> None:
    assert refusal("testing", **{**OWN_CA, name: value}).startswith(f"{name} is {value!r}: must be ")

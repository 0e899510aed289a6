# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies of other domains: which hosts ask for them, for which mail, and what the daemon is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import mta_sts_resolver, postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import text_of
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.mta_sts_resolver import MtaStsResolver
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
HOSTS = {
    "mx.example.org": HostInput(("mail", "mail_mx")),
    "out.example.org": HostInput(("mail", "mail_submission")),
    "store.example.org": HostInput(("mail", "mail_store", "mail_directory")),
    "web.example.org": HostInput(("mail", "mail_client")),
}
RELAYHOST = {"host": "smtp.example.net"}


def site_of(hosts: dict[str, HostInput] | None = None, **said: Any) -> Site:
    concerns = compose.concerns().values()
    return parse_site({"mail_domains": ["example.org"], **said}, hosts or {NAME: HostInput()}, concerns)


def plan(site: Site, name: str = NAME) -> dict[str, Any]:
    return compose.plan("mta_sts_resolver", site, site.hosts[name])


def content(found: dict[str, Any], path: str) -> str:
    return next(str(file["content"]) for file in found["files"] if file["path"] == path)


def asked(site: Site, name: str = NAME) -> tuple[str, Any]:
    """Return the TLS policies of Postfix's clients, and what the client for chosen servers has instead."""
    host = site.hosts[name]
    main, services = postfix.configuration(host, compose.contributions("postfix", site, host), {})
    relay = services.get("relay/unix")
    return text_of(main.get("smtp_tls_policy_maps", "")), relay.options.get("mta_sts_maps") if relay else None


def test_a_host_that_sends_to_the_world_asks() -> None:
    site = site_of()
    assert asked(site) == ("$mta_sts_maps", "")
    found = plan(site)
    assert found["wanted"]
    assert found["directories"] == [
        {"path": "/var/spool/postfix/mta-sts", "mode": "2750", "owner": "_mta-sts", "group": "postfix"}
    ]
    assert found["units"] == [{"name": "postfix-mta-sts-resolver.service", "running": True}]


def test_hosts_that_hand_their_mail_on_do_not() -> None:
    site = site_of(HOSTS)
    assert [name for name in HOSTS if plan(site, name)["wanted"]] == ["mx.example.org", "out.example.org"]
    assert asked(site, "store.example.org") == asked(site, "web.example.org") == ("", None)


@pytest.mark.parametrize("said", [{"mail_mta_sts_check": False}, {"mail_relayhost": RELAYHOST}])
def test_it_may_be_off_and_is_where_a_provider_sends(said: dict[str, Any]) -> None:
    site = site_of(**said)
    assert plan(site)["wanted"] is False and plan(site)["files"] == []
    assert "mta_sts" not in asked(site)[0]
    assert not any("mta-sts" in one.what for _concern, one in site.asked("memory", site.hosts[NAME]))


def test_it_takes_memory() -> None:
    on, off = site_of(), site_of(mail_mta_sts_check=False)
    assert memory.needed(on, on.hosts[NAME]) - memory.needed(off, off.hosts[NAME]) == 60 * memory.MB


def test_another_value_than_yes_or_no_is_refused() -> None:
    with pytest.raises(SiteError, match="mail_mta_sts_check"):
        site_of(mail_mta_sts_check="enforce")


@pytest.mark.parametrize(("release", "more"), [("bookworm", {}), ("trixie", {"default_zone": {"tlsrpt": True}})])
def test_the_daemon_is_told_what_its_release_knows(release: str, more: dict[str, Any]) -> None:
    site = site_of({NAME: HostInput(look=looked(release=release))})
    said = json.loads(content(plan(site), "/etc/postamt/mta-sts.yml").partition("\n")[2])
    assert said == {
        "path": "/var/spool/postfix/mta-sts/socket",
        "mode": 0o660,
        "cache": {"type": "sqlite", "options": {"filename": "/var/lib/mta-sts/cache.db"}},
        "proactive_policy_fetching": {"enabled": True},
        **more,
    }


@pytest.mark.parametrize("resolver", ["", "127.0.0.1"])
def test_dane_is_looked_at_where_the_site_uses_it(resolver: str) -> None:
    site = site_of()
    parts = [("mta_sts", MtaStsResolver()), ("dane", MtaStsResolver(resolver))]
    found = mta_sts_resolver.plan(site, site.hosts[NAME], parts, {})
    drop_in = content(found, "/etc/systemd/system/postfix-mta-sts-resolver.service.d/postamt.conf")
    (start,) = [line for line in drop_in.splitlines() if line.startswith("ExecStart=/")]
    assert start.endswith(f"/etc/postamt/mta-sts.yml{' --dane 127.0.0.1' if resolver else ''}")


def test_dane_and_its_resolver_come_from_the_site() -> None:
    drop_in = "/etc/systemd/system/postfix-mta-sts-resolver.service.d/postamt.conf"
    assert " --dane 127.0.0.153\n" in content(plan(site_of()), drop_in)
    assert "--dane" not in content(plan(site_of(mail_dane=False)), drop_in)


def test_two_resolvers_are_one_too_many() -> None:
    site = site_of()
    parts = [("one", MtaStsResolver("127.0.0.1")), ("two", MtaStsResolver("127.0.0.2"))]
    with pytest.raises(ComposeError, match=r"127\.0\.0\.1 and 127\.0\.0\.2"):
        mta_sts_resolver.plan(site, site.hosts[NAME], parts, {})


@pytest.mark.parametrize(
    ("policies", "maps"),
    [("inline:{broken.example=may}, $mta_sts_maps", True), ("inline:{broken.example=may}", False), (None, False)],
)
def test_an_administrator_s_own_list_of_policies_may_leave_them_out(policies: str | None, maps: bool) -> None:
    """Postfix warns of a parameter that nothing refers to, and then the run would stop."""
    site = site_of()
    host = site.hosts[NAME]
    parts = compose.contributions("postfix", site, host)
    main, services = postfix.configuration(host, parts, {"settings": {"smtp_tls_policy_maps": policies}})
    assert main.get("smtp_tls_policy_maps") == policies
    assert ("mta_sts_maps" in main) == maps and ("mta_sts_maps" in services["relay/unix"].options) == maps

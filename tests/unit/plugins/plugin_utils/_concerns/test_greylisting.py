# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Greylisting: who keeps the memory, who asks, and who is exempt."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, links
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, needed
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import IPAddress
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import text_of

ALONE = {"mail.example.org": HostInput()}
SEVERAL = {
    "mx1.example.org": HostInput(("mail", "mail_mx")),
    "mx2.example.org": HostInput(("mail", "mail_mx")),
    "out.example.org": HostInput(("mail", "mail_submission")),
    "store.example.org": HostInput(("mail", "mail_store", "mail_directory")),
}


def site_of(hosts: dict[str, HostInput] = ALONE, **said: Any) -> Site:
    given = {"mail_domains": ["example.org"], "mail_greylisting": True, **said}
    return parse_site(given, hosts, compose.concerns().values())


def plan(site: Site, name: str = "mail.example.org", settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return compose.plan("postgrey", site, site.hosts[name], {"settings": settings or {}})


def content(found: dict[str, Any], path: str) -> Any:
    return next((file["content"] for file in found["files"] if file["path"] == path), None)


def asks(site: Site, name: str) -> str:
    """Return whom Postfix of a host asks about mail from the world; it asks nobody of these about users' mail."""
    host = site.hosts[name]
    main, _services = postfix.configuration(host, compose.contributions("postfix", site, host), {})
    assert "grey" not in text_of(main.get("mua_recipient_restrictions", ""))
    return text_of(main.get("smtpd_recipient_restrictions", ""))


def test_it_is_off_by_default() -> None:
    site = site_of(mail_greylisting=False)
    assert plan(site)["wanted"] is False and plan(site)["files"] == []
    assert "grey" not in asks(site, "mail.example.org")


def test_one_host_has_a_socket_for_its_postfix_alone() -> None:
    site = site_of(mail_greylisting_delay=60)
    found = plan(site)
    assert found["directories"] == [
        {"path": "/var/spool/postfix/postgrey", "mode": "0750", "owner": "postgrey", "group": "postfix"}
    ]
    assert content(found, "/etc/default/postgrey").splitlines()[1:] == [
        'POSTGREY_OPTS="--delay=60 --greylist-action=451 --unix=/var/spool/postfix/postgrey/socket"',
        'POSTGREY_TEXT="4.7.1 Not known here yet, please come again in %s seconds"',
    ]
    assert "{ unix:postgrey/socket, default_action=DUNNO }" in asks(site, "mail.example.org")
    assert links.outgoing(site, site.hosts["mail.example.org"]) == []


def test_of_several_exchangers_one_remembers_for_all() -> None:
    site = site_of(SEVERAL)
    assert [name for name in site.hosts if plan(site, name)["wanted"]] == ["mx1.example.org"]
    assert plan(site, "mx1.example.org")["directories"][0]["group"] == "postdrop"  # HAProxy, and not Postfix, asks
    for name in ("mx1.example.org", "mx2.example.org"):
        assert "unix:private/greylisting" in asks(site, name)
        (link,) = [one for one in links.outgoing(site, site.hosts[name]) if one.name == "greylisting"]
        assert (link.bind, link.owner) == ("/var/spool/postfix/private/greylisting", "postfix")
        others = [host.name for host in link.to]
        assert (link.local, others) == (
            ("/var/spool/postfix/postgrey/socket", []) if name == "mx1.example.org" else ("", ["mx1.example.org"])
        )
    (end,) = [one for one in links.incoming(site, site.hosts["mx1.example.org"]) if one.name == "greylisting"]
    assert ([host.name for host in end.callers], end.target) == (
        ["mx2.example.org"],
        "/var/spool/postfix/postgrey/socket",
    )
    assert "greylisting" not in asks(site, "out.example.org")  # whose mail is users' alone


def test_who_is_exempt_is_in_postgreys_own_lists() -> None:
    exempt = {"clients": ["192.0.2.0/24", "2001:db8::1", "example.com"], "recipients": ["sales@example.org"]}
    found = plan(site_of(mail_greylisting_exempt=exempt))
    clients = content(found, "/etc/postgrey/whitelist_clients.local")
    assert clients.splitlines()[1:] == ["192.0.2.0/24", "2001:db8::1", "example.com"]
    assert content(found, "/etc/postgrey/whitelist_recipients.local").splitlines()[1:] == ["sales@example.org"]
    assert content(plan(site_of()), "/etc/postgrey/whitelist_recipients.local") is None


def test_the_sites_own_hosts_never_wait() -> None:
    """Each run asks Postfix by the host's outside address whether it takes mail."""
    seen = {"mail.example.org": HostInput(look=Look(addresses=[IPAddress("192.0.2.25"), IPAddress("2001:db8::25")]))}
    assert content(plan(site_of(seen)), "/etc/postgrey/whitelist_clients.local").splitlines()[1:] == [
        "192.0.2.25",
        "2001:db8::25",
    ]


@pytest.mark.parametrize(
    "client",
    ["192.0.2.1/24", "a b", "/x/", "", "1.2.3", "#", "192.0.2.0/255.255.255.0", "fe80::1%eth0", "::1%x#"],
)
def test_what_is_no_server_is_refused(client: str) -> None:
    with pytest.raises(SiteError, match=r"mail_greylisting_exempt.clients\[0\] .*must be the name of a server"):
        site_of(mail_greylisting_exempt={"clients": [client]})


@pytest.mark.parametrize("delay", [0, -1, 86401])
def test_a_delay_of_nobodys_patience_is_refused(delay: int) -> None:
    with pytest.raises(SiteError, match="mail_greylisting_delay"):
        site_of(mail_greylisting_delay=delay)


def test_settings_of_ones_own_win_and_are_checked() -> None:
    text = content(plan(site_of(), settings={"max-age": 90, "privacy": True, "delay": None}), "/etc/default/postgrey")
    assert "--max-age=90 --privacy --unix=" in text and "--delay" not in text
    with pytest.raises(ComposeError, match="max-agee is no option of postgrey; did you mean max-age"):
        plan(site_of(), settings={"max-agee": 90})
    assert 'TEXT="Don\'t hurry, %s s"' in content(
        plan(site_of(), settings={"greylist-text": "Don't hurry, %s s"}), "/etc/default/postgrey"
    )
    for wrong in (
        {"delay": "1 --unix=/x"},
        {"delay": "1\t--unix=/x"},
        {"greylist-text": 'a" b'},
        {"greylist-text": "$(id)"},
        {"hostname": "a\nb"},
        {"hostname": "a'b"},
    ):
        with pytest.raises(ComposeError, match="must have no quotes, and no spaces"):
            plan(site_of(), settings=wrong)


def test_a_postgrey_of_somebody_else_is_left_alone() -> None:
    """What this collection has started it stops by its manifest."""
    off = plan(site_of(mail_greylisting=False))
    assert not off["wanted"] and off["units"] == []


def test_its_memory_is_counted() -> None:
    on, off = (needed(site, site.hosts["mail.example.org"]) for site in (site_of(), site_of(mail_greylisting=False)))
    assert on - off == 30 * MB

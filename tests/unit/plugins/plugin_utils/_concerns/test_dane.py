# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a site to its resolver, and to what Postfix asks it and how it trusts other servers (DANE)."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Word

NAME = "mail.example.org"
RELAY = {"host": "smtp.example.net"}


def site(release: str = "trixie", hosts: t.Mapping[str, t.Any] | None = None, **variables: t.Any) -> Site:
    given = {"mail_domains": ["example.org"], "mail_authentication": False, **variables}
    inputs = hosts or {NAME: HostInput(look=Look(release=Word(release)))}
    return parse_site(given, inputs, compose.concerns().values())


def plan(program: str, found: Site, settings: t.Any = None, name: str = NAME) -> compose.Plan:
    return compose.plan(program, found, found.hosts[name], {"settings": settings})


def unbound(settings: t.Any = None, **variables: t.Any) -> list[str]:
    """Return the lines of Unbound's configuration."""
    return str(content(plan("unbound", site(**variables), settings), "/etc/unbound/postamt.conf")).splitlines()


def content(found: compose.Plan, path: str) -> t.Any:
    return next(file["content"] for file in found["files"] if file["path"] == path)


@pytest.mark.parametrize(("release", "folder"), [("trixie", "postfix.service.d"), ("bookworm", "postfix@-.service.d")])
def test_postfix_asks_the_resolver_and_verifies_by_tlsa(release: str, folder: str) -> None:
    found = plan("postfix", site(release))
    main = content(found, "/etc/postfix/main.cf")
    assert main["smtp_tls_security_level"] == "dane" and main["smtp_dns_support_level"] == "dnssec"
    assert content(found, "/etc/postamt/resolv.conf").endswith("\nnameserver 127.0.0.153\n")
    drop_in = content(found, f"/etc/systemd/system/{folder}/postamt-resolver.conf")
    assert "\nAfter=postamt-resolver.service\n" in drop_in
    assert "\nBindReadOnlyPaths=/etc/postamt/resolv.conf:/etc/resolv.conf\n" in drop_in
    assert "\nBindPaths=/etc/postamt/resolv.conf:/var/spool/postfix/etc/resolv.conf\n" in drop_in
    (check,) = [one["arguments"] for one in found["questions"] if one["kind"] == "dns_validated"]
    assert check["path"] == "/var/spool/postfix/etc/resolv.conf" and "mail_dane: false" in check["ways_out"]


@pytest.mark.parametrize("without", [{"mail_dane": False}, {"mail_relayhost": RELAY}], ids=["off", "a relayhost"])
def test_where_nobody_looks_for_servers_all_is_as_without(without: dict[str, t.Any]) -> None:
    found = site(**without)
    postfix = plan("postfix", found)
    main = content(postfix, "/etc/postfix/main.cf")
    assert main["smtp_tls_security_level"] == "may" and "smtp_dns_support_level" not in main
    assert not [file["path"] for file in postfix["files"] if "resolv" in file["path"]]
    assert not [one for one in postfix["questions"] if one["kind"] == "dns_validated"]
    assert not plan("unbound", found)["wanted"]


def test_hosts_that_hand_their_mail_on_have_none() -> None:
    groups = {"mx.example.org": ["mail", "mail_mx"], "store.example.org": ["mail", "mail_store"]}
    found = site(hosts={name: HostInput(groups=names) for name, names in groups.items()})
    assert plan("unbound", found, name="mx.example.org")["wanted"]
    assert not plan("unbound", found, name="store.example.org")["wanted"]
    assert (
        content(plan("postfix", found, name="store.example.org"), "/etc/postfix/main.cf")["smtp_tls_security_level"]
        == "none"
    )


def test_mail_inside_the_host_looks_for_no_server() -> None:
    """Clients for LMTP have parameters of their own, and so has a client that hands mail to its own host."""
    services = content(plan("postfix", site(mail_content_filter="before_queue")), "/etc/postfix/master.cf")
    clients = {key: line["options"] for key, line in services.items() if line["columns"][-1].split()[0] == "smtp"}
    by_dane = {key for key, options in clients.items() if "smtp_tls_security_level" not in options}
    assert by_dane == {"smtp/unix", "relay/unix"}
    assert all(clients[key]["smtp_tls_policy_maps"] == "" for key in set(clients) - by_dane)
    main = content(plan("postfix", site()), "/etc/postfix/main.cf")
    assert not [name for name in main if name.startswith("lmtp_") and ("dns" in name or "tls" in name)]


def test_hosts_of_gateways_must_be_known_to_the_resolver() -> None:
    gateways = {
        "a.example": {"host": "mail.inner.example"},
        "b.example": {"host": "10.0.0.5"},
        "c.example": {"host": "::1"},
    }
    checks = plan("postfix", site(mail_gateway=gateways))["questions"]
    known = [one["arguments"] for one in checks if one["kind"] == "dns_knows"]
    assert [one["name"] for one in known] == ["mail.inner.example"]
    assert "mail_resolver_zones" in known[0]["ways_out"]
    without = plan("postfix", site(mail_gateway=gateways, mail_dane=False))["questions"]
    assert "dns_knows" not in [one["kind"] for one in without]


def test_the_resolver_asks_the_servers_of_the_world_by_itself() -> None:
    lines = unbound()
    assert "    do-not-query-localhost: no" not in lines
    for line in (
        "    interface: 127.0.0.153",
        '    module-config: "validator iterator"',
        '    auto-trust-anchor-file: "/var/lib/postamt-resolver/root.key"',
        "    do-ip6: yes",
        "    control-enable: no",
    ):
        assert line in lines, line
    assert not [line for line in lines if "forward" in line or "local-zone" in line or "domain-insecure" in line]


def test_it_asks_elsewhere_where_the_site_says_so() -> None:
    lines = unbound(
        mail_resolver_forward=["192.0.2.53", "2001:db8::53"],
        mail_resolver_zones={"inner.example": ["10.0.0.53"], "lan": ["10.0.0.54"]},
    )
    zones = "\n".join(lines).partition("forward-zone:")[2]
    assert zones.split() == [
        *("name:", '"."', "forward-addr:", "192.0.2.53", "forward-addr:", "2001:db8::53"),
        *("forward-zone:", "name:", '"inner.example"', "forward-addr:", "10.0.0.53"),
        *("forward-zone:", "name:", '"lan"', "forward-addr:", "10.0.0.54"),
    ]
    assert '    domain-insecure: "inner.example"' in lines and '    domain-insecure: "lan"' in lines
    assert '    local-zone: "10.in-addr.arpa." nodefault' in lines, "another resolver may know private addresses"


@pytest.mark.parametrize(
    ("zone", "freed"),
    [
        ("10.in-addr.arpa", {"10.in-addr.arpa."}),
        ("3.10.in-addr.arpa", {"10.in-addr.arpa."}),
        ("168.192.in-addr.arpa", {"168.192.in-addr.arpa."}),
        ("64.100.in-addr.arpa", {"64.100.in-addr.arpa."}),
        ("corp.test", {"test."}),
        ("inner.example", set()),
    ],
)
def test_unbound_keeps_no_name_of_such_a_zone_to_itself(zone: str, freed: set[str]) -> None:
    lines = unbound(mail_resolver_zones={zone: ["10.0.0.53"]})
    assert {line.split('"')[1] for line in lines if "nodefault" in line} == freed


def test_a_resolver_on_the_host_may_be_asked() -> None:
    assert "    do-not-query-localhost: no" in unbound(mail_resolver_forward=["127.0.0.1"])


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"mail_resolver_forward": ["ns.example"]}, "mail_resolver_forward.*must be an IPv4 or IPv6 address"),
        ({"mail_resolver_forward": ["127.0.0.153"]}, "mail_resolver_forward is '127.0.0.153'.*would ask itself"),
        ({"mail_resolver_forward": ["0.0.0.0"]}, "mail_resolver_forward is '0.0.0.0': must be the address of a server"),
        ({"mail_resolver_zones": {"a.example": []}}, "mail_resolver_zones.a.example: must name at least one server"),
        (
            {"mail_resolver_zones": {"a.example.": ["10.0.0.1"]}},
            "mail_resolver_zones is 'a.example.': must be the name",
        ),
        ({"mail_resolver_zones": {'a" x': ["10.0.0.1"]}}, "mail_resolver_zones is .*: must be the name of a zone"),
        ({"mail_resolver_zones": {".": ["10.0.0.1"]}}, "mail_resolver_zones is '.': must be the name of a zone"),
        ({"mail_resolver_zones": {"A.example": ["10.0.0.1"]}}, "in lower case"),
        ({"mail_resolver_zones": {"a.example": ["::"]}}, "mail_resolver_zones.a.example is '::'"),
    ],
)
def test_what_is_no_server_or_zone_is_refused(variables: dict[str, t.Any], said: str) -> None:
    with pytest.raises(SiteError, match=said):
        site(**variables)


def test_the_user_s_options_are_merged() -> None:
    lines = unbound({"cache-max-ttl": 3600, "prefetch": False, "val-log-level": None, "private-address": ["a", "b"]})
    assert "    cache-max-ttl: 3600" in lines and "    prefetch: no" in lines
    assert not [line for line in lines if "val-log-level" in line]
    assert [line.split()[-1] for line in lines if "private-address" in line] == ["a", "b"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"interface": "0.0.0.0"}, "unbound_settings: interface is what the collection needs"),
        ({"val-permissive-mode": True}, "unbound_settings: val-permissive-mode is what"),
        ({"include": "/etc/x"}, "unbound_settings: include is what"),
        ({"Cache": 1}, "unbound_settings: 'Cache' must be an option"),
        ({"cache-max-ttl": "1\nremote-control:"}, "unbound_settings: cache-max-ttl is .* and must be text on one line"),
        ({"cache-max-ttl": {"a": 1}}, "unbound_settings: cache-max-ttl is .* and must be text on one line"),
        ({"private-address": ["a", None]}, "unbound_settings: private-address is None, and must be"),
    ],
)
def test_what_makes_it_another_resolver_is_refused(settings: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ComposeError, match=said):
        unbound(settings)


def test_its_unit_may_do_little() -> None:
    unit = content(plan("unbound", site()), "/etc/systemd/system/postamt-resolver.service")
    assert "\nUser=unbound\n" in unit and "\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in unit
    assert "\nProtectSystem=strict\n" in unit


def test_where_mail_is_judged_there_is_a_resolver() -> None:
    of = site(mail_dane=False, mail_authentication=True)
    assert plan("unbound", of)["wanted"]
    assert not plan("unbound", site(mail_dane=False))["wanted"]

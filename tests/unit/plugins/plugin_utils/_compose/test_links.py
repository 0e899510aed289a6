# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links between hosts: each end fits the next, none is a port of loopback, and who knows whom by which name."""

from __future__ import annotations

import dataclasses
import re
import typing as t

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose, links
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _sockets as sockets
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import HostName

GROUPS = {
    "mail_mx": ["mx1", "mx2"],
    "mail_submission": ["mx1", "out"],
    "mail_filter": ["mx2", "filter"],
    "mail_store": ["store"],
}


@pytest.fixture(scope="module")
def site() -> Site:
    given = {
        "mail_domains": ["example.org"],
        "mail_accounts": [{"address": "alice@example.org"}],
        "mail_content_filter": "before_queue",
    }
    listed = {group: [f"{name}.example.org" for name in members] for group, members in GROUPS.items()}
    names = dict.fromkeys(name for members in listed.values() for name in members)
    hosts = {name: HostInput(["mail", *(group for group in listed if name in listed[group])]) for name in names}
    return parse_site(given, hosts, compose.concerns().values(), groups=listed)


def host(site: Site, name: str) -> Host:
    return site.hosts[f"{name}.example.org"]


def content(site: Site, name: str, program: str, end: str) -> str:
    files = compose.plan(program, site, host(site, name))["files"]
    return str(next(forms.text(file) for file in files if file["path"].endswith(end)))


def test_mail_to_a_filter_passes_no_port_of_loopback(site: Site) -> None:
    binds = {one.name: one.bind for each in site.hosts.values() for one in links.outgoing(site, each)}
    assert {name: bind for name, bind in binds.items() if not bind.startswith("/")} == {"relay": "127.0.0.1:949"}


@pytest.mark.parametrize("name", ["mx2", "filter"])
def test_amavis_has_a_socket_for_each_sender_and_each_way(site: Site, name: str) -> None:
    found = content(site, name, "amavis", "60-postamt")
    listening = set(re.findall(r"'(/[^']+)'", next(line for line in found.splitlines() if "@listen_sockets" in line)))
    targets: dict[str, t.Any] = {one.name: one.targets for one in links.incoming(site, host(site, name))}
    called = {path for way in sockets.PORTS for path in targets[f"filter-{way}"].values()}
    own = {one.local for one in links.outgoing(site, host(site, name)) if one.name.startswith("filter-")}
    assert called | own == listening
    assert "$inet_socket_port = [];\n" in found
    back = {one.bind for one in links.outgoing(site, host(site, name)) if one.name.startswith("back-")}
    to = set(re.findall(r"'forward_method' => 'smtp:([^']+)'", found))
    own = {links.public(socket) for socket in sockets.FILTERED.values()}
    assert to - own == back and len(back) == 3 * (2 if name == "mx2" else 3)


def test_a_socket_s_bank_has_what_its_way_has(site: Site) -> None:
    found = content(site, "filter", "amavis", "60-postamt").splitlines()
    assert "$policy_bank{'hosts-mx1.example.org'} = {%{$policy_bank{'HOST'}}, 'protocol' => 'SMTP', " in "".join(found)
    first = next(number for number, line in enumerate(found) if line.startswith("$policy_bank{'hosts-"))
    assert max(number for number, line in enumerate(found) if line.startswith("$policy_bank{'HOST'}")) < first


@pytest.mark.parametrize("name", ["mx1", "mx2", "out"])
def test_postfix_asks_the_link_where_several_filters_are(site: Site, name: str) -> None:
    master = content(site, name, "postfix", "master.cf")
    used = set(re.findall(r"unix:([\w/-]+)", master))
    bound = {one.bind.removeprefix(f"{links.CHROOT}/") for one in links.outgoing(site, host(site, name))}
    assert used and {path for path in used if "filter" in path} <= bound
    assert "\nfiltered unix n " in master


def test_hosts_hand_over_mail_of_known_senders(site: Site) -> None:
    table = content(site, "out", "postfix", "handed_over").split()[::2]
    assert table == ["<>", "example.org", "filter.example.org", "store.example.org"]
    assert "handed-over unix n " in content(site, "out", "postfix", "master.cf")


def test_users_of_a_host_are_no_recipients_and_their_mail_is_read(site: Site) -> None:
    assert "local_recipient_maps = $alias_maps\n" in content(site, "mx1", "postfix", "main.cf")
    assert content(site, "mx1", "postfix", "local_others") == "!/^owner-/\talice@example.org\n"
    assert "regexp:$config_directory/tables/local_others }" in content(site, "mx1", "postfix", "master.cf")


@pytest.mark.parametrize(
    ("named", "expected"), [(True, "store.example.org.link.internal"), (False, "store.example.org")]
)
def test_a_link_knows_its_other_end_by_a_name_that_no_user_is_shown(site: Site, named: bool, expected: str) -> None:
    store = dataclasses.replace(host(site, "store"), link_named=named)
    found = site.on({**site.hosts, "store.example.org": store})
    assert f"verifyhost {expected} check" in content(found, "mx1", "haproxy", ".cfg")
    certificates = compose.plan("certificates", found, host(found, "mx1"))["certificates"]
    assert "mx1.example.org.link.internal" in certificates["internal"]["names"]
    assert not any("internal" in name for name in certificates["public"]["names"])


class Concern:
    """A concern that has links, as compose.concerns() would find it."""

    def __init__(self, name: str, **said: t.Any) -> None:
        self.__name__ = f"concerns.{name}"
        vars(self).update(said)


def with_links(*said: tuple[str, links.Links]) -> Site:
    """Return a site of one host on which concerns say these links."""
    concerns = [Concern(name, links=lambda site, host, one=one: one) for name, one in said]
    return parse_site({"mail_domains": ["example.org"]}, {"mail.example.org": HostInput()}, concerns)


def one_host(site: Site) -> Host:
    return site.hosts["mail.example.org"]


def test_links_of_several_concerns_stand_side_by_side() -> None:
    caller = Host("a", HostName("a.example.org"), (), frozenset(), Look())
    one = links.Links([links.Outgoing("grey", "/run/grey", 950, ())], [links.Incoming("grey", 950, (caller,))])
    two = links.Links([links.Outgoing("relay", "/run/relay", 945, ())], [links.Incoming("nobody", 951, ())])
    for said in ([("one", one), ("two", two)], [("two", two), ("one", one)]):
        site = with_links(*said)
        assert [link.name for link in links.outgoing(site, one_host(site))] == ["relay", "grey"]
        assert [link.name for link in links.incoming(site, one_host(site))] == ["grey"], "one that nobody calls"


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        (links.Outgoing("grey", "/run/1", 950, ()), links.Outgoing("grey", "/run/2", 951, ()), "name grey"),
        (links.Outgoing("a", "/run/1", 950, ()), links.Outgoing("b", "/run/1", 951, ()), "socket /run/1"),
        (links.Outgoing("a", "/1", 1, (), also={"/2": ""}), links.Outgoing("b", "/2", 2, ()), "socket /2"),
        (links.Incoming("a", 950, ()), links.Incoming("b", 950, ()), "port 950"),
    ],
)
def test_two_concerns_that_take_the_same_are_both_named(one: t.Any, two: t.Any, what: str) -> None:
    parts = [
        links.Links([each], []) if isinstance(each, links.Outgoing) else links.Links([], [each]) for each in (one, two)
    ]
    for order in (("x", "y"), ("y", "x")):
        site = with_links(*zip(order, parts, strict=True))
        with pytest.raises(ComposeError, match=f"link of host mail.example.org: concerns x and y both take {what}"):
            links.linked(site, one_host(site))


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (links.Incoming("a", 940, ()), "concerns links and x both take port 940"),
        (links.Outgoing("a", "127.0.0.1:940", 950, ()), "concerns links and x both take port 940"),
        (links.Incoming("a", 950, (), "127.0.0.1:10023"), "concern x: a link must end at the path of a socket"),
        (links.Outgoing("a", "/a", 950, (), local="127.0.0.1:10023"), "concern x: a link must end at the path of"),
    ],
)
def test_what_no_link_may_be(link: t.Any, sentence: str) -> None:
    begins = isinstance(link, links.Outgoing)
    site = with_links(("x", links.Links([link], []) if begins else links.Links([], [link])))
    with pytest.raises(ComposeError, match=sentence):
        links.linked(site, one_host(site))


def test_a_concern_that_does_not_apply_has_no_links() -> None:
    one = links.Links([links.Outgoing("grey", "/run/grey", 950, ())], [])
    concern = Concern("x", links=lambda site, host: one, applies=lambda site, host: False)
    site = parse_site({"mail_domains": ["example.org"]}, {"mail.example.org": HostInput()}, [concern])
    assert not links.linked(site, one_host(site))

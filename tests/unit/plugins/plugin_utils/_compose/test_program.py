# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program says of itself reaches its host."""

from __future__ import annotations

import json

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site


def test_whoever_shows_certificates_says_how_it_reads_new_ones() -> None:
    hosts = {f"h{n}.example.org": HostInput(("mail", group)) for n, group in enumerate(("mail_mx", "mail_store"))}
    site = parse_site({"mail_domains": ["example.org"]}, hosts, compose.concerns().values())
    plans = [compose.plan(program, site, host) for host in site.hosts.values() for program in compose.programs()]
    shows = [plan["program"] for plan in plans if plan["serves"]]
    assert {"dovecot", "postfix", "ldap", "haproxy"} == {said["name"] for said in shows}
    assert all(said["reload"] and said["title"] for said in shows)


def test_a_command_of_this_collections_comes_before_it_is_called() -> None:
    """With the command that calls it, since a run may do no more than that."""
    site = parse_site({"mail_domains": ["example.org"]}, {"mx.example.org": HostInput()}, compose.concerns().values())
    host = site.hosts["mx.example.org"]
    said = [compose.plan(program, site, host)["program"]["reload"] for program in compose.programs()]
    brought = {file["path"] for file in compose.plan("certificates", site, host)["files"]}
    own = {word for command in said for word in command if word.startswith("/usr/local")}
    assert own and own <= brought


def test_what_a_host_gets_is_what_it_keeps() -> None:
    """The manifest is compared with the plan, so that both have to be the same as JSON."""
    for name, module in compose.programs().items():
        said = module.PROGRAM.for_host(name)
        assert json.loads(json.dumps(said)) == said

"""What holds on a fresh host, before the first run: check mode succeeds and leaves no trace."""

from __future__ import annotations

from ansible_collections.postamt.mail.tests.lib.site import Connect, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.trees import tree


def test_check_mode_on_fresh_hosts_leaves_no_trace(site: Site, connect: Connect, play: RunAgain) -> None:
    hosts = {name: connect(name) for name in site.groups["mail"]}
    before = {name: tree(host) for name, host in hosts.items()}
    done = play(check=True)
    assert not done.failed, done.stdout
    assert {name: tree(host) ^ before[name] for name, host in hosts.items()} == dict.fromkeys(hosts, set())

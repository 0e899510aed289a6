"""What a stranger finds open, and what stands behind it where there is no firewall: certificates and names."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.links import states
from ansible_collections.postamt.mail.tests.lib.ports import listening
from ansible_collections.postamt.mail.tests.lib.site import Connect, Outage, RunAgain, Site

MX, FILTER, STORE, DIRECTORY = (f"{name}.example.test" for name in ("mx1", "filter1", "store1", "directory1"))
SSH, USERS = {22}, {143, 993, 995, 4190}
OPEN = {
    MX: SSH | {25, 465, 587},
    "mx2.example.test": SSH | {25, 465, 587},
    FILTER: SSH,
    STORE: SSH | USERS | {389, 636},
    DIRECTORY: SSH | {389, 636},
    "app1.example.test": SSH,
}
LMTP = 941
FOREIGN = "add table inet mine; add chain inet mine input { type filter hook input priority 5; }; "
FOREIGN += "add rule inet mine input tcp dport 9999 drop"


def reachable(address: str, port: int, wait: float = 2) -> bool:
    try:
        socket.create_connection((address, port), timeout=wait).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("family", ["lab_ipv4", "lab_ipv6"])
def test_a_stranger_finds_what_the_topology_opens(site: Site, connect: Connect, family: str) -> None:
    for name, wanted in OPEN.items():
        ports = sorted(listening(connect(name)) | wanted)
        address = site.hosts[name][family]
        with ThreadPoolExecutor(max_workers=len(ports)) as pool:
            answers = pool.map(lambda port, where=address: reachable(where, port), ports)
            assert {port for port, answer in zip(ports, answers, strict=True) if answer} == wanted, name


@pytest.fixture
def without_firewall(connect: Connect) -> Iterator[None]:
    """The ports of the host with the mailboxes, open to everybody for a while."""
    store = connect(STORE)
    store.check_output("systemctl stop postamt-firewall")
    assert "postamt" not in store.check_output("nft list tables")
    yield
    store.check_output("systemctl start postamt-firewall")


def greeting(host: Host, *options: str) -> str:
    """What LMTP on the host with the mailboxes says to another host, with the certificate that options name."""
    words = f"-quiet -connect {STORE}:{LMTP} -CAfile /etc/postamt/tls/ca.pem {' '.join(options)}"
    return str(host.run(f"sleep 2 | timeout 5 openssl s_client {words} 2>/dev/null").stdout)


def test_certificates_decide_where_there_is_no_firewall(site: Site, connect: Connect, without_firewall: None) -> None:
    assert reachable(site.hosts[STORE]["lab_ipv4"], LMTP)
    own = ("-cert /etc/postamt/tls/internal/chain.pem", "-key /etc/postamt/tls/internal/key.pem")
    assert greeting(connect(MX), *own).startswith("220 ")
    assert greeting(connect(MX)) == "", "without a certificate"
    assert greeting(connect(FILTER), *own) == "", "a host of the site that has no business there"


def test_a_link_goes_to_no_other_host_than_it_names(site: Site, connect: Connect) -> None:
    mx = connect(MX)
    assert states(mx, "to-directory")["store1"] == "UP"
    wrong = site.hosts[DIRECTORY]["lab_ipv4"]
    mx.check_output(f"cp /etc/hosts /root/hosts; echo {wrong} {STORE} >> /etc/hosts; systemctl restart postamt-links")
    try:
        until = time.monotonic() + 15
        while (found := states(mx, "to-directory"))["store1"] != "DOWN":
            assert time.monotonic() < until, found
            time.sleep(0.5)
        assert found["directory1"] == "UP"
    finally:
        mx.check_output("cat /root/hosts > /etc/hosts; systemctl restart postamt-links")


def test_the_firewall_holds_after_a_reboot(site: Site, connect: Connect, outage: Outage) -> None:
    outage(STORE, "stopped")
    outage(STORE, "")
    assert LMTP in listening(connect(STORE))
    assert not reachable(site.hosts[STORE]["lab_ipv4"], LMTP)


def test_nobody_else_takes_the_table_away(site: Site, connect: Connect) -> None:
    """Whatever begins by a flush of all tables, and a host that goes down: the links end before the firewall does."""
    store, address = connect(STORE), site.hosts[STORE]["lab_ipv4"]
    store.check_output(
        "echo flush ruleset > /root/flush; cp /etc/nftables.conf /root/ && cp /root/flush /etc/nftables.conf"
    )
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            done = pool.submit(
                lambda: [
                    store.check_output(command)
                    for command in (
                        "nft -f /root/flush",
                        "nft flush ruleset",
                        "systemctl restart nftables",
                        "systemctl stop nftables",
                        "systemctl reload postamt-firewall",
                    )
                ]
            )
            opened = [reachable(address, LMTP, wait=0.1)]
            while not done.done():
                opened.append(reachable(address, LMTP, wait=0.1))
            done.result()
        assert not any(opened)
        assert "postamt" in store.check_output("nft list tables")
        assert store.run("nft delete table inet postamt").rc != 0
    finally:
        store.check_output("cp /root/nftables.conf /etc/nftables.conf")
    before = store.check_output("systemctl show -p Before --value postamt-firewall").split()
    assert "postamt-links.service" in before


def test_a_firewall_of_somebody_else_is_asked_about_and_left_alone(connect: Connect, play: RunAgain) -> None:
    store = connect(STORE)
    store.check_output(f"nft '{FOREIGN}'")
    theirs = store.check_output("nft list table inet mine")
    try:
        refused = play()
        assert refused.failed
        assert not refused.changed
        assert f"mail_firewall: must be set, since host {STORE} has a firewall" in refused.message
        assert f"TCP port {LMTP} from {MX} (" in refused.message
        beside = play({"mail_firewall": True}, limit=STORE)
        assert not beside.failed
        assert beside.changed == []
        assert store.check_output("nft list table inet mine") == theirs
    finally:
        store.check_output("nft delete table inet mine")

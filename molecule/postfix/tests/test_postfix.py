"""Postfix alone: header checks, a gateway's domain and a relayhost with login, against another real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.tests.lib.elsewhere import ANNA, CARL, STRANGER, arrived, goes_out
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site


def test_a_header_check_refuses(ask: Ask) -> None:
    won = smtp_send(ask(25), STRANGER, [ANNA], message(STRANGER, ANNA, "You won the LOTTERY"))
    assert not won.accepted
    assert "We do not play" in str(won.data)


def test_the_gateway_hands_mail_on(ask: Ask, other: Host) -> None:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [CARL], message(STRANGER, CARL, token)).accepted
    assert arrived(other, token)


def test_the_gateway_knows_the_recipients(ask: Ask) -> None:
    assert smtp_rcpt(ask(25), STRANGER, ["nobody@inner.example"]).rcpt["nobody@inner.example"].code == 550


def test_outgoing_mail_takes_the_relayhost_with_its_login(site: Site, ask: Ask, other: Host) -> None:
    assert goes_out(site, ask, other)


def test_the_password_for_the_relayhost_is_for_root_alone(host: Host) -> None:
    assert host.run("runuser -u nobody -- cat /etc/postfix/tables/relayhost_login").rc != 0
    assert host.run("runuser -u nobody -- strings /etc/postfix/tables/relayhost_login.lmdb").rc != 0
    assert "Only-4-the-test" not in host.check_output("journalctl -q -o cat")


def test_at_port_465_tls_comes_first_for_this_hop_alone(site: Site, ask: Ask, other: Host, play: RunAgain) -> None:
    assert not play({"mail_relayhost": {**site.vars["mail_relayhost"], "port": 465}}).failed
    assert goes_out(site, ask, other)
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [CARL], message(STRANGER, CARL, token)).accepted
    assert arrived(other, token), "the gateway speaks plainly first"


def test_a_pattern_that_only_postfix_cannot_read_is_refused(
    host: Host, play: RunAgain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would skip the line, and let the mail through that the check is for.

    The controller has no library that could tell.
    """
    (tmp_path / "sitecustomize.py").write_text("import ctypes.util\nctypes.util.find_library = lambda name: None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = host.file("/etc/postfix/tables/header_checks").content_string
    said = play({"mail_header_checks": [{"match": "(?u)lottery", "action": "reject"}]}).message
    assert "nothing was changed" in said and "header_checks, line 1: error in regex" in said
    assert host.file("/etc/postfix/tables/header_checks").content_string == before


def test_what_leaves_the_inventory_leaves_the_host(host: Host, play: RunAgain) -> None:
    gone = play({"mail_relayhost": None, "mail_header_checks": [], "mail_gateway": {}})
    assert not gone.failed
    assert host.check_output("postconf -h relayhost header_checks transport_maps").split() == []
    for name in ("relayhost_login", "relayhost_login.lmdb", "header_checks", "gateway", "gateway.lmdb"):
        assert not host.file(f"/etc/postfix/tables/{name}").exists
    assert play().changed
    host.check_output("echo 'a b' > /root/by-hand && postmap lmdb:/root/by-hand")
    host.check_output("cat /root/by-hand.lmdb > /etc/postfix/tables/gateway.lmdb")
    assert "wrote /etc/postfix/tables/gateway" in play().actions
    assert play().changed == []

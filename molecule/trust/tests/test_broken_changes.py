"""Changes that do not work: the run says what is wrong, the old configuration serves, the next good run is normal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import MailFlows, RunAgain, Scenario, Site, Traced

NOWHERE = "socketmap:inet:127.0.0.1:9:nowhere"  # nobody listens there
OFF = {"mail_srs": False, "mail_dkim": False, "mail_from_of_users": "any"}  # without PostSRSd and Rspamd


@contextmanager
def taken(host: Host, port: int) -> Iterator[None]:
    """Another program listens on a port."""
    serve = f"import socket; s = socket.create_server(('', {port})); s.accept(); s.accept()"
    host.check_output(f'systemd-run --quiet --unit=squatter --collect /usr/bin/python3 -c "{serve}"')
    try:
        yield
    finally:
        host.run("systemctl stop squatter")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (  # and programs that Postfix asks are to go: they stay until it is changed
            {**OFF, "postfix_settings": {"smtpd_soft_error_limit": "many"}},
            ["Postfix's own checker refuses", "smtpd_soft_error_limit = many (was 5)", "nothing was changed"],
        ),
        (
            {"dovecot_settings": {"mail_max_userip_connections": "many"}},
            ["Dovecot's own checker refuses", "mail_max_userip_connections = many", "nothing was changed"],
        ),
        (  # every smtpd dies at its start, the unit stays active
            {"postfix_settings": {"proxy_read_maps": "$virtual_alias_maps"}},
            ["Postfix does not work with the new configuration; the old one is back and serves", "proxy_read_maps = "],
        ),
        (
            {"postfix_settings": {"virtual_mailbox_maps": NOWHERE}},
            ["Postfix does not work", "the old one is back and serves", f"virtual_mailbox_maps = {NOWHERE}", "45"],
        ),
        (
            {"postfix_settings": {"smtpd_tls_chain_files": "/etc/hostname"}},
            ["Postfix", "smtpd_tls_chain_files = /etc/hostname (was /etc/postamt/tls/public/"],
        ),
        (
            {"ldap_settings": {"global": {"olcTLSCertificateFile": "/etc/hostname"}}},
            ["slapd refuses global: olcTLSCertificateFile: /etc/hostname:", "nothing was changed"],
        ),
    ],
    ids=["Postfix's checker", "Dovecot's checker", "every smtpd dies", "a table has errors", "Postfix's certificate",
         "slapd's certificate"],
)  # fmt: skip
def test_a_broken_change_is_named_and_the_old_one_serves(
    play: RunAgain, mail_flows: MailFlows, change: dict[str, Any], said: list[str]
) -> None:
    message = play(change).message
    assert [words for words in said if words not in message] == [], message
    mail_flows()
    assert play().changed == []


def test_dovecots_certificate_is_unusable(play: RunAgain, mail_flows: MailFlows, release: str) -> None:
    name, value = ("ssl_cert", "</etc/hostname") if release == "bookworm" else ("ssl_server_cert_file", "/etc/hostname")
    message = play({"dovecot_settings": {name: value}}).message
    assert "Dovecot" in message
    assert f"{name} = {value}" in message
    mail_flows()
    assert play().changed == []


@pytest.mark.parametrize(
    ("port", "change", "program"),
    [
        (2525, {"postfix_services": {"2525/inet": {"command": "smtpd", "private": "n"}}}, "Postfix"),
        (2143, {"dovecot_settings": {"service imap-login": {"inet_listener more": {"port": 2143}}}}, "Dovecot"),
    ],
)
def test_a_port_is_taken(
    host: Host, play: RunAgain, mail_flows: MailFlows, port: int, change: dict[str, Any], program: str
) -> None:
    with taken(host, port):
        for check in (True, False):
            message = play(change, check=check).message
            assert message.startswith(f"{program} cannot listen where the new configuration says; nothing was changed")
            assert f"port {port} is taken by python3 (process " in message
            assert "of squatter.service" in message
        mail_flows()
    made = play(change)
    assert not made.failed
    assert made.changed
    mail_flows()
    assert not play().failed
    assert play().changed == []


def test_the_one_file_of_the_users_own_that_is_wrong_is_named(play: RunAgain, site: Site) -> None:
    message = play({"mail_certificates": {"public": {"certificate": site.ca_file, "key": site.ca_file}}}).message
    assert f"mail_certificates.public.key is '{site.ca_file}'" in message


def test_a_right_change_is_kept_while_the_directory_is_away(host: Host, play: RunAgain, mail_flows: MailFlows) -> None:
    """The directory is down, and for a while the change that repairs the way to it cannot be seen to work."""
    wrong = host.check_output("grep -l 'server_host' /etc/postfix/tables/mailboxes")
    host.check_output(f"sed -i 's|^server_host.*|server_host = ldap://192.0.2.9|' {wrong} && postfix reload")
    host.check_output("systemctl stop slapd")
    try:
        done = play(tags="postfix")
        assert not done.failed
        assert any("wrote /etc/postfix/tables/mailboxes" in action for action in done.actions)
        assert any("for now (127.0.0.1:389 does not answer)" in action for action in done.actions), done.actions
    finally:
        host.check_output("systemctl start slapd")
    mail_flows()
    assert play().changed == []


def test_two_runs_at_once(
    host: Host,
    play: RunAgain,
    mail_flows: MailFlows,
    traced: Traced,
    scenario: Scenario,
    tmp_path: Path,
) -> None:
    """The first waits for fifteen seconds with the change half made; the second one stops, and says why."""
    slow = traced("--inject=fsync:delay_enter=15000000:when=1 -P /etc/postfix")
    first = subprocess.Popen(
        ["ansible-playbook", *scenario.arguments, scenario.playbook, "--tags", "postfix",
         "--extra-vars", json.dumps({**slow, "mail_message_size_limit": "21M"})],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        host.check_output(
            "timeout 30 sh -c 'until test -e /var/lib/postamt/postfix/pending/mark.json; do sleep .1; done'"
        )
        message = play({"mail_message_size_limit": "22M"}, tags="postfix").message
        holder = re.search(r"right now \(process (\d+), a run of postamt.mail, postfix\); nothing was done$", message)
        assert holder, message
        assert host.run(f"test -d /proc/{holder[1]}").rc == 0
    finally:
        said, _none = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert int(host.check_output("postconf -h message_size_limit")) == 21 << 20
    mail_flows()
    assert not play().failed

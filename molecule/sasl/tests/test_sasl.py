"""saslauthd, asked by its own client and by an SMTP server, about accounts in the directory."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Literal

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site

ANNA, BEN, FRED = (f"{name}@example.test" for name in ("anna", "ben", "fred"))
FOLDER = "/var/spool/postfix/var/run/saslauthd"


def asked(host: Host, by: str, user: str, password: str) -> str:
    """What testsaslauthd says of a login, cut as Postfix does it; its exit code 255 would look like ssh's own."""
    name, _at, realm = user.rpartition("@") if "@" in user else (user, "", "")
    words = ["testsaslauthd", "-f", f"{FOLDER}/mux", "-s", "smtp", "-u", name, "-r", realm, "-p", password]
    said = host.run(f"runuser -u {by} -- {shlex.join(words)} 2>&1 || true").stdout
    assert "OK" in said or "NO" in said or "connect()" in said, said
    return str(said)


@pytest.fixture
def knows(host: Host) -> Callable[[str, str], bool]:
    """Ask saslauthd on the host."""

    def knows(user: str, password: str) -> bool:
        return "OK" in asked(host, "root", user, password)

    return knows


def test_one_saslauthd_runs_by_either_name(host: Host) -> None:
    ours = host.service("saslauthd-postfix")
    assert ours.is_running and ours.is_enabled
    for name in ("saslauthd", "saslauthd-postfix"):
        host.check_output(f"systemctl restart {name}")
        running = host.check_output("pgrep -x -a saslauthd").splitlines()
        assert running and all(FOLDER in line for line in running), running
        main = {host.check_output(f"systemctl show -P MainPID {unit}") for unit in ("saslauthd", "saslauthd-postfix")}
        assert len(main) == 1 and main != {"0"}


def test_only_postfix_reaches_the_socket(host: Host) -> None:
    folder = host.file(FOLDER)
    assert (folder.user, folder.group, folder.mode) == ("root", "postfix", 0o710)
    assert "connect()" in asked(host, "nobody", ANNA, "wrong")
    assert "authentication failed" in asked(host, "postfix", ANNA, "wrong")


def test_passwords_are_checked(site: Site, knows: Callable[[str, str], bool]) -> None:
    assert knows(ANNA, site.passwords[ANNA])
    assert knows(ANNA.upper(), site.passwords[ANNA])
    assert not knows(ANNA, "wrong")
    assert not knows(ANNA, site.passwords[BEN])
    assert not knows("a@example.test", site.passwords[ANNA]), "an alias is no login"
    assert not knows(FRED, site.passwords[FRED]), "the account is disabled"
    assert not knows("nobody@example.test", "x")
    assert not knows("*", site.passwords[ANNA]), "a wildcard is no name"
    assert not knows(f"{ANNA})(mail=*", site.passwords[ANNA]), "a filter is no name"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_user_logs_in_over_smtp(site: Site, ask: Ask, mechanism: Literal["PLAIN", "LOGIN"]) -> None:
    assert smtp_auth(ask(587), ANNA, site.passwords[ANNA], mechanism=mechanism).code == 235
    assert smtp_auth(ask(587), ANNA, "wrong", mechanism=mechanism).code == 535


def test_no_login_while_saslauthd_is_away_and_again_afterwards(host: Host, site: Site, ask: Ask) -> None:
    host.check_output("systemctl stop saslauthd-postfix")
    try:
        assert not smtp_auth(ask(587), BEN, site.passwords[BEN]).ok
    finally:
        host.check_output("systemctl start saslauthd-postfix")
    assert smtp_auth(ask(587), BEN, site.passwords[BEN]).code == 235


def test_its_password_for_the_directory_is_roots(host: Host) -> None:
    file = host.file("/etc/saslauthd-postfix.conf")
    assert (file.user, file.mode) == ("root", 0o600)
    password = file.content_string.partition("ldap_password: ")[2].splitlines()[0]
    assert password not in host.check_output("journalctl -q -o cat") + host.check_output("ps -eo args")


def test_a_setting_that_it_does_not_have_is_named(play: RunAgain) -> None:
    done = play({"sasl_settings": {"ldap_timout": 3}})
    assert done.failed and not done.changed
    assert "ldap_timout is no setting of saslauthd; did you mean ldap_timeout?" in done.stdout

"""Dovecot and what it asks: logins, folders, quota, Sieve, and what Postfix hears of a full mailbox."""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import ProbeError, Tls
from ansible_collections.postamt.mail.plugins.module_utils._probes.imap import imap_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.managesieve import sieve_capabilities
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import (
    imap_count,
    imap_find,
    imap_folders,
    imap_login,
    imap_quota,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.managesieve import sieve_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.pop3 import pop3_find, pop3_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_send
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.tls import tls_refuses
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.probes import imap_append, sieve_put
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within

ANNA, BEN, CORA, DORA, EMIL, FRED, GITA, HANS = (
    f"{name}@example.test" for name in ("anna", "ben", "cora", "dora", "emil", "fred", "gita", "hans")
)
STRANGER = "stranger@outside.example"
LMTP = "/var/spool/postfix/private/dovecot-lmtp"


@pytest.fixture
def give(ask: Ask) -> Callable[..., str]:
    """Hand a message in from outside, and return what is in its subject."""

    def give(to: str, subject: str = "", body: str = "") -> str:
        token = new_token()
        assert smtp_send(ask(25), STRANGER, [to], message(STRANGER, to, f"{subject}{token}", body)).accepted
        return token

    return give


def test_it_runs(host: Host) -> None:
    assert host.service("dovecot").is_running
    assert host.service("dovecot").is_enabled


@pytest.mark.parametrize("address", ["ipv4", "ipv6"])
def test_only_what_is_wanted_listens(host: Host, site: Site, address: str) -> None:
    any_address = {"ipv4": "0.0.0.0", "ipv6": "::"}[address]
    for port, wanted in {143: True, 993: True, 995: True, 4190: True, 110: False, 2000: False, 24: False}.items():
        assert host.socket(f"tcp://{any_address}:{port}").is_listening == wanted, port
    assert host.file(LMTP).user == "postfix" and host.file(LMTP).mode == 0o600


def test_no_login_before_tls(site: Site, ask: Ask) -> None:
    assert imap_capabilities(ask(143)).login_disabled
    assert imap_login(ask(143), ANNA, site.passwords[ANNA], tls="none").code == "PRIVACYREQUIRED"
    assert not sieve_login(ask(4190), ANNA, site.passwords[ANNA], tls="none").ok
    assert sieve_capabilities(ask(4190))["SASL"] == ""


def test_logins(site: Site, ask: Ask) -> None:
    password = site.passwords[ANNA]
    assert imap_login(ask(143), ANNA, password, tls="starttls").ok
    assert imap_login(ask(993), ANNA.upper(), password).ok
    assert pop3_login(ask(995), ANNA, password).ok
    assert sieve_login(ask(4190), ANNA, password).ok
    assert not imap_login(ask(993), "a@example.test", password).ok, "an alias is no login"


def test_a_disabled_account_neither_logs_in_nor_gets_mail(site: Site, ask: Ask) -> None:
    assert imap_login(ask(993), FRED, site.passwords[FRED]).code == "AUTHENTICATIONFAILED"
    assert smtp_rcpt(ask(25), STRANGER, [FRED]).rcpt[FRED].code == 550


def test_a_list_leaves_disabled_members_out_and_nobody_gets_a_bounce(
    host: Host, site: Site, ask: Ask, give: Callable[..., str]
) -> None:
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], give("crew@example.test"))
    assert smtp_rcpt(ask(25), STRANGER, ["gone@example.test"]).rcpt["gone@example.test"].code == 550
    assert host.run(f"journalctl -o cat | grep -E 'status=bounced|to=<{FRED}>,'").stdout == ""


@pytest.mark.parametrize("port", [993, 995])
def test_tls_1_1_is_refused(ask: Ask, port: int) -> None:
    assert tls_refuses(ask(port), "TLSv1.1").refused


def test_mail_arrives_for_alias_and_plus_address(site: Site, ask: Ask, give: Callable[..., str]) -> None:
    for to in (ANNA, "a@example.test", "anna+shop@example.test", "a+shop@example.test"):
        assert pop3_find(ask(995), ANNA, site.passwords[ANNA], give(to)), to


def test_a_user_gets_many_messages_at_once(host: Host, ask: Ask) -> None:
    """Dovecot would defer more than ten for one user, and Postfix brings them minutes later."""
    token = new_token()
    many = [f"anna+{token}-{number}@example.test" for number in range(30)]
    assert smtp_send(ask(25), STRANGER, many, message(STRANGER, ANNA, token)).accepted
    states = f"journalctl -q -o cat | grep -i 'to=<anna+{token}-' | grep -oE ' status=[a-z]+' | sort | uniq -c"
    until = time.monotonic() + 20
    while (found := host.check_output(states).split()) != ["30", "status=sent"]:
        assert time.monotonic() < until and "status=deferred" not in found, found
        time.sleep(0.2)


def test_folders_have_their_uses_and_are_subscribed(site: Site, ask: Ask) -> None:
    folders = {folder.name: folder.flags for folder in imap_folders(ask(993), BEN, site.passwords[BEN])}
    for name in ("Archive", "Drafts", "Junk", "Sent", "Trash"):
        assert f"\\{name}" in folders[name], name


def test_limits(site: Site, ask: Ask) -> None:
    limits = {who: imap_quota(ask(993), who, site.passwords[who]).limit for who in (ANNA, DORA, EMIL)}
    assert limits == {ANNA: 2 << 20, DORA: 1 << 20, EMIL: 300 << 10}


def fill(ask: Ask, who: str, password: str, size: int) -> None:
    """Put mail of a size into a mailbox until it takes no more."""
    while imap_append(
        ask(993), who, password, message(STRANGER, who, "fill", "x" * 70 + "\n" + "y\n" * (size // 3))
    ).ok:
        assert imap_count(ask(993), who, password) < 500


@pytest.fixture
def imap(site: Site) -> Iterator[imaplib.IMAP4_SSL]:
    """A session of a user who keeps nothing that other tests look for."""
    trusted = ssl.create_default_context(cafile=site.ca_file)
    trusted.check_hostname = False  # it is called by its address
    with imaplib.IMAP4_SSL(site.ipv4, 993, ssl_context=trusted) as imap:
        imap.login(HANS, site.passwords[HANS])
        yield imap
        for number in range(25):
            imap.delete(f"f{number}")
        (count,) = imap.select("Archive")[1]
        if count != b"0":
            imap.store("1:*", "+FLAGS", r"(\Deleted)")
            imap.expunge()


def test_folders_count(host: Host, imap: imaplib.IMAP4_SSL) -> None:
    """Dovecot 2.3 has no limit of their number."""
    answers = [imap.create(f"f{number}")[0] for number in range(25)]
    taken = answers.count("OK")
    if host.check_output("dovecot --version").startswith("2.3"):
        assert taken == 25
    else:
        assert answers == ["OK"] * taken + ["NO"] * (25 - taken)
        assert 14 <= taken <= 20, "those with a use count once they have been opened"


def test_messages_count_however_small(ask: Ask, imap: imaplib.IMAP4_SSL) -> None:
    answers = [imap.append("Archive", "", "", b"x\n")[0] for _number in range(103)]
    assert answers == ["OK"] * 100 + ["NO"] * 3
    assert smtp_rcpt(ask(25), STRANGER, [HANS], size=10).rcpt[HANS].code == 552


def test_sieve_scripts_count(site: Site, ask: Ask) -> None:
    def put(name: str, size: int) -> str:
        return sieve_put(ask(4190), HANS, site.passwords[HANS], name, f"keep; #{'x' * size}\n").code

    assert put("large", 21 << 10) == "QUOTA/MAXSIZE"
    assert [put(name, 9 << 10) for name in ("a", "b", "c")] == ["", "", "QUOTA/MAXSTORAGE"]
    assert [put(name, 10) for name in ("c", "d", "a")] == ["", "QUOTA/MAXSCRIPTS", ""]


@pytest.mark.parametrize("to", [GITA, "g@example.test", "gita+shop@example.test", "g+shop@example.test"])
def test_a_message_that_is_too_large_is_refused_at_rcpt(ask: Ask, to: str) -> None:
    for size, code in ((900 << 10, 250), (1100 << 10, 552), (5 << 20, 552)):
        assert smtp_rcpt(ask(25), STRANGER, [to], size=size).rcpt[to].code == code, size


@pytest.mark.parametrize("to", [DORA, "d@example.test", "dora+shop@example.test", "d+shop@example.test"])
def test_a_full_mailbox_is_refused_at_rcpt(site: Site, ask: Ask, to: str) -> None:
    for size in (200000, 20000, 2000):
        fill(ask, DORA, site.passwords[DORA], size)
    answers = smtp_rcpt(ask(25), STRANGER, [to, BEN], size=5000).rcpt
    assert (answers[to].code, answers[BEN].code) == (552, 250)
    assert answers[to].enhanced == "5.2.2"


def test_a_user_hears_of_a_full_mailbox_too(site: Site, ask: Ask) -> None:
    login = (ANNA, site.passwords[ANNA])
    answer = smtp_rcpt(ask(587), ANNA, ["d@example.test"], size=5 << 20, tls="starttls", login=login)
    assert answer.rcpt["d@example.test"].code == 552


def test_what_rcpt_could_not_see_is_deferred(host: Host, site: Site, ask: Ask) -> None:
    password, token = site.passwords[EMIL], new_token()
    content = message(STRANGER, EMIL, token, "z" * 70 + "\n" + "z\n" * 200000)
    # without SIZE, which is what the policy service goes by
    assert smtp_send(ask(25), STRANGER, [EMIL], content).accepted
    for _try in range(30):
        queue = host.run("postqueue -j").stdout
        if '"queue_name": "deferred"' in queue:
            break
        time.sleep(1)
    assert "deferred" in queue and re.search(r"45[02][ -]4\.2\.2", queue), queue
    assert imap_count(ask(993), EMIL, password, token=token) == 0
    host.run("postsuper -d ALL")


def test_mail_waits_while_dovecot_is_away(host: Host, site: Site, ask: Ask, give: Callable[..., str]) -> None:
    host.run("systemctl stop dovecot")
    token = give("a@example.test")
    assert within(15, lambda: "deferred" in host.run("postqueue -j").stdout), "nothing waits"
    host.run("systemctl start dovecot")

    def come() -> bool:
        host.run("postqueue -f")
        with contextlib.suppress(ProbeError):  # Dovecot may not listen yet
            return bool(imap_find(ask(993), ANNA, site.passwords[ANNA], token, wait=1))
        return False

    assert within(30, come)


def test_a_sieve_script_files_mail(site: Site, ask: Ask, give: Callable[..., str]) -> None:
    script = 'require ["fileinto"]; if header :contains "Subject" "[list]" { fileinto "Archive"; }'
    assert not sieve_put(ask(4190), ANNA, site.passwords[ANNA], "broken", "fileinto;").ok
    assert sieve_put(ask(4190), ANNA, site.passwords[ANNA], "lists", script).ok
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], give(ANNA, "[list] "), folder="Archive")
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], give(ANNA))


def test_vacation_answers_and_redirects_are_sent(site: Site, ask: Ask) -> None:
    """Both leave the host again; they come back here, where they can be read."""
    token, login = new_token(), (ANNA, site.passwords[ANNA])
    script = f'require ["vacation", "copy"]; vacation :handle "{token}" "gone fishing"; redirect :copy "{ANNA}";'
    assert sieve_put(ask(4190), BEN, site.passwords[BEN], "away", script).ok
    assert smtp_send(ask(587), ANNA, [BEN], message(ANNA, BEN, token), tls="starttls", login=login).accepted
    assert imap_find(ask(993), BEN, site.passwords[BEN], token)
    for _try in range(20):
        if imap_count(ask(993), ANNA, site.passwords[ANNA], token=token) == 2:
            return
        time.sleep(1)
    pytest.fail("the answer (subject: Auto: ...) or the copy has not come")


def test_a_script_knows_to_which_address_mail_was_sent(site: Site, ask: Ask) -> None:
    """An answer to mail for an alias, from that alias; the same script files by it."""
    alias, token, login = "c@example.test", new_token(), (ANNA, site.passwords[ANNA])
    script = (
        f'require ["vacation", "envelope", "fileinto"]; vacation :handle "{token}" "gone fishing"; '
        f'if envelope "to" "{alias}" {{ fileinto "Archive"; }}'
    )
    assert sieve_put(ask(4190), CORA, site.passwords[CORA], "away", script).ok
    assert smtp_send(ask(587), ANNA, [alias], message(ANNA, alias, token), tls="starttls", login=login).accepted
    found = imap_find(ask(993), CORA, site.passwords[CORA], token, folder="Archive")
    assert found and re.search(rb"Delivered-To: <?c@example.test", found)
    answer = imap_find(ask(993), ANNA, site.passwords[ANNA], token, wait=20)
    assert answer and re.search(rb"From: <?c@example.test", answer)


def test_a_long_line_arrives_whole(site: Site, ask: Ask) -> None:
    token, line = new_token(), b"x" * 3000
    letter = message(STRANGER, BEN, token).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + line + b"\r\n"
    assert smtp_send(ask(25), STRANGER, [BEN], letter).accepted
    found = imap_find(ask(993), BEN, site.passwords[BEN], token)
    assert found and line in found


def test_users_mail_gets_the_headers_that_it_lacks_and_a_strangers_does_not(site: Site, ask: Ask) -> None:
    tls: Tls
    for sender, port, tls, login in (
        (ANNA, 587, "starttls", (ANNA, site.passwords[ANNA])),
        (STRANGER, 25, "none", None),
    ):
        token = new_token()
        letter = f"From: {sender}\r\nTo: {BEN}\r\nSubject: {token}\r\n\r\nHello\r\n".encode()
        assert smtp_send(ask(port), sender, [BEN], letter, tls=tls, login=login).accepted
        found = imap_find(ask(993), BEN, site.passwords[BEN], token)
        assert found
        for header in (b"\nDate: ", b"\nMessage-I"):
            assert (header in found) == (sender == ANNA), (sender, header)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mail_locaton": "x"}, "mail_locaton: Dovecot 2.[34] has no such setting"),
        ({"ssl_cipher_list": "NOSUCH"}, "the old one is back and serves"),
    ],
    ids=["unknown", "unusable"],
)
def test_bad_settings_leave_the_old_ones_serving(
    site: Site, ask: Ask, play: RunAgain, settings: dict[str, Any], sentence: str
) -> None:
    done = play({"dovecot_settings": settings})
    assert done.failed
    assert re.search(sentence, done.stdout)
    assert imap_login(ask(993), ANNA, site.passwords[ANNA]).ok
    assert not play().failed


def test_a_script_does_not_write_to_others(site: Site, ask: Ask) -> None:
    assert "enotify" not in sieve_capabilities(ask(4190))["SIEVE"].split()


def test_settings_are_made_by_a_reload_and_what_a_script_sends_is_its_owners(
    host: Host, site: Site, ask: Ask, give: Callable[..., str], play: RunAgain
) -> None:
    change = {"dovecot_settings": {"mail_max_userip_connections": 7}, "mail_sieve_notify": True}
    assert play(change).actions == ["wrote /etc/dovecot/dovecot.conf", "reloaded Dovecot"]
    token = new_token()
    script = f'require ["enotify"]; notify :from "{ANNA}" :message "{token}" "mailto:{ANNA}";'
    assert sieve_put(ask(4190), BEN, site.passwords[BEN], "notify", script).ok
    give(BEN)
    assert imap_find(ask(993), ANNA, site.passwords[ANNA], token)
    sender = f"grep -rIl '^Subject: {token}' /var/vmail | xargs grep -h '^Return-Path:'"
    assert host.check_output(sender) == f"Return-Path: <{BEN}>"
    assert sieve_put(ask(4190), BEN, site.passwords[BEN], "notify", "keep;").ok
    assert play(change).changed == []
    assert play().actions == ["wrote /etc/dovecot/dovecot.conf", "reloaded Dovecot"]


def test_the_password_for_the_directory_is_roots(host: Host, site: Site) -> None:
    places = host.check_output("grep -rlF -e %s /etc/dovecot", site.passwords["service:dovecot"]).split()
    assert places
    assert {name: (host.file(name).mode, host.file(name).user) for name in places} == dict.fromkeys(
        places, (0o600, "root")
    )


def test_the_journal_is_quiet(host: Host) -> None:
    found = host.run("journalctl -q -o cat -p warning -u dovecot").stdout.splitlines()
    # what the tests cause (reloads, restarts, wrong logins, old TLS), and a plugin of libsasl2-modules-ldap
    caused = ("SIGHUP", "signal 15", "auth_failed", "auth failed", "no auth attempts", "TLS", "SSL", "ldapdb_canonuser")
    slow = ("stop-sigterm", "'timeout'")  # Debian 12's systemd in a container does not notice that Dovecot has stopped
    assert [line for line in found if not any(word in line for word in caused + slow)] == []


def test_mailboxes_of_an_older_server_are_found_by_address(host: Host, site: Site, ask: Ask, play: RunAgain) -> None:
    token, place = new_token(), "/var/mail/vhosts/example.test/anna"
    host.check_output(f"mkdir -p {place}/cur {place}/new {place}/tmp")
    host.check_output(f"printf 'Subject: {token}\\n\\n{token}\\n' > {place}/cur/1.1.old:2,S")
    host.check_output("chown -R vmail:vmail /var/mail/vhosts")
    try:
        assert not play({"mail_maildir": "/var/mail/vhosts/{domain}/{local}"}).failed
        assert imap_count(ask(993), ANNA, site.passwords[ANNA]) == 1
    finally:
        assert not play().failed

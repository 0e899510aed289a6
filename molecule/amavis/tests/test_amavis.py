"""The content filter: what it stops, what it lets pass, and who hears of it."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import time
from collections.abc import Callable

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_count
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import new_token
from ansible_collections.postamt.mail.tests.lib.filtering import Filed, Has, Send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.letters import (
    ANNA,
    BEN,
    CARL,
    DORA,
    EICAR,
    GTUBE,
    STRANGER,
    attached,
    code,
    encrypted_zip,
    forwarded,
    letter,
    zipped,
)
from ansible_collections.postamt.mail.tests.lib.neighbour import greeting_servers
from ansible_collections.postamt.mail.tests.lib.ports import listening
from ansible_collections.postamt.mail.tests.lib.site import Ask, RunAgain, RunOther, Scenario, Site

SPAM = "spam of the tests, number 7311\n"  # by a rule of the inventory; Rspamd on Debian 12 refuses GTUBE by itself


@pytest.mark.parametrize("user", ["", ANNA], ids=["world", "user"])
@pytest.mark.parametrize("kind", ["attached", "zipped", "zipped twice", "forwarded"])
def test_a_virus_is_refused_and_clean_mail_is_not(send: Send, has: Has, kind: str, user: str) -> None:
    token, clean, sender = new_token(), new_token(), user or STRANGER
    content = {
        "attached": lambda: letter(token, sender=sender, files={"a.txt": EICAR}),
        "zipped": lambda: letter(token, sender=sender, files={"a.zip": zipped("b.txt", EICAR)}),
        "zipped twice": lambda: letter(token, sender=sender, files={"a.zip": zipped("b.zip", zipped("c.txt", EICAR))}),
        "forwarded": lambda: forwarded(token, letter("inner", files={"a.txt": EICAR}), sender),
    }[kind]()
    refused = send(content, BEN, user=user)
    assert code(refused) == 554 and "INFECTED" in str(refused.answers[BEN])
    assert code(send(letter(clean, sender=sender, to=BEN), BEN, user=user)) == 250
    assert has(BEN, clean)
    assert not has(BEN, token, wait=0)


def test_spam_is_refused_or_filed_as_each_policy_says(send: Send, has: Has) -> None:
    token = new_token()
    assert code(send(letter(new_token(), GTUBE), ANNA)) == 554
    assert code(send(letter(token, GTUBE), BEN)) == 250
    assert has(BEN, token, folder="Junk")
    assert not has(BEN, token, wait=0)


def test_a_user_is_no_spammer(send: Send, has: Has) -> None:
    token = new_token()
    assert code(send(letter(token, SPAM), ANNA)) == 554
    assert code(send(letter(token, SPAM, sender=ANNA), BEN, user=ANNA)) == 250
    assert has(BEN, token)


@pytest.mark.parametrize("user", ["", ANNA], ids=["world", "user"])
def test_the_filter_cuts_no_line_and_tells_whose_headers_to_complete(send: Send, filed: Filed, user: str) -> None:
    token, line = new_token(), b"x" * 3000
    bare = f"From: {user or STRANGER}\r\nTo: {BEN}\r\nSubject: {token}\r\n\r\n".encode() + line + b"\r\n"
    assert code(send(bare, BEN, user=user)) == 250
    found = filed(BEN, token)
    assert found and line in found
    assert (b"\nDate: " in found, b"\nMessage-I" in found) == (bool(user), bool(user))


@pytest.mark.parametrize("flag", ["YES", "NO"])
def test_forged_lines_count_for_nothing(send: Send, has: Has, flag: str) -> None:
    token = new_token()
    forged = f"X-Spam-Flag: {flag}\r\nX-Spam-Score: -50\r\nX-Virus-Scanned: by nobody\r\n".encode()
    if flag == "YES":
        assert code(send(forged + letter(token), BEN)) == 250
        found = has(BEN, token)
    else:
        assert code(send(forged + letter(token, GTUBE), BEN)) == 250
        found = has(BEN, token, folder="Junk")
    assert found
    assert b"by nobody" not in found


@pytest.mark.parametrize("name", ["invoice.pdf.exe", "setup.exe", "in a zip"])
def test_banned_files_are_refused(send: Send, name: str) -> None:
    files = {"a.zip": zipped("invoice.pdf.exe", b"MZ")} if name == "in a zip" else {name: b"MZ"}
    refused = send(letter(new_token(), files=files))
    assert code(refused) == 554 and "BANNED" in str(refused.answers[ANNA])


PACK = """
rm -rf /tmp/packed && mkdir /tmp/packed && cd /tmp/packed && printf MZ > setup.exe && tar cf a.tar setup.exe
for pack in "gzip -k" "bzip2 -k" "xz -k" "xz -k --format=lzma" "zstd -qk" "lzop"; do $pack a.tar; $pack setup.exe; done
lz4 -q a.tar a.tar.lz4; lz4 -q setup.exe setup.exe.lz4
echo setup.exe | cpio -o --quiet > a.cpio; arj a a.arj setup.exe
for kind in 7z zip wim; do 7z a -t$kind a.$kind setup.exe; done
rm setup.exe
"""
# As little of a program for Windows as file(1) knows one by
PROGRAM = b"".join(
    (b"MZ", bytes(58), b"\x40\0\0\0PE\0\0\x4c\1\1\0", bytes(12), b"\xe0\0\2\1\x0b\1", bytes(66), b"\2", bytes(400))
)


def test_names_in_archives_of_every_kind_are_seen(host: Host, send: Send) -> None:
    host.check_output(PACK)
    names = host.check_output("ls /tmp/packed").split()
    assert len(names) == 20
    passed = []
    for name in names:
        archive = base64.b64decode(host.check_output(f"base64 /tmp/packed/{name}"))
        if "BANNED" not in str(send(attached(name, archive)).answers[ANNA]):
            passed.append(name)
    assert passed == []


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        ("x.vbs.", b"x", 554),
        ("x.vbs ", b"x", 554),
        ("x.vbs . .", b"x", 554),
        ("info@shop.example.com", b"x", 250),
        ("info@shop.example.com", PROGRAM, 554),
        ("info@shop.example.com", zipped("setup.exe", b"x"), 554),
        ("invoice.pdf.com", b"x", 554),
    ],
)
def test_a_name_is_banned_as_windows_reads_it(send: Send, name: str, content: bytes, answer: int) -> None:
    assert code(send(attached(name, content))) == answer


def test_one_answer_serves_two_policies_and_nobody_hears_of_it(
    site: Site, host: Host, ask: Ask, send: Send, has: Has
) -> None:
    token = new_token()
    before = imap_count(ask(993), CARL, site.passwords[CARL])
    assert code(send(letter(token, sender=CARL, files={"invoice.pdf.exe": b"MZ"}), ANNA, BEN, user=CARL)) == 250
    assert has(BEN, token)
    assert not has(ANNA, token, wait=2)
    assert host.run(f"grep -rl {token} /var/lib/amavis/virusmails").stdout
    assert imap_count(ask(993), CARL, site.passwords[CARL]) == before, "the sender was told"


def test_a_tag_is_a_word_before_the_subject(send: Send, has: Has) -> None:
    for name, content, word in (
        ("setup.exe", b"MZ", "***BANNED FILE***"),
        ("a.zip", encrypted_zip(), "***ENCRYPTED***"),
    ):
        token = new_token()
        assert code(send(letter(token, files={name: content}), DORA)) == 250
        assert has(DORA, f"{word} {token}")


def test_who_shall_be_told_is_told(send: Send, has: Has) -> None:
    token = new_token()
    assert code(send(letter(token, files={"a.txt": EICAR}), DORA)) == 250
    assert has(CARL, "VIRUS (Eicar-Test-Signature.UNOFFICIAL) in mail FROM")
    assert not has(DORA, token, wait=1)


HAND_IN = """
import smtplib
with smtplib.SMTP("127.0.0.1", 25) as link:
    link.sendmail("carl@example.test", ["anna@example.test"], open("/var/tmp/letter", "rb").read())
"""


@pytest.mark.parametrize(
    "way",
    ["sendmail -f carl@example.test anna@example.test < /var/tmp/letter", f"python3 -c {shlex.quote(HAND_IN)}"],
    ids=["sendmail", "smtp"],
)
def test_the_hosts_own_mail_is_no_spam_and_never_comes_back(
    site: Site, host: Host, ask: Ask, has: Has, way: str
) -> None:
    """A program of the host has nobody to tell: what it may not send is kept, and no notice of non-delivery is sent."""
    spam, virus = new_token(), new_token()
    before = imap_count(ask(993), CARL, site.passwords[CARL])
    for content in (letter(spam, SPAM), letter(virus, files={"a.txt": EICAR})):
        host.check_output("printf %%s %s | base64 -d > /var/tmp/letter", base64.b64encode(content).decode())
        host.check_output(way)
    assert has(ANNA, spam)
    assert not has(ANNA, virus, wait=3)
    assert host.run(f"grep -rl {virus} /var/lib/amavis/virusmails").stdout
    assert imap_count(ask(993), CARL, site.passwords[CARL]) == before, "the sender was told"


def test_the_quarantine_is_listed_and_lets_go(
    host: Host, send: Send, has: Has, scenario: Scenario, ansible: RunOther
) -> None:
    token = new_token()
    assert code(send(letter(token, files={"setup.exe": b"MZ"}), ANNA, BEN)) == 250
    assert not has(ANNA, token, wait=1)
    listed = ansible("postamt.mail.quarantine")
    line = next(line for line in listed.splitlines() if token in line)
    name = line.split()[1]
    released = ansible("postamt.mail.quarantine", {"release": [name]})
    assert f"released {name}" in released
    assert has(ANNA, token)
    host.check_output(f"sed -i '/^X-Envelope-To:/s/<.*/<gone@example.test>/' /var/lib/amavis/virusmails/{name}")
    refused = ansible("postamt.mail.quarantine", {"release": [name]})
    assert f"{name} was not released: 550 5.1.1 <gone@example.test>" in refused
    unknown = ansible("postamt.mail.quarantine", {"release": ["x/nothing"]})
    assert "release: x/nothing is not in the quarantine" in unknown


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("encrypted", 250), ("bomb", 554), ("broken", 250), ("large", 250), ("empty", 250)],
)
def test_odd_mail_gets_its_answer_at_once(send: Send, has: Has, filed: Filed, kind: str, answer: int) -> None:
    token, clean = new_token(), new_token()
    contents: dict[str, Callable[[], bytes]] = {
        "encrypted": lambda: letter(token, files={"a.zip": encrypted_zip()}),
        "bomb": lambda: letter(token, files={"a.zip": zipped("zero.txt", bytes(400_000_000))}),
        "broken": lambda: (
            b"Subject: " + token.encode() + b"\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--x\r\n"
        ),
        "large": lambda: letter(token, files={"a.bin": os.urandom(22_000_000)}),  # 30 MB in base64
        "empty": lambda: b"",
    }
    content = contents[kind]()
    start = time.monotonic()
    assert code(send(content)) == answer
    assert time.monotonic() - start < 30
    assert code(send(letter(clean))) == 250
    assert has(ANNA, clean)
    if answer == 250 and kind != "empty":  # which has no subject to be found by
        assert filed(ANNA, token)


def test_what_exceeds_clamds_limits_is_no_virus(host: Host, send: Send, has: Has) -> None:
    limit = int(host.check_output("sed -n 's/^MaxFileSize \\(.*\\)M$/\\1/p' /etc/clamav/clamd.conf"))
    # amavis unpacks this to its end: only so does clamd see it
    token, large = new_token(), zipped("large.bin", os.urandom(600_000) + bytes(limit << 20))
    refused = send(letter(new_token(), files={"a.zip": large}))
    assert code(refused) == 554 and "over limits" in str(refused.answers[ANNA])
    assert code(send(letter(token, files={"a.zip": large}), DORA)) == 250
    assert has(DORA, f"***UNCHECKED*** {token}"), "what the policy says of viruses was done to it"
    refused = send(letter(new_token(), files={"a.zip": large, "b.txt": EICAR}))
    assert code(refused) == 554 and "INFECTED: Eicar" in str(refused.answers[ANNA])


def test_a_process_of_the_filter_takes_more_than_one_message(host: Host, send: Send) -> None:
    start = host.check_output("date +%s")
    for sender, user in ((STRANGER, ""), (ANNA, ANNA)):
        assert code(send(letter(new_token(), sender=sender), BEN, user=user)) == 250
    host.check_output(f"printf 'Subject: from cron\\n\\nhello\\n' | sendmail {BEN}")
    logged = f"journalctl -q -o cat -u amavis --since=@{start}"
    until = time.monotonic() + 20
    while len(re.findall("Passed CLEAN", said := host.check_output(logged))) < 3:
        assert time.monotonic() < until, said
        time.sleep(0.5)
    assert "rundown" not in said, "it ended after the message"


def test_clamd_of_another_host_is_asked(site: Site, host: Host, play: RunAgain, send: Send, has: Has) -> None:
    """The other host is this one by its outside address, with a clamd that the collection knows nothing of."""
    lines = [f"TCPAddr {site.ipv4}", "TCPSocket 3310", "DatabaseDirectory /tmp/signatures", "Foreground yes"]
    host.check_output("printf %%s %s > /tmp/clamd.conf", "\n".join(lines))
    host.check_output("mkdir -p /tmp/signatures && cp /var/lib/clamav/eicar.ndb /tmp/signatures/")
    assert not play({"mail_clamav_server": site.ipv4}).failed
    assert not host.service("clamav-daemon").is_running
    clean = new_token()
    assert code(send(letter(clean))) == 451, "nobody has looked into it"
    host.check_output("systemd-run -u other-clamd clamd -c /tmp/clamd.conf")
    for _try in range(50):
        if host.socket(f"tcp://{site.ipv4}:3310").is_listening:
            break
        time.sleep(0.2)
    try:
        assert code(send(letter(new_token(), files={"a.zip": zipped("b.txt", EICAR)}))) == 554
        assert code(send(letter(clean))) == 250
        assert has(ANNA, clean)
    finally:
        host.run("systemctl stop other-clamd")
        assert not play().failed


def test_mail_passes_unscanned_where_the_site_wants_that(host: Host, play: RunAgain, send: Send, has: Has) -> None:
    assert not play({"mail_antivirus_failure": "tag"}).failed
    token = new_token()
    host.check_output("systemctl stop clamav-daemon.socket clamav-daemon")
    try:
        assert code(send(letter(token))) == 250
        assert has(ANNA, f"***UNCHECKED*** {token}")
        assert host.run("systemctl start postamt-filter-test").rc == 0, "the links would pass over what the site wants"
        assert "mail passes unscanned" in host.file("/run/postamt-filter/told").content_string
    finally:
        host.check_output("systemctl start clamav-daemon.socket clamav-daemon")
        assert not play().failed


def test_a_public_resolvers_refusal_is_no_listing(host: Host, play: RunAgain, send: Send, filed: Filed) -> None:
    """A DNS server that gives one answer for whatever lists are asked: a refusal, then a listing."""
    lists = [f"/{name}/" for name in ("spamhaus.org", "uribl.com", "surbl.org", "senderscore.com", "surriel.com")]
    text = "look at http://www.a-quite-unknown-shop.biz/ now\n"
    received = b"Received: from x.test (x.test [198.18.0.9]) by y.test with SMTP; Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    assert not play({"mail_spam_resolver": "127.0.0.54"}).failed
    try:
        for answer, listed in (("127.255.255.254", False), ("127.255.255.255", False), ("127.0.0.2", True)):
            words = " ".join(f"--address={name}{answer}" for name in lists)
            host.check_output(
                f"systemd-run -u lists --collect dnsmasq -k -u root -C /dev/null -R -h -z -a 127.0.0.54 {words}"
            )
            token = new_token()
            assert code(send(received + letter(token, text), BEN)) == 250
            found = filed(BEN, token)
            assert found
            names = set(re.findall(rb"\b(?:URIBL|RCVD_IN|SURBL)_[A-Z0-9_]+(?==)", found))
            assert ({b"URIBL_BLACK", b"RCVD_IN_PSBL"} & names != set()) == listed, names
            assert listed or all(b"BLOCKED" in name for name in names), names
            host.check_output("systemctl stop lists")
    finally:
        host.run("systemctl stop lists")
        assert not play().failed


def test_rules_are_fetched_every_day(host: Host, send: Send) -> None:
    assert "postamt-spam-rules.timer" in host.check_output("systemctl list-timers")
    host.run("systemctl start spamassassin-maintenance.service")  # there is no internet here
    known = host.check_output(
        "runuser -u debian-spamd -- gpg --homedir /var/lib/spamassassin/sa-update-keys --list-keys"
    )
    assert "updates.spamassassin.org" in known
    host.run("systemctl reset-failed spamassassin-maintenance.service")
    pid = host.check_output("systemctl show -p MainPID --value amavis")
    host.check_output("/etc/spamassassin/sa-update-hooks.d/amavisd-new")
    assert host.check_output("systemctl show -p MainPID --value amavis") != pid, "new rules were not taken up"
    until = time.monotonic() + 60  # 451 while it starts
    while (answer := code(send(letter(new_token(), GTUBE)))) == 451 and time.monotonic() < until:
        time.sleep(1)
    assert answer == 554, "the rules from before are gone"


def test_daemons_are_not_root_and_listen_here_only(host: Host) -> None:
    for process, user in (("clamd", "clamav"), ("amavisd", "amavis")):
        users = host.check_output(f"ps -eo user:20,args | grep '/usr/sbin/{process[0]}[{process[1]}]{process[2:]}'")
        assert {line.split()[0] for line in users.splitlines()} == {user}
    assert not re.search(r":100\d\d ", host.check_output("ss -Hltn"))
    assert listening(host) == {22, 25, 143, 465, 587, 993, 995, 4190}
    assert host.run("find /var/lib/amavis /run/amavis /run/clamav -type f -perm /o+r | head").stdout == ""
    assert host.run("runuser -u nobody -- ls /var/lib/amavis/virusmails").rc != 0


def test_users_of_the_host_reach_no_way_around_the_filter(host: Host) -> None:
    assert greeting_servers(host) == {"25", "587"}


def test_a_broken_setting_never_replaces_a_working_one(play: RunAgain, send: Send) -> None:
    for settings, sentence in (
        ({"$max_server": 3}, "max_server"),
        ({"$max_servers": None, "max": 3}, "must be a variable of amavis with its sigil"),
        ({"@listen_sockets": ["/nowhere/world"]}, "the old one is back and serves"),  # which no checker finds
    ):
        done = play({"amavis_settings": settings})
        assert done.failed and sentence in done.stdout
        assert code(send(letter(new_token()))) == 250
    done = play({"mail_spam_rules": ["scoer X 1"]})
    assert done.failed and "scoer" in done.stdout
    done = play({"clamav_settings": {"MaxThread": 3}})
    assert done.failed and "MaxThread" in done.stdout
    done = play({"clamav_settings": {"DatabaseDirectory": "/nonexistent"}})
    assert done.failed and "the old one is back and serves" in done.stdout
    assert code(send(letter(new_token(), files={"a.txt": EICAR}))) == 554
    assert play().changed == []


def test_after_the_queue_nothing_is_refused_and_nobody_hears_of_it(
    site: Site, host: Host, ask: Ask, send: Send, has: Has, play: RunAgain
) -> None:
    assert not play({"mail_content_filter": "after_queue"}).failed
    token, clean = new_token(), new_token()
    before = imap_count(ask(993), CARL, site.passwords[CARL])
    assert code(send(letter(token, sender=CARL, files={"a.txt": EICAR}), BEN, user=CARL)) == 250
    assert code(send(letter(clean, to="a@example.test"), "a@example.test")) == 250
    assert has(ANNA, clean)
    assert not has(BEN, token, wait=3)
    assert host.run(f"grep -rl {token} /var/lib/amavis/virusmails").stdout
    assert imap_count(ask(993), CARL, site.passwords[CARL]) == before, "the sender was told"
    queue = map(json.loads, host.run("postqueue -j").stdout.splitlines())
    # On a busy machine the filter's test may have met amavis's restart, and written to postmaster.
    assert [one for one in queue if "postmaster" not in str(one["recipients"])] == [], "something waits in the queue"
    assert play({"mail_content_filter": "after_queue"}).changed == []


def test_the_filter_goes_when_it_is_switched_off(host: Host, play: RunAgain, send: Send, has: Has) -> None:
    assert not play({"mail_content_filter": "off"}).failed
    for unit in ("amavis", "clamav-daemon"):
        assert not host.service(unit).is_running
        assert not host.service(unit).is_enabled
    for path in ("/etc/amavis/conf.d/60-postamt", "/etc/spamassassin/postamt.cf", "/etc/dovecot/sieve/junk.sieve"):
        assert not host.file(path).exists
    token = new_token()
    assert code(send(letter(token))) == 250
    assert has(ANNA, token)
    assert not play().failed
    assert play().changed == []

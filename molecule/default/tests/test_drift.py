"""What somebody changes on a host is seen by the next run's first look, and put right."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Play, RunAgain
from ansible_collections.postamt.mail.tests.lib.waiting import within

MAIN_CF = "/etc/postfix/main.cf"
TLS = "/etc/postamt/tls"
ENTRY = "slapcat -b o=mail -a mail=dora@example.test -o ldif-wrap=no"
QUOTA = r"dn: {dn}\nchangetype: modify\nreplace: mailQuota\nmailQuota: 2048\n"


def doubts(done: Play) -> dict[str, list[str]]:
    """What the run's first look says of each program."""
    (look,) = (task.result for task in done.tasks if task.action == "postamt.mail.host_look")
    found: dict[str, list[str]] = look["doubts"]
    return found


def test_a_run_that_finds_all_as_it_was_connects_once(play: RunAgain) -> None:
    done = play()
    assert not done.failed and not done.changed
    assert doubts(done) == {}
    assert done.stdout.count(": nothing to do") == 9  # each of the programs


def test_what_others_change_is_seen_and_put_right(host: Host, play: RunAgain) -> None:
    dn = host.check_output(f"{ENTRY} | sed -n 's/^dn: //p'")
    main_cf = host.file(MAIN_CF).content_string
    table = host.check_output("find /etc/postfix -name '*.lmdb' | sort | head -1")
    rebuilt = f"echo 'x@example.test y@example.test' | postmap -i lmdb:{table.removesuffix('.lmdb')}"
    for command in (
        f"sed -i 's/^message_size_limit = .*/message_size_limit = 1/' {MAIN_CF}",
        rebuilt,
        "chmod 0644 /etc/saslauthd-postfix.conf",
        "systemctl disable dovecot.service",
        "systemctl stop amavis.service",
        "dpkg --remove --force-depends dovecot-managesieved",
        f"printf '{QUOTA.format(dn=dn)}' | ldapmodify -Q -Y EXTERNAL -H ldapi:///",
    ):
        host.check_output(command)
    done = play()
    assert not done.failed, done.stdout
    found = doubts(done)
    assert f"{MAIN_CF} is not as it was written" in found["postfix"]
    assert f"{table} is not as it was written" in found["postfix"]
    assert found["sasl"] == ["/etc/saslauthd-postfix.conf has another owner or mode"]
    assert "dovecot.service is not enabled" in found["dovecot"]
    assert "package dovecot-managesieved is not installed" in found["dovecot"]
    assert "amavis.service does not run" in found["amavis"]
    assert found["ldap"] == ["the directory is not as it was"]
    assert host.file(MAIN_CF).content_string == main_cf
    assert not host.file("/etc/saslauthd-postfix.conf").mode & 0o077
    assert host.service("dovecot").is_enabled and host.service("amavis").is_running
    assert host.package("dovecot-managesieved").is_installed
    assert "mailQuota: 1024\n" in host.check_output(ENTRY)
    assert host.run(f"postmap -q x@example.test lmdb:{table.removesuffix('.lmdb')}").rc == 1
    assert doubts(play()) == {}


@pytest.mark.parametrize("name", ["internal"])
def test_a_certificate_that_was_replaced_is_seen(host: Host, play: RunAgain, name: str) -> None:
    host.check_output("systemctl stop postamt-certificates.path")  # else slapd may have read it before the run looks
    here = host.check_output(f"readlink -f {TLS}/{name}")
    key = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {here}/key.pem"
    host.check_output(f"{key} -out {here}/chain.pem -subj /CN=mail.example.test -days 1")
    done = play()
    assert not done.failed, done.stdout
    found = doubts(done)
    assert f"certificate {name} is not as it was" in found["certificates"]
    assert f"{TLS}/{name}/chain.pem has changed" in found["ldap"]
    assert any(action.startswith(f"issued certificate {name} ") for action in done.actions)
    assert doubts(play()) == {}


def test_a_port_that_somebody_took_is_named(host: Host, play: RunAgain) -> None:
    host.check_output("systemctl stop dovecot.service")
    taking = 'import socket, time; taken = socket.create_server(("", 4190)); time.sleep(600)'
    host.check_output(f"systemd-run --quiet --unit=thief python3 -c '{taking}'")
    try:
        assert within(20, lambda: "python3" in host.check_output("ss -Hltnp sport = :4190"))
        done = play()
        assert done.failed
        assert any(doubt.startswith("port 4190 is taken by python3") for doubt in doubts(done)["dovecot"])
        assert "4190" in done.message
    finally:
        host.check_output("systemctl stop thief.service")
    assert not play().failed
    assert doubts(play()) == {}

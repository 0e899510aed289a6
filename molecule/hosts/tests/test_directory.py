"""Several directories: one takes changes, the others follow, and each can become the one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.ldap import ldap_bind, ldap_search
from ansible_collections.postamt.mail.tests.lib import searches
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.probes import ldap_passwd
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, RunAgain, Site
from ansible_collections.postamt.mail.tests.lib.waiting import within

ANNA, BEN, DORA = (f"{name}@example.test" for name in ("anna", "ben", "dinah"))
RECORD = "/var/lib/postamt/ldap/applied.json"
PROVIDER = "ldapi://%2Frun%2Fpostamt-links%2Fdirectory-provider"


@pytest.fixture(scope="module")
def names(site: Site) -> list[str]:
    """The directories by their names in the inventory, the provider first."""
    found = site.groups["mail_directory"]
    provider = site.vars.get("mail_directory_provider", found[0])
    return [provider, *(name for name in found if name != provider)]


@pytest.fixture
def provider(names: list[str], connect: Connect) -> Any:
    return connect(names[0])


@pytest.fixture
def replica(names: list[str], connect: Connect) -> Any:
    return connect(names[1])


@pytest.fixture
def secret(site: Site) -> Callable[[str], str]:
    def secret(name: str) -> str:
        secrets = yaml.safe_load((site.state_dir / "secrets.yml").read_text(encoding="utf-8"))
        return str(secrets["mail_generated_passwords"][name])

    return secret


def found(host: Host, query: str, *names: str) -> str:
    """What root finds in a host's own directory."""
    words = " ".join(map(shlex.quote, (query, *names)))
    return str(host.run(f"ldapsearch -Q -Y EXTERNAL -H ldapi:/// -LLL -o ldif-wrap=no -b o=mail {words}").stdout)


def dn_of(host: Host, address: str) -> str:
    return found(host, f"(mail={address})", "1.1").splitlines()[0].removeprefix("dn: ")


def own_password(at: Endpoint, user: tuple[str, str], new: str) -> Any:
    """A user changes the own password, as programs do: with the old one."""
    return ldap_passwd(at, user, user[0], new, old=user[1])


def in_step(provider: Host, replica: Host) -> bool:
    return found(provider, "(o=mail)", "contextCSN") == found(replica, "(o=mail)", "contextCSN") != ""


@pytest.fixture
def anna(provider: Host, replica: Host, secret: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """DN and password of a user; the password is as before afterwards, at both directories."""
    dn, password = dn_of(provider, ANNA), secret(ANNA)
    yield dn, password
    hashed = provider.run(f"slappasswd -o module-load=argon2 -h '{{ARGON2}}' -s {shlex.quote(password)}").stdout
    done = provider.run(
        f"ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<'END'\ndn: {dn}\nreplace: userPassword\nuserPassword: {hashed}\nEND"
    )
    assert done.rc == 0, done.stderr
    assert within(30, lambda: in_step(provider, replica))


def test_replicas_hold_what_the_provider_holds(provider: Host, replica: Host) -> None:
    assert within(10, lambda: in_step(provider, replica))
    asked = "(objectClass=*)", "*", "entryUUID", "entryCSN"
    assert sorted(found(provider, *asked).split("\n\n")) == sorted(found(replica, *asked).split("\n\n"))
    assert "userPassword" in found(replica, f"(mail={ANNA})")


def test_a_user_who_talks_to_a_replica_changes_the_password_everywhere(
    names: list[str], ask: Ask, anna: tuple[str, str]
) -> None:
    dn, old = anna
    on_provider, on_replica = ask(389, host=names[0]), ask(389, host=names[1])
    assert own_password(on_replica, anna, "Morgen-ist-auch-Montag").ok
    assert ldap_bind(on_provider, dn, "Morgen-ist-auch-Montag").ok
    assert within(5, lambda: ldap_bind(on_replica, dn, "Morgen-ist-auch-Montag").ok)
    assert ldap_bind(on_replica, dn, old).code == 49


def test_nobody_gets_rights_by_way_of_a_replica(
    names: list[str], ask: Ask, secret: Callable[[str], str], provider: Host, replica: Host, anna: tuple[str, str]
) -> None:
    at = ask(389, host=names[1])
    ben = dn_of(provider, BEN)
    before = found(provider, "(userPassword=*)", "userPassword")
    assert ldap_passwd(at, anna, ben, "Dienstag-oder-so").code == 50
    for service in ("postfix", "dovecot", "saslauthd", "replica"):
        login = (f"cn={service},ou=services,o=mail", secret(f"service:{service}"))
        for dn in (anna[0], login[0]):
            assert not ldap_passwd(at, login, dn, "Dienstag-oder-so").ok
            assert not ldap_passwd(ask(389, host=names[0]), login, dn, "Dienstag-oder-so").ok
    change = f"printf 'dn: {ben}\\nchangetype: modify\\nreplace: cn\\ncn: x\\n' | ldapmodify"
    assert replica.run(f"{change} -Q -Y EXTERNAL -H ldapi:///").rc != 0
    assert replica.run(f"{change} -x -H ldapi:///").rc != 0
    assert found(provider, "(userPassword=*)", "userPassword") == before
    assert "cn: x\n" not in found(provider, f"(mail={BEN})", "cn")


def test_a_replica_that_has_fallen_sets_no_password(
    names: list[str], ask: Ask, secret: Callable[[str], str], provider: Host, replica: Host, anna: tuple[str, str]
) -> None:
    dn, word = anna
    login = f"-x -D cn=replica,ou=services,o=mail -w {shlex.quote(secret('service:replica'))} -H {PROVIDER}"
    as_anna = f"{login} -e '!authzid=dn:{dn}'"
    assert dn in replica.run(f"ldapwhoami {as_anna}").stdout, "it does speak for users"
    for old in ("", "-a wrong"):
        assert replica.run(f"ldappasswd {as_anna} {old} -s Dienstag-oder-so {dn}").rc != 0
    for first in ("replace", "add"):
        change = f"dn: {dn}\nchangetype: modify\n{first}: userPassword\nuserPassword: Dienstag-oder-so"
        assert replica.run(f"ldapmodify {as_anna} <<'END'\n{change}\nEND").rc != 0
    assert ldap_bind(ask(389, host=names[0]), dn, word).ok
    assert ldap_bind(ask(389, host=names[0]), dn, "Dienstag-oder-so").code == 49


def test_a_socket_of_a_link_is_one_programs_alone(site: Site, connect: Connect) -> None:
    owners = {"postfix": "postfix", "saslauthd": "root", "dovecot": "dovecot", "provider": "openldap"}
    seen = set()
    for name in site.groups["mail"]:
        for line in connect(name).run("stat -c '%n %U %a' /run/postamt-links/directory-*").stdout.splitlines():
            path, owner, mode = line.split()
            program = path.rpartition("-")[2]
            assert (owner, mode) == (owners[program], "600"), line
            seen.add(program)
    assert seen == set(owners)


def test_whoever_comes_by_a_link_has_no_rights_of_its_own(replica: Host) -> None:
    # Root may use the socket of any program; who asks at the other end of it is the user of the links there.
    for user, uri in (("root", PROVIDER), ("haproxy", "ldapi:///")):
        how = f"-Q -Y EXTERNAL -H {uri}"
        who = replica.run(f"runuser -u {user} -- ldapwhoami {how}; true").stdout
        assert "cn=peercred" in who and "uidNumber=0," not in who, f"{uri} {who}"
        for base in ("o=mail", "cn=config", "dc=nodomain"):
            asked = replica.run(f"runuser -u {user} -- ldapsearch {how} -LLL -b {base}; true")
            assert "dn:" not in asked.stdout, f"{uri} {base}"


def test_a_replica_that_was_away_catches_up(provider: Host, replica: Host, anna: tuple[str, str]) -> None:
    replica.run("systemctl stop slapd")
    done = provider.run(
        f"ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<'END'\ndn: {anna[0]}\nreplace: displayName\ndisplayName: away\nEND"
    )
    assert done.rc == 0, done.stderr
    replica.run("systemctl start slapd")
    assert within(10, lambda: "displayName: away" in found(replica, f"(mail={ANNA})", "displayName"))
    provider.run(f"ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<'END'\ndn: {anna[0]}\ndelete: displayName\nEND")


def test_a_replica_answers_and_refuses_changes_while_the_provider_is_away(
    names: list[str], ask: Ask, play: RunAgain, provider: Host, anna: tuple[str, str]
) -> None:
    provider.run("systemctl stop slapd")
    try:
        assert ldap_bind(ask(389, host=names[1]), *anna).ok
        assert ldap_search(ask(389, host=names[1]), anna[0], bind=anna).entries
        assert not own_password(ask(389, host=names[1]), anna, "Mittwoch-vielleicht").ok
    finally:
        provider.run("systemctl start slapd")
    assert ldap_bind(ask(389, host=names[0]), *anna).ok


def test_a_replica_that_has_not_seen_the_provider_since_its_start_answers_no_program(
    provider: Host, replica: Host
) -> None:
    asks = "ldapsearch -x -H ldapi://%2Frun%2Fpostamt-links%2Fdirectory-dovecot -s base -b '' 1.1"

    def answers() -> bool:
        return "yes" in replica.run(f"{asks} && echo yes; true").stdout

    assert within(10, lambda: replica.file("/run/postamt-directory/ldapi").exists)
    provider.run("systemctl stop slapd")
    try:
        assert within(10, answers), "it was in step, and goes on"
        with searches.logging(replica, "stats") as since:
            replica.run("systemctl restart slapd")
            assert within(5, lambda: not answers())

            def looks() -> int:
                return searches.journal(replica, since).count('filter="(olcSuffix=o=mail)"')

            before = looks()
            assert within(20, lambda: looks() >= before + 2), "nobody looks whether it is in step"
            assert not answers()
    finally:
        provider.run("systemctl start slapd")
    assert within(15, lambda: replica.file("/run/postamt-directory/ldapi").exists and answers())


def test_entries_that_differ_are_taken_anew(
    names: list[str], play: RunAgain, provider: Host, replica: Host, anna: tuple[str, str]
) -> None:
    assert within(10, lambda: in_step(provider, replica))
    change = f"dn: {anna[0]}\nchangetype: modify\nreplace: displayName\ndisplayName: differs\n"
    done = replica.run(
        f"systemctl stop slapd; runuser -u openldap -- slapmodify -b o=mail <<'END'\n{change}\nEND\n"
        "systemctl start slapd"
    )
    assert "differs" in found(replica, f"(mail={ANNA})", "displayName"), done.stderr
    assert in_step(provider, replica)
    anew = f"the directory of {names[0]} anew (1 entry differed)"
    assert f"would take {anew}" in play(check=True, tags="ldap").actions
    assert f"took {anew}" in play(tags="ldap").actions
    assert "differs" not in found(replica, f"(mail={ANNA})", "displayName")
    assert play().changed == []


def test_a_null_client_logs_in_and_reads_nothing(
    site: Site, names: list[str], ask: Ask, secret: Callable[[str], str], connect: Connect
) -> None:
    (client,) = site.groups["mail_client"]
    login = (f"cn={client},ou=clients,o=mail", secret(f"client:{client}"))
    for name in names:
        assert ldap_bind(ask(389, host=name), *login).ok
        assert ldap_search(ask(389, host=name), "o=mail", bind=login).entries == ()
    for service, reads in (("postfix", False), ("dovecot", False), ("saslauthd", True)):
        asks = (f"cn={service},ou=services,o=mail", secret(f"service:{service}"))
        seen = ldap_search(ask(389, host=names[1]), "ou=clients,o=mail", "(objectClass=device)", bind=asks).entries
        assert bool(seen) == reads
    mux = "/var/spool/postfix/var/run/saslauthd/mux"
    submission = connect(site.groups["mail_submission"][0])
    for user, password, good in (
        (client, login[1], True),
        (client, "wrong", False),
        (ANNA, secret(ANNA), True),
        ("postfix", secret("service:postfix"), False),
    ):
        name, _at, realm = user.partition("@")  # as Postfix's library cuts a login
        asked = submission.run(f"testsaslauthd -f {mux} -u {name} -r '{realm}' -p {shlex.quote(password)}; true")
        assert ("OK" in asked.stdout) == good, user
    for sender, taken in (("", True), (f"root@{client}", True), (ANNA, False)):
        sent = smtp_rcpt(site.endpoint(587), sender, [ANNA], tls="starttls", login=(client, login[1]))
        assert bool(sent.accepted) == taken, sender
    store = connect(site.groups["mail_store"][0])
    assert store.run(f"doveadm auth test {client} {shlex.quote(login[1])}").rc != 0


def test_what_belongs_to_accounts_is_done_on_the_hosts_that_have_them(
    site: Site, names: list[str], ansible: Callable[..., str], connect: Connect, provider: Host
) -> None:
    elsewhere = "--limit", next(name for name in site.groups["mail"] if name not in names)
    store = connect(site.groups["mail_store"][0])
    added = ansible("postamt.mail.account", {"account": DORA, "state": "present"}, *elsewhere)
    assert f"{names[0]}: added account {DORA}" in added
    home = found(provider, f"(mail={DORA})", "mailHomeDirectory").rpartition("mailHomeDirectory: ")[2].strip()
    store.run(f"install -d -o vmail -g vmail {home} {home}/Maildir")
    ansible("postamt.mail.account", {"account": DORA, "state": "absent", "mail_accounts_grace_days": 0}, *elsewhere)
    predicted = ansible("postamt.mail.account", {"state": "purged"}, *elsewhere, "--check")
    assert f"would delete the mail of {DORA} in {home}" in predicted
    assert store.file(home).is_directory
    done = ansible("postamt.mail.account", {"state": "purged"}, *elsewhere)
    assert f"deleted the mail of {DORA} in {home}" in done
    assert f"deleted account {DORA}" in done
    assert not store.file(home).exists
    assert DORA not in ansible("postamt.mail.account", None, *elsewhere)


def test_the_directory_moves_and_comes_back(
    names: list[str],
    play: RunAgain,
    provider: Host,
    replica: Host,
    ask: Ask,
    anna: tuple[str, str],
) -> None:
    other = {"mail_directory_provider": names[1]}
    own = "Freitag-nach-eins"  # changed by the user, so in no record on the controller
    assert own_password(ask(389, host=names[0]), anna, own).ok
    assert within(5, lambda: in_step(provider, replica))
    refused = play(other)
    assert "Run the playbook postamt.mail.move_directory" in refused.message
    assert refused.changed == []
    before = json.loads(provider.check_output(f"cat {RECORD}"))

    move = "postamt.mail.move_directory"
    predicted = play(other, check=True, playbook=move)
    assert not predicted.failed
    assert any("would move the directory" in action for action in predicted.actions)
    assert json.loads(provider.check_output(f"cat {RECORD}")) == before

    moved = play(other, playbook=move)
    assert not moved.failed
    after = json.loads(replica.check_output(f"cat {RECORD}"))
    assert {name: after[name] for name in before if name != "config"} == {
        name: value for name, value in before.items() if name != "config"
    }
    assert '"accounts"' not in provider.check_output(f"cat {RECORD}")
    assert play(other).changed == []
    assert within(10, lambda: in_step(replica, provider))
    for name in names:
        assert ldap_bind(ask(389, host=name), anna[0], own).ok
    assert own_password(ask(389, host=names[0]), (anna[0], own), "Samstag-auch").ok  # now by way of the other
    assert ldap_bind(ask(389, host=names[1]), anna[0], "Samstag-auch").ok

    assert not play(playbook=move).failed
    assert within(10, lambda: in_step(provider, replica))
    assert ldap_bind(ask(389, host=names[0]), anna[0], "Samstag-auch").ok
    assert play().changed == []


@pytest.mark.parametrize("last", ["take", "bring", "close"])
def test_a_move_that_was_interrupted_goes_on_or_is_taken_back(
    last: str, names: list[str], play: RunAgain, provider: Host, ask: Ask, anna: tuple[str, str], tmp_path: Path
) -> None:
    other = {"mail_directory_provider": names[1]}
    steps = ["take", "bring", "close"][: ["take", "bring", "close"].index(last) + 1]
    playbook = tmp_path / "cut-short.yml"
    tasks = [{"name": step, "postamt.mail.move_directory": {"step": step}} for step in steps]
    look = {"name": "look", "postamt.mail.host_look": None, "register": "__mail_look"}
    playbook.write_text(yaml.safe_dump([{"hosts": "mail", "gather_facts": False, "tasks": [look, *tasks]}]))
    assert not play(other, playbook=str(playbook)).failed
    assert ldap_bind(ask(389, host=names[0]), *anna).ok  # lookups go on
    if last != "close":
        assert not own_password(ask(389, host=names[0]), anna, "Sonntag-geht-nicht").ok
        assert not play().failed  # the old inventory takes it back
        assert own_password(ask(389, host=names[0]), anna, "Sonntag-geht").ok
        return
    move = "postamt.mail.move_directory"
    assert "postamt.mail.move_directory" in play().message  # the old inventory would find nothing there
    assert not play(other, playbook=move).failed
    assert ldap_bind(ask(389, host=names[1]), *anna).ok
    assert not play(playbook=move).failed
    assert play().changed == []


def test_no_secret_of_replication_is_readable(names: list[str], secret: Callable[[str], str], connect: Connect) -> None:
    for name in names:
        host = connect(name)
        word = shlex.quote(secret("service:replica"))
        readable = host.run(f"runuser -u nobody -- grep -rlsF {word} /etc /var /run /tmp").stdout
        assert readable == ""
        assert host.run(f"journalctl --no-pager | grep -cF {word}").stdout.strip() == "0"

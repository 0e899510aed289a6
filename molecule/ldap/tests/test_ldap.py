"""The directory alone: who may ask what, whose values win, and what a broken change does."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.ldap import ldap_bind, ldap_search
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.probes import ldap_passwd
from ansible_collections.postamt.mail.tests.lib.searches import MISSING, unindexed
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, RunOther, Scenario, Site

Accounts = list[dict[str, Any]]
ANNA, BEN, CARL = (f"{name}@example.test" for name in ("anna", "ben", "carl"))
ROOT = "-Q -Y EXTERNAL -H ldapi:///"
Asked = dict[str, list[str]]


@pytest.fixture
def ldap(site: Site) -> Endpoint:
    return Endpoint(site.ipv4, 389, name=site.server_name, ca_file=site.ca_file)


@pytest.fixture
def secret(site: Site) -> Callable[[str], str]:
    """A generated password by its name; tests make further ones, so the file is read each time."""

    def secret(name: str) -> str:
        secrets = yaml.safe_load((site.state_dir / "secrets.yml").read_text(encoding="utf-8"))
        return str(secrets["mail_generated_passwords"][name])

    return secret


@pytest.fixture
def accounts(site: Site) -> Accounts:
    """The accounts of the inventory, to be changed."""
    return copy.deepcopy(site.vars["mail_accounts"])


@pytest.fixture
def restored(play: RunAgain) -> Iterator[None]:
    """Bring the inventory's state back after a test that changes it."""
    yield
    assert not play().failed


def asked(host: Host, base: str, query: str = "(objectClass=*)") -> dict[str, Asked]:
    """What root finds, by DN."""
    done = host.run(f"ldapsearch {ROOT} -LLL -o ldif-wrap=no -b {shlex.quote(base)} {shlex.quote(query)}")
    found: dict[str, Asked] = {}
    for block in done.stdout.split("\n\n"):
        entry: Asked = {}
        for line in filter(None, block.splitlines()):
            name, _colon, value = line.partition(":")
            entry.setdefault(name, []).append(value.lstrip(": "))
        if entry:
            found[entry["dn"][0]] = entry
    return found


def dn_of(host: Host, address: str) -> str:
    return next(iter(asked(host, "ou=accounts,o=mail", f"(mail={address})")))


def modify(host: Host, text: str) -> None:
    done = host.run(f"ldapmodify {ROOT} <<'END'\n{text}\nEND")
    assert done.rc == 0, done.stderr


def test_slapd_runs_and_is_enabled(host: Host) -> None:
    assert host.service("slapd").is_running
    assert host.run("systemctl is-enabled slapd").rc == 0


def test_root_finds_what_the_inventory_says(host: Host) -> None:
    (anna,) = asked(host, "ou=accounts,o=mail", f"(mail={ANNA})").values()
    assert anna["cn"] == ["Anna Test"]
    assert anna["mailAlias"] == ["a@example.test"]
    assert anna["mailQuota"] == ["1024"]
    assert anna["mailHomeDirectory"] == [f"/var/vmail/{anna['uid'][0]}"]
    (ben,) = asked(host, "ou=accounts,o=mail", f"(mail={BEN})").values()
    assert sorted(ben["mailForwardingAddress"]) == [ANNA, BEN]
    (info,) = asked(host, "ou=aliases,o=mail", "(mail=info@example.test)").values()
    assert sorted(info["mailForwardingAddress"]) == [ANNA, BEN]
    assert len(asked(host, "ou=domains,o=mail", "(objectClass=domain)")) == 2


def test_a_password_needs_tls(host: Host, ldap: Endpoint, secret: Callable[[str], str]) -> None:
    dn = dn_of(host, ANNA)
    assert ldap_bind(ldap, dn, secret(ANNA), tls="none").code == 13
    assert ldap_bind(ldap, dn, secret(ANNA), tls="starttls").ok
    ldaps = Endpoint(ldap.host, 636, name=ldap.name, ca_file=ldap.ca_file)
    assert ldap_bind(ldaps, dn, secret(ANNA), tls="implicit").ok
    assert ldap_bind(ldap, dn, "wrong").code == 49


def test_a_disabled_account_does_not_get_in(host: Host, ldap: Endpoint) -> None:
    assert ldap_bind(ldap, dn_of(host, CARL), "Gestern-war-Montag").code == 49


@pytest.mark.parametrize("base", ["o=mail", "ou=accounts,o=mail", "dc=nodomain", "cn=config"])
def test_strangers_read_nothing(ldap: Endpoint, base: str) -> None:
    assert ldap_search(ldap, base).entries == ()
    assert ldap_search(ldap, base, tls="none").entries == ()


def test_old_tls_is_refused(host: Host) -> None:
    ca = "/etc/postamt/tls/ca.pem"
    ask = f"openssl s_client -connect localhost:636 -CAfile {ca} -cipher ALL:@SECLEVEL=0 {{}} </dev/null"
    for version in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in host.run(ask.format(version)).stdout
    for version in ("-tls1_2", "-tls1_3"):
        assert "Verify return code: 0" in host.run(ask.format(version)).stdout


def test_a_user_reads_its_own_entry_only(host: Host, ldap: Endpoint, secret: Callable[[str], str]) -> None:
    dn = dn_of(host, ANNA)
    (mine,) = ldap_search(ldap, dn, bind=(dn, secret(ANNA))).entries
    assert mine.attributes["mail"] == (ANNA,)
    assert {entry.dn for entry in ldap_search(ldap, "o=mail", bind=(dn, secret(ANNA))).entries} <= {dn}


def test_what_a_user_may_do_with_the_own_password(host: Host, ldap: Endpoint, secret: Callable[[str], str]) -> None:
    dn, old, own = dn_of(host, BEN), secret(BEN), "selbst gewählt 7"
    assert ldap_passwd(ldap, (dn, old), dn, own).code == 50  # without the old one
    assert ldap_passwd(ldap, (dn, old), dn, own, old="wrong").code == 53
    assert ldap_passwd(ldap, (dn, old), dn, "zu kurz 9", old=old).code == 19
    assert ldap_bind(ldap, dn, old).ok

    def stored(value: str) -> str:
        lines = f"dn: {dn}\nchangetype: modify\ndelete: userPassword\nuserPassword: {old}\n-\nadd: userPassword\n"
        modify = f"LDAPTLS_CACERT=/etc/postamt/tls/ca.pem ldapmodify -ZZ -H ldap://localhost -D {dn}"
        return str(host.run(f"{modify} -w {shlex.quote(old)} <<'END'\n{lines}userPassword: {value}\nEND").stderr)

    for value in ("{CLEARTEXT}selbst gewaehlt 7", "{ClearText}selbst gewaehlt 7"):
        assert "Insufficient access (50)" in stored(value)
    for value in ("{SSHA}3tWsoCNbi5PMCEbwbPSJBmVPTx5gm4Wh", "{SASL}root@localhost", "zu kurz 9"):
        assert "Constraint violation (19)" in stored(value)
    assert stored("selbst gewaehlt 7") == ""
    try:
        for _times in range(12):  # locked out is nobody
            assert ldap_bind(ldap, dn, "wrong").code == 49
        assert ldap_bind(ldap, dn, "selbst gewaehlt 7").ok
        assert asked(host, dn)[dn]["userPassword"][0].startswith("e0FSR09OMn0k")  # {ARGON2}$ in base64
        (mine,) = ldap_search(ldap, dn, attributes=("*", "+"), bind=(dn, "selbst gewaehlt 7")).entries
        assert "userPassword" not in mine.attributes
    finally:
        assert host.run(f"ldappasswd {ROOT} -s %s %s", old, dn).rc == 0


def test_services_read_what_they_need(ldap: Endpoint, secret: Callable[[str], str]) -> None:
    def seen(service: str) -> dict[str, set[str]]:
        bind = (f"cn={service},ou=services,o=mail", secret(f"service:{service}"))
        entries = ldap_search(ldap, "o=mail", "(|(mail=*)(cn=*))", bind=bind).entries
        return {entry.attributes["mail"][0]: set(entry.attributes) for entry in entries}

    postfix, dovecot, saslauthd = seen("postfix"), seen("dovecot"), seen("saslauthd")
    assert "mailForwardingAddress" in postfix["info@example.test"]
    assert "mailHomeDirectory" not in postfix[ANNA]
    assert {"mailHomeDirectory", "mailQuota", "mailUidNumber"} <= dovecot[ANNA]
    assert saslauthd[ANNA] == {"objectClass", "mail", "mailEnabled"}
    assert not any("userPassword" in names for view in (postfix, dovecot, saslauthd) for names in view.values())


def test_a_service_changes_nothing(host: Host, ldap: Endpoint, secret: Callable[[str], str]) -> None:
    bind = ("cn=postfix,ou=services,o=mail", secret("service:postfix"))
    assert ldap_passwd(ldap, bind, dn_of(host, ANNA), "stolen").code == 50
    assert ldap_passwd(ldap, bind, bind[0], "stolen").code == 50


def test_a_password_of_a_user_stays(
    host: Host,
    ldap: Endpoint,
    secret: Callable[[str], str],
    play: RunAgain,
    accounts: Accounts,
    restored: None,
) -> None:
    dn = dn_of(host, ANNA)
    own = "selbst gewählt 7"
    done = host.run(
        "LDAPTLS_CACERT=/etc/postamt/tls/ca.pem ldappasswd -ZZ -H ldap://localhost -D %s -w %s -a %s -s %s %s",
        dn, secret(ANNA), secret(ANNA), own, dn,
    )  # fmt: skip
    assert done.rc == 0, done.stderr
    assert ldap_bind(ldap, dn, own).ok
    assert asked(host, dn)[dn]["userPassword"][0].startswith("e0FSR09OMn0k")  # {ARGON2}$ in base64
    kept = play()
    assert kept.changed == []
    assert any(ANNA in note for task in kept.tasks for note in task.result.get("notes", []))
    assert ldap_bind(ldap, dn, own).ok
    accounts[0]["password"] = "vom Verwalter 8"
    changed = play({"mail_accounts": accounts})
    assert not changed.failed
    assert f"set the password of {ANNA}" in changed.actions
    assert "vom Verwalter 8" not in changed.stdout
    assert ldap_bind(ldap, dn, "vom Verwalter 8").ok
    assert play({"mail_accounts": accounts}).changed == []


def test_a_hash_is_stored_as_it_is(
    host: Host, ldap: Endpoint, play: RunAgain, accounts: Accounts, restored: None
) -> None:
    done = host.run("slappasswd -o module-load=argon2 -h '{ARGON2}' -s Hashgeheim")
    accounts[1]["password_hash"] = done.stdout.strip()
    assert not play({"mail_accounts": accounts}).failed
    assert ldap_bind(ldap, dn_of(host, BEN), "Hashgeheim").ok
    assert play({"mail_accounts": accounts}).changed == []


def test_what_left_the_inventory_goes_and_what_others_added_stays(
    host: Host, ldap: Endpoint, play: RunAgain, accounts: Accounts, site: Site, secret: Callable[[str], str],
    restored: None,
) -> None:  # fmt: skip
    dn = dn_of(host, ANNA)
    modify(host, f"dn: {dn}\nchangetype: modify\nadd: mailAlias\nmailAlias: theirs@example.test\n")
    modify(
        host,
        "dn: uid=guest,ou=accounts,o=mail\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "objectClass: PostfixBookMailAccount\ncn: Guest\nsn: Guest\nmail: guest@example.test\n",
    )
    try:
        assert play().changed == []
        accounts[0]["aliases"] = ["b@example.test"]
        done = play({"mail_accounts": [accounts[0], accounts[2]], "mail_aliases": {}})
        assert not done.failed
        assert f"disabled account: {BEN}" in done.actions
        assert "removed alias: info@example.test" in done.actions
        assert sorted(asked(host, dn)[dn]["mailAlias"]) == ["b@example.test", "theirs@example.test"]
        (ben,) = asked(host, "ou=accounts,o=mail", f"(mail={BEN})").values()
        assert ben["mailEnabled"] == ["FALSE"]
        assert "mailForwardingAddress" not in ben
        assert ldap_bind(ldap, ben["dn"][0], secret(BEN)).code == 49
        assert asked(host, "ou=accounts,o=mail", "(mail=guest@example.test)")
        assert play({"mail_accounts": [accounts[0], accounts[2]], "mail_aliases": {}}).changed == []
        back = play()
        assert not back.failed
        assert ldap_bind(ldap, ben["dn"][0], secret(BEN)).ok
        (again,) = asked(host, "ou=accounts,o=mail", f"(mail={BEN})").values()
        assert again["mailHomeDirectory"] == ben["mailHomeDirectory"]
    finally:
        modify(host, f"dn: {dn}\nchangetype: modify\ndelete: mailAlias\nmailAlias: theirs@example.test\n")
        modify(host, "dn: uid=guest,ou=accounts,o=mail\nchangetype: delete\n")


def test_where_the_inventory_is_exclusive_what_others_added_goes(host: Host, play: RunAgain, restored: None) -> None:
    dn = dn_of(host, ANNA)
    modify(host, f"dn: {dn}\nchangetype: modify\nadd: mailAlias\nmailAlias: theirs@example.test\n")
    modify(
        host,
        "dn: uid=guest,ou=accounts,o=mail\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "objectClass: PostfixBookMailAccount\ncn: Guest\nsn: Guest\nmail: guest@example.test\n",
    )
    modify(
        host,
        "dn: cn=list,ou=aliases,o=mail\nchangetype: add\nobjectClass: organizationalRole\n"
        "objectClass: PostfixBookMailForward\nmail: list@example.test\nmailAlias: list@example.test\n"
        f"mailForwardingAddress: {ANNA}\n",
    )
    try:
        assert play().changed == []
        exclusive = {"mail_accounts_exclusive": True}
        predicted = play(exclusive, check=True)
        assert "would disable account: guest@example.test" in predicted.actions
        done = play(exclusive)
        expected = ["removed alias: list@example.test", f"changed account: {ANNA}"]
        assert done.actions[-3:] == [*expected, "disabled account: guest@example.test"]
        assert any("theirs@example.test" in note for task in done.tasks for note in task.result.get("notes", []))
        assert asked(host, dn)[dn]["mailAlias"] == ["a@example.test"]
        (guest,) = asked(host, "ou=accounts,o=mail", "(mail=guest@example.test)").values()
        assert guest["mailEnabled"] == ["FALSE"]
        assert not asked(host, "ou=aliases,o=mail", "(mail=list@example.test)")
        assert play(exclusive).changed == []
    finally:
        modify(host, "dn: uid=guest,ou=accounts,o=mail\nchangetype: delete\n")


def test_a_renamed_account_keeps_entry_and_password(
    host: Host, ldap: Endpoint, play: RunAgain, accounts: Accounts, secret: Callable[[str], str]
) -> None:
    (before,) = asked(host, "ou=accounts,o=mail", f"(mail={ANNA})").values()
    password, anne = secret(ANNA), "anne@example.test"
    accounts[0].update(address=anne, renamed_from=ANNA, aliases=[ANNA])
    accounts[1]["forward"] = [anne]
    variables = {"mail_accounts": accounts, "mail_aliases": {"info@example.test": [anne, BEN]}}
    assert f"would rename account: {ANNA} -> {anne}" in play(variables, check=True).actions
    assert secret(ANNA) == password
    done = play(variables)
    assert f"renamed account: {ANNA} -> {anne}" in done.actions
    assert not any("password" in action for action in done.actions)
    (after,) = asked(host, "ou=accounts,o=mail", f"(mail={anne})").values()
    assert (after["dn"], after["mailHomeDirectory"]) == (before["dn"], before["mailHomeDirectory"])
    assert after["userPassword"] == before["userPassword"]
    assert after["mailAlias"] == [ANNA]
    assert secret(anne) == password
    assert ldap_bind(ldap, after["dn"][0], password).ok
    assert play(variables).changed == []
    back = copy.deepcopy(accounts)
    back[0].update(address=ANNA, renamed_from=anne, aliases=["a@example.test"])
    back[1]["forward"] = [ANNA]
    assert f"renamed account: {anne} -> {ANNA}" in play({"mail_accounts": back}).actions
    assert secret(ANNA) == password
    assert play().changed == []


def test_a_change_that_was_left_half_done_is_finished(host: Host, play: RunAgain, restored: None) -> None:
    (database,) = asked(host, "cn=config", "(olcSuffix=o=mail)")
    modify(host, f"dn: {database}\nchangetype: modify\nadd: olcReadOnly\nolcReadOnly: TRUE\n")
    aliases = {"mail_aliases": {"info@example.test": [ANNA], "new@example.test": [BEN]}}
    try:
        assert play(aliases).failed
    finally:
        modify(host, f"dn: {database}\nchangetype: modify\ndelete: olcReadOnly\n")
    half = "a change that an earlier run left half done"
    predicted = play(aliases, check=True)
    assert f"would finish {half}" in predicted.actions
    done = play(aliases)
    assert not done.failed
    assert done.actions[0] == f"finished {half}"
    assert "added alias: new@example.test" in done.actions
    assert play(aliases).changed == []


def test_passwords_come_from_where_ansible_finds_them(
    host: Host, ldap: Endpoint, site: Site, scenario: Scenario, accounts: Accounts, ansible: RunOther,
    secret: Callable[[str], str], tmp_path: Path, restored: None,
) -> None:  # fmt: skip
    word, clear, variables = tmp_path / "word", tmp_path / "clear", tmp_path / "variables.yml"
    word.write_text("vault word\n")
    clear.write_text("aus-einer-Datei\n")

    def vault(verb: str, *arguments: str) -> str:
        command = ["ansible-vault", verb, "--vault-password-file", str(word), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    single = vault("encrypt_string", "--name", "password", "einzeln-verschlossen").replace("\n", "\n      ")
    variables.write_text(
        f"mail_accounts:\n  - address: {ANNA}\n    password: \"{{{{ lookup('ansible.builtin.file', '{clear}') }}}}\"\n"
        f'  - address: {BEN}\n    {single.strip()}\n  - address: {CARL}\n    password: "{{{{ carls }}}}"\n'
        "  - address: dora@example.test\ncarls: ganz-verschlossen\n"
    )
    kept = site.state_dir / "secrets.yml"
    vault("encrypt", str(variables))
    vault("encrypt", str(kept))
    options = ("-e", f"@{variables}", "--vault-password-file", str(word), "-vvv", "--diff")
    try:
        said = ansible(scenario.playbook, {}, *options)
        assert "failed=0" in said
        assert kept.read_text().startswith("$ANSIBLE_VAULT;")
        assert "changed=0" in ansible(scenario.playbook, {}, *options)
    finally:
        vault("decrypt", str(kept))
    known = {ANNA: "aus-einer-Datei", BEN: "einzeln-verschlossen", CARL: "ganz-verschlossen"}
    known["dora@example.test"] = secret("dora@example.test")
    for address, password in known.items():
        assert ldap_bind(ldap, dn_of(host, address), password).ok
        assert password not in said
    assert {path.stat().st_mode & 0o777 for path in site.state_dir.iterdir()} == {0o600}
    assert site.state_dir.stat().st_mode & 0o777 == 0o700


def test_who_disables_an_account_in_the_directory_is_not_overruled(host: Host, play: RunAgain) -> None:
    dn, info = dn_of(host, ANNA), "cn=info@example.test,ou=aliases,o=mail"
    change = f"dn: {dn}\nchangetype: modify\nreplace: mailEnabled\nmailEnabled: "
    modify(host, change + "FALSE\n")
    try:
        left = play().actions
        assert any("aliases: " in action and "info@example.test" in action for action in left)
        assert f"changed account: {BEN}" in left  # forwards to anna
        assert asked(host, dn)[dn]["mailEnabled"] == ["FALSE"]
        assert asked(host, info)[info]["mailForwardingAddress"] == [BEN]
        assert play().changed == []
    finally:
        modify(host, change + "TRUE\n")
    assert not play().failed
    assert sorted(asked(host, info)[info]["mailForwardingAddress"]) == [ANNA, BEN]


@pytest.mark.parametrize(
    ("section", "attribute", "value"),
    [
        ("global", "olcTLSCipherSuite", "NONSENSE"),
        ("global", "olcTLSCertificateFile", "/nonexistent"),
        ("global", "olcNoSuchAttribute", "1"),
        ("database", "olcAccess", ["to * by nobody read"]),
        ("database", "olcDbIndex", ["noSuchAttribute eq"]),
    ],
)
def test_a_broken_change_is_refused_before_it_is_made(
    host: Host, ldap: Endpoint, play: RunAgain, secret: Callable[[str], str], section: str, attribute: str,
    value: object,
) -> None:  # fmt: skip
    before = asked(host, "cn=config")
    done = play({"ldap_settings": {section: {attribute: value}}})
    assert done.failed
    message = next(task.result["msg"] for task in done.tasks if task.status == "failed")
    assert "nothing was changed" in message
    assert asked(host, "cn=config") == before
    assert ldap_bind(ldap, dn_of(host, ANNA), secret(ANNA)).ok
    assert host.run("pgrep -c slapd").stdout.strip() == "1"
    assert play().changed == []


def test_a_renewed_certificate_is_served_without_a_restart(host: Host, play: RunAgain) -> None:
    served = "openssl s_client -connect localhost:636 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    chain = "/etc/postamt/tls/internal/chain.pem"
    before, process = host.run(served).stdout, host.file("/run/slapd/slapd.pid").content_string
    host.run(f"rm {chain}")
    assert "reloaded slapd" in play().actions
    after = host.run(served).stdout
    assert after != before
    assert after == host.run(f"openssl x509 -noout -serial -in {chain}").stdout
    assert host.file("/run/slapd/slapd.pid").content_string == process
    assert play().changed == []


@pytest.fixture
def fallen(host: Host) -> Iterator[Callable[[], str]]:
    """Somebody has slapd's user, and wants root to read and write elsewhere: what came of it."""
    link, goal, loot = "/etc/ldap/slapd.d/cn=config/zz", "/root/goal", "/var/lib/ldap-mail.loot"
    rehearsal = "/run/postamt-ldap"
    host.check_output(
        f"mkdir {goal} && install -o openldap /dev/null {loot} && runuser -u openldap -- ln -s /etc/shadow '{link}'"
    )
    loop = (
        f"while :; do cat '{rehearsal}/slapd.d/cn=config/zz'; cp {rehearsal}/shadow /dev/stdout; "
        f"mv {rehearsal}/slapd.d {rehearsal}/old && ln -s {goal} {rehearsal}/slapd.d && echo exchanged; "
        f"ln -s /etc/shadow {rehearsal}/shadow && echo planted; done >> {loot} 2>/dev/null"
    )
    started = host.run(f"systemd-run --quiet --unit=fallen --uid=openldap sh -c {shlex.quote(loop)}")
    assert started.rc == 0, started.stderr
    yield lambda: host.run(f"cat {loot}; find {goal} -mindepth 1").stdout
    host.run(f"systemctl stop fallen; rm -r '{link}' {goal} {loot}")


def test_settings_that_leave_are_removed(host: Host, play: RunAgain, fallen: Callable[[], str]) -> None:
    wanted = {"olcDbNoSync": True, "olcDbMaxSize": 2 << 30}  # the latter needs a restart, or slapd answers nobody
    assert not play({"ldap_settings": {"database": wanted}}).failed
    assert fallen() == ""
    assert any("olcDbNoSync" in entry for entry in asked(host, "cn=config").values())
    assert not play().failed
    assert not any("olcDbNoSync" in entry for entry in asked(host, "cn=config").values())


def test_what_somebody_changed_in_our_settings_is_put_right(host: Host, play: RunAgain) -> None:
    (database,) = asked(host, "cn=config", "(olcSuffix=o=mail)")
    modify(host, f"dn: {database}\nchangetype: modify\nreplace: olcAccess\nolcAccess: to * by * read\n")
    assert not play().failed
    assert len(asked(host, "cn=config", "(olcSuffix=o=mail)")[database]["olcAccess"]) > 5


def test_every_search_is_indexed(host: Host) -> None:
    queries = (
        "(&(objectClass=PostfixBookMailForward)(mailAlias=x@example.test)(!(mailEnabled=FALSE)))",
        "(&(objectClass=PostfixBookMailAccount)(|(mail=x@example.test)(mailAlias=x@example.test)))",
        "(mailForwardingAddress=x@example.test)",
        "(mailGroupMember=x@example.test)",
        "(uid=x)",
    )
    assert unindexed(host, [*queries, MISSING]) == {"mailHomeDirectory"}  # the last one, to see it said


def test_no_secret_is_left_about(host: Host, secret: Callable[[str], str]) -> None:
    known = [secret(ANNA), secret("service:postfix"), "Gestern-war-Montag"]
    journal = host.run("journalctl -o cat").stdout
    record = host.file("/var/lib/postamt/ldap/applied.json")
    assert record.mode == 0o600
    for word in known:
        assert word not in journal
        assert word not in record.content_string
    assert json.loads(record.content_string)["passwords"].keys() >= {ANNA, "service:postfix"}
    assert not host.file("/run/postamt-ldap").exists

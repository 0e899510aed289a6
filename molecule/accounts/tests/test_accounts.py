"""Accounts between two runs, on the whole site: what users notice, and what the next run leaves alone."""

from __future__ import annotations

import copy
import hashlib
import imaplib
import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.plugins.module_utils._probes.smtp import smtp_rcpt
from ansible_collections.postamt.mail.plugins.plugin_utils._model.account_rules import PASSWORD_BYTES
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find, imap_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.managesieve import sieve_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.pop3 import pop3_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth, smtp_send
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import Ask, Connect, RunAgain, RunOther, Scenario, Site

Accounts = list[dict[str, Any]]
Account = Callable[..., str]
Laptop = Callable[..., subprocess.CompletedProcess[str]]
ANNA, BEN, CARL, DORA, EVE = (f"{name}@example.test" for name in ("anna", "ben", "carl", "dora", "eve"))
STRANGER = "stranger@outside.example"


@pytest.fixture
def accounts(site: Site) -> Accounts:
    """The accounts of the inventory, to be changed."""
    return copy.deepcopy(site.vars["mail_accounts"])


@pytest.fixture
def account(ansible: RunOther) -> Account:
    """What postamt.mail.account says: account("dora@example.test", "present", quota="3M")."""

    def account(address: str | None = None, state: str = "listed", *options: str, **more: Any) -> str:
        who = {"account": address} if address else {}
        return str(ansible("postamt.mail.account", {**who, "state": state, **more}, *options))

    return account


def shown_password(said: str, address: str) -> str:
    found = re.findall(rf"the new password of {re.escape(address)} is (\S+)", said)
    assert len(found) == 1, said
    return str(found[0])


def kept_passwords(site: Site) -> dict[str, str]:
    """What the controller keeps now."""
    loaded = yaml.safe_load((site.state_dir / "secrets.yml").read_text(encoding="utf-8"))
    return dict(loaded["mail_generated_passwords"])


def takes(endpoint: Endpoint, address: str) -> bool:
    """Whether the host takes mail from the world to an address; a refusal must be for good."""
    answer = smtp_rcpt(endpoint, STRANGER, [address]).rcpt[address]
    assert answer.ok or answer.code == 550, answer
    return bool(answer.ok)


def arrives(ask: Ask, address: str, reader: str, password: str) -> bool:
    token = new_token()
    assert smtp_send(ask(25), STRANGER, [address], message(STRANGER, address, token)).accepted
    return bool(imap_find(ask(993), reader, password, token))


def put(host: Host, path: str, text: str) -> None:
    host.check_output("printf '%%s' %s > %s", text, path)


def mailboxes(host: Host) -> set[str]:
    return set(host.check_output("find /var/vmail -mindepth 1 -maxdepth 1 -printf '%p\\n'").split())


def lead_away(host: Host, home: str) -> None:
    """Have vmail put a link to a folder of root's in the place of a mailbox."""
    host.check_output("mkdir -p -m 700 /root/canary && printf canary > /root/canary/file")
    host.check_output(f"runuser -u vmail -- sh -c 'mv {home} {home}.aside && ln -s /root/canary {home}'")


def test_an_address_of_every_letter_logs_in_everywhere_and_gets_and_sends_mail(
    site: Site, ask: Ask, accounts: Accounts
) -> None:
    odd, password = site.vars["lab_odd"], site.vars["lab_word"]
    (alias,) = next(one["aliases"] for one in accounts if one["address"] == odd)
    assert imap_login(ask(993), odd, password).ok
    assert pop3_login(ask(995), odd, password).ok
    assert sieve_login(ask(4190), odd, password).ok
    assert smtp_auth(ask(587), odd, password).code == 235
    for address in (odd, alias, odd.replace("@", "+shop@")):
        assert arrives(ask, address, odd, password), address
    for sender in (odd, alias):
        token = new_token()
        login = (odd, password)
        assert smtp_send(ask(465), sender, [odd], message(sender, odd, token), tls="implicit", login=login).accepted
        assert imap_find(ask(993), odd, password, token)


def test_the_longest_password_logs_in_everywhere(ask: Ask) -> None:
    assert smtp_auth(ask(587), "long@example.test", "x" * 127).code == 235
    assert imap_login(ask(993), "long@example.test", "x" * 127).ok


def test_a_subdomain_of_the_site_is_somebody_elses(ask: Ask) -> None:
    assert smtp_rcpt(ask(25), "news@list.example.test", [ANNA]).rcpt[ANNA].ok
    assert not smtp_rcpt(ask(25), BEN, [ANNA]).rcpt[ANNA].ok


def test_hashes_of_other_systems_are_checked(site: Site, ask: Ask, accounts: Accounts) -> None:
    hashed = [one["address"] for one in accounts if "password_hash" in one]
    assert hashed
    assert [one for one in hashed if not imap_login(ask(993), one, site.vars["lab_word"]).ok] == []
    assert [one for one in hashed if smtp_auth(ask(587), one, site.vars["lab_word"]).code != 235] == []
    taken = [one for one in accounts if one["address"] == hashed[-1]]
    assert not imap_login(ask(993), hashed[-1], taken[0]["password_hash"]).ok


def test_a_renamed_account_keeps_its_mail_and_its_password(
    site: Site, ask: Ask, play: RunAgain, accounts: Accounts
) -> None:
    token, anne = new_token(), "anne@example.test"
    password = kept_passwords(site)[ANNA]
    assert smtp_send(ask(25), STRANGER, [ANNA], message(STRANGER, ANNA, token)).accepted
    assert imap_find(ask(993), ANNA, password, token)
    accounts[0].update(address=anne, renamed_from=ANNA)
    done = play({"mail_accounts": accounts})
    assert f"renamed account: {ANNA} -> {anne}" in done.actions
    assert kept_passwords(site)[anne] == password
    assert ANNA not in kept_passwords(site)
    assert imap_find(ask(993), anne, password, token)
    assert smtp_auth(ask(587), ANNA, password).code == 535
    assert not takes(ask(25), ANNA)
    assert arrives(ask, "a@example.test", anne, password)
    assert play({"mail_accounts": accounts}).changed == []
    accounts[0].update(address=ANNA, renamed_from=anne)
    assert f"renamed account: {anne} -> {ANNA}" in play({"mail_accounts": accounts}).actions
    assert imap_find(ask(993), ANNA, password, token)


def test_a_new_password_of_a_generated_one(
    host: Host, site: Site, ask: Ask, ansible: RunOther, play: RunAgain, tmp_path: Path
) -> None:
    old, log = kept_passwords(site)[BEN], tmp_path / "log"
    predicted = ansible("postamt.mail.password", {"account": BEN}, "--check")
    assert f"would set the password of {BEN}" in predicted
    assert kept_passwords(site)[BEN] == old
    said = ansible("postamt.mail.password", {"account": BEN}, "-vvv", "--diff", ANSIBLE_LOG_PATH=str(log))
    new = shown_password(said, BEN)
    assert said.count(new) == 1
    assert f"set the password of {BEN}" in log.read_text()
    assert new not in log.read_text()
    assert host.run("journalctl -o export | grep -qaF -e %s", new).rc == 1
    assert host.run("grep -rlF -e %s /etc /var/lib/postamt /root /tmp /var/log /run", new).stdout == ""
    assert imap_login(ask(993), BEN, new).ok
    assert smtp_auth(ask(587), BEN, new).code == 235
    assert smtp_auth(ask(587), BEN, old).code == 535
    assert kept_passwords(site)[BEN] == new
    again = play()
    assert again.changed == []
    assert not any(BEN in note for task in again.tasks for note in task.result.get("notes", []))


def test_a_new_password_beside_one_in_the_inventory(
    ask: Ask, ansible: RunOther, play: RunAgain, accounts: Accounts
) -> None:
    new = shown_password(ansible("postamt.mail.password", {"account": CARL}), CARL)
    assert imap_login(ask(993), CARL, new).ok
    kept = play()
    assert kept.changed == []
    assert any(
        note.startswith("passwords kept that the users changed themselves") and CARL in note
        for task in kept.tasks
        for note in task.result.get("notes", [])
    )
    assert imap_login(ask(993), CARL, new).ok
    assert smtp_auth(ask(587), CARL, "Gestern-war-Montag").code == 535
    accounts[2]["password"] = "Heute-ist-Dienstag"
    assert f"set the password of {CARL}" in play({"mail_accounts": accounts}).actions
    assert imap_login(ask(993), CARL, "Heute-ist-Dienstag").ok
    assert not play().failed


def test_a_user_changes_the_password_from_elsewhere(
    site: Site, ask: Ask, connect: Connect, account: Account, play: RunAgain
) -> None:
    desk, old = connect("desk.example.test"), kept_passwords(site)[EVE]
    (dn,) = re.findall(rf"{EVE} .*(uid=\S+)", account())
    desk.check_output("echo %s %s >> /etc/hosts", site.ipv4, site.server_name)
    put(desk, "/root/ca.pem", Path(site.ca_file).read_text())

    def changes(before: str, after: str) -> bool:
        done = desk.run(
            "LDAPTLS_CACERT=/root/ca.pem ldappasswd -H ldaps://%s -D %s -w %s -a %s -s %s",
            site.server_name, dn, before, before, after,
        )  # fmt: skip
        return bool(done.rc == 0)

    assert changes(old, chosen := "von Eve gewählt 7")
    assert imap_login(ask(993), EVE, chosen).ok
    assert smtp_auth(ask(587), EVE, old).code == 535
    longest = "x" * PASSWORD_BYTES
    assert not changes(chosen, longest + "x")
    assert changes(chosen, longest)
    assert imap_login(ask(993), EVE, longest).ok
    assert smtp_auth(ask(587), EVE, longest).code == 235
    kept = play()
    assert kept.changed == []
    assert any(EVE in note for task in kept.tasks for note in task.result.get("notes", []))


def test_an_account_by_hand_lives_and_ends(host: Host, ask: Ask, account: Account, play: RunAgain) -> None:
    before = mailboxes(host)
    assert f"would add account {DORA}" in account(DORA, "present", "--check")
    assert not takes(ask(25), DORA)
    added = account(DORA, "present", quota="3M", aliases=["d@example.test"], display_name="Dora Test")
    password = shown_password(added, DORA)
    assert arrives(ask, "d@example.test", DORA, password)
    assert arrives(ask, DORA, DORA, password)
    assert "nothing to do" in (again := account(DORA, "present", quota="3M")) and "changed=0" in again
    assert re.search(rf"{DORA}  enabled  by hand  aliases d@example.test  quota 3M  uid=", account())
    assert play().changed == []
    assert arrives(ask, DORA, DORA, password)
    (home,) = mailboxes(host) - before
    assert "forward is 'ane@example.test': does not exist" in account(DORA, "present", forward=["ane@example.test"])
    second = account("second@example.test", "present", forward=[DORA])
    assert "the new password of second@example.test" in second
    circle = f"would point in a circle: {DORA} -> second@example.test -> {DORA}; nothing was changed"
    assert circle in " ".join(account(DORA, "present", forward=["second@example.test"]).split())
    account("second@example.test", "absent", mail_accounts_grace_days=0)
    assert "deleted account second@example.test" in account(state="purged")
    crew = "crew@example.test"  # somebody's own list, of which the inventory knows nothing
    made = (
        f"dn: cn=crew,ou=aliases,o=mail\nobjectClass: organizationalRole\nobjectClass: PostfixBookMailForward\n"
        f"mail: {crew}\nmailAlias: {crew}\nmailForwardingAddress: {DORA}\n"
    )
    assert host.run(f"ldapadd -Q -Y EXTERNAL -H ldapi:/// <<'END'\n{made}END").rc == 0
    assert takes(ask(25), crew)

    context = ssl.create_default_context(cafile=ask(993).ca_file)
    context.check_hostname = False  # by address
    session = imaplib.IMAP4_SSL(ask(993).host, 993, ssl_context=context, timeout=30)
    session.login(DORA, password)
    assert f"would change alias {crew}" in account(DORA, "disabled", "--check")
    assert takes(ask(25), crew)
    assert f"disabled account {DORA}" in account(DORA, "disabled")
    assert not takes(ask(25), crew)
    with pytest.raises(imaplib.IMAP4.error):
        session.noop()
        session.noop()
    assert not takes(ask(25), DORA)
    assert not takes(ask(25), "d@example.test")
    assert smtp_auth(ask(587), DORA, password).code == 535
    assert play().changed == []
    assert not takes(ask(25), DORA)

    assert f"enabled account {DORA}" in account(DORA, "enabled")
    assert arrives(ask, crew, DORA, password)
    assert "may be deleted from" in account(DORA, "absent")
    assert not takes(ask(25), DORA)
    assert "changed=0" in account(DORA, "absent")
    assert "changed=0" in account(state="purged")
    assert home in mailboxes(host)
    assert "may be deleted" in account()
    account(DORA, "enabled")
    assert "may be deleted" not in account()
    assert arrives(ask, DORA, DORA, password)
    account(DORA, "absent", mail_accounts_grace_days=0)
    assert play().changed == []
    assert f"would delete account {DORA} and its mail in {home}" in account(None, "purged", "--check")
    assert home in mailboxes(host)
    lead_away(host, home)
    said = account(state="purged")
    assert f"{home} is a symbolic link, in a folder that vmail may change" in said
    host.check_output(f"runuser -u vmail -- sh -c 'rm {home} && mv {home}.aside {home}'")
    assert host.check_output("cat /root/canary/file") == "canary"
    host.check_output(f"install -d -o vmail -g vmail /srv/by /srv/by/{DORA} /srv/by/{BEN}")  # mail by address goes, too
    said = account(state="purged", mail_maildir="/srv/by/{user}")
    assert f"deleted account {DORA} and its mail in {home} and /srv/by/{DORA}" in said
    assert mailboxes(host) == before
    assert host.check_output("ls /srv/by") == BEN
    assert DORA not in account()
    assert not takes(ask(25), DORA)
    assert not takes(ask(25), crew)
    assert host.run("ldapdelete -Q -Y EXTERNAL -H ldapi:/// cn=crew,ou=aliases,o=mail").rc == 0
    assert f"there is no account {DORA}" in account(DORA, "absent")
    assert play().changed == []


def test_an_account_that_left_the_inventory_ends_and_its_password_with_it(
    host: Host,
    site: Site,
    ask: Ask,
    account: Account,
    ansible: RunOther,
    play: RunAgain,
    accounts: Accounts,
) -> None:
    eve = {"mail_accounts": [one for one in accounts if one["address"] != EVE]}
    old = shown_password(ansible("postamt.mail.password", {"account": EVE}), EVE)
    assert arrives(ask, EVE, EVE, old)
    assert f"disabled account: {EVE}" in play(eve).actions
    assert "left the inventory" in account(**eve)
    account(EVE, "absent", **eve)
    record = "/var/lib/postamt/ldap/applied.json"  # a month later
    said = json.loads(host.file(record).content_string)
    said["leaving"] = dict.fromkeys(said["leaving"], "2020-01-01")
    put(host, record, json.dumps(said))
    assert f"deleted account {EVE} and its mail in" in account(None, "purged", **eve)
    assert play(eve).changed == []
    assert EVE not in kept_passwords(site)
    assert f"added account: {EVE}" in play().actions
    new = kept_passwords(site)[EVE]
    assert new != old
    assert imap_login(ask(993), EVE, new).ok


def test_what_cannot_be_is_said(account: Account, ansible: RunOther) -> None:
    assert f"account is '{ANNA}': is in the inventory: take it out there" in account(ANNA, "absent")
    assert "did you mean anna@example.test?" in ansible("postamt.mail.password", {"account": "ana@example.test"})
    assert "is taken already by an account or alias" in account(DORA, "present", aliases="a@example.test")
    users = {"mail_accounts_backend": "system", "mail_accounts": [{"address": BEN}]}
    assert "there is no user ben on this host" in ansible("postamt.mail.password", {"account": BEN, **users})


@pytest.fixture
def laptop(scenario: Scenario, tmp_path: Path) -> Laptop:
    """Run a playbook from another controller: another home, a copy of the inventory, and no state."""
    inventory, home = tmp_path / "inventory", tmp_path / "home"
    inventory.mkdir()
    home.mkdir()
    for number, argument in enumerate(scenario.arguments):
        if argument.startswith("--inventory="):
            source = Path(argument.partition("=")[2])
            shutil.copy(source, inventory / f"{number}{source.suffix}")
    gone = ("XDG_STATE_HOME", "ANSIBLE_LOG_PATH")
    env = {name: value for name, value in os.environ.items() if name not in gone}

    def laptop(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ansible-playbook", "-i", str(inventory), *command],
            env={**env, "HOME": str(home)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return laptop


@pytest.mark.parametrize(
    "command",
    [
        ["postamt.mail.site"],
        ["postamt.mail.site", "--tags", "postfix"],
        ["role"],
        ["postamt.mail.password", "-e", f"account={BEN}"],
    ],
    ids=["site", "tag", "role", "password"],
)
def test_a_clean_controller_stops_before_it_makes_anything(
    host: Host,
    ask: Ask,
    site: Site,
    laptop: Laptop,
    tmp_path: Path,
    command: list[str],
) -> None:
    role = tmp_path / "role.yml"
    role.write_text("- hosts: mail\n  gather_facts: false\n  roles: [postamt.mail.postfix]\n")
    # entries, and not their file: slapd notes there at some question after a while which change it is at
    state = "find /etc /var/lib/postamt -type f -printf '%p %T@ %C@\\n' | sort; slapcat -b o=mail | grep -v ^contextCSN"
    before = host.check_output(state)
    stopped = laptop(*(str(role) if word == "role" else word for word in command))
    assert stopped.returncode
    said = " ".join(stopped.stdout.split())
    assert "host mail.example.test trusts a CA" in said
    assert "copy that folder (ca.pem, ca.key, secrets.yml) there from the controller that made them" in said
    assert not list((tmp_path / "home").rglob("*state*"))
    assert host.check_output(state) == before
    assert imap_login(ask(993), BEN, kept_passwords(site)[BEN]).ok


@pytest.fixture
def without_ca(host: Host, play: RunAgain) -> Iterator[None]:
    """Have the host trust no CA, so that another controller may start; afterwards all is as it was."""
    host.run("mv /etc/postamt/tls/ca.pem /root/ca.kept")
    yield
    host.run("rm -f /etc/postamt/tls/ca.pem")
    assert not play().failed


def test_two_runs_at_once_make_one_ca_and_one_password_each(
    host: Host,
    laptop: Laptop,
    tmp_path: Path,
    scenario: Scenario,
    without_ca: None,
) -> None:
    state = tmp_path / "new"
    command = ["ansible-playbook", *scenario.arguments, "postamt.mail.site", "--tags", "certificates"]
    runs = [
        subprocess.Popen([*command, "-e", f"mail_state_dir={state}"], stdout=subprocess.PIPE, text=True)
        for _twice in range(2)
    ]
    said = [run.communicate()[0] for run in runs]
    assert any(run.returncode == 0 for run in runs), said
    made = hashlib.sha256((state / "ca.pem").read_bytes()).hexdigest()
    assert host.file("/etc/postamt/tls/ca.pem").sha256sum == made
    passwords = yaml.safe_load((state / "secrets.yml").read_text())["mail_generated_passwords"]
    assert set(passwords) >= {ANNA, BEN, EVE}
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    again = subprocess.run(
        [*command, "-e", f"mail_state_dir={state}"], capture_output=True, text=True, check=True
    ).stdout
    assert "changed=0" in again
    assert yaml.safe_load((state / "secrets.yml").read_text())["mail_generated_passwords"] == passwords

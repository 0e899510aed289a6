"""Users of the host between two runs: added, locked, unlocked, given a password, and never removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_find, imap_login
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.message import message, new_token
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.smtp import smtp_auth, smtp_send

DORA, STRANGER = "dora@example.test", "stranger@outside.example"
Run = Callable[..., Any]


@pytest.fixture
def account(ansible: Run) -> Callable[..., str]:
    """What postamt.mail.account says: account("dora@example.test", "present")."""

    def account(address: str | None = None, state: str = "listed", *options: str, **more: Any) -> str:
        who = {"account": address} if address else {}
        said = str(ansible("postamt.mail.account", {**who, "state": state, **more}, *options))
        return " ".join(said.split())

    return account


@pytest.fixture
def no_dora(host: Any) -> Iterator[None]:
    def gone() -> None:
        host.run("loginctl terminate-user dora; pkill -KILL -u dora; userdel --remove dora; rm -rf /home/dora")

    gone()
    yield
    gone()


def shown_password(said: str, address: str) -> str:
    (found,) = re.findall(rf"the new password of {re.escape(address)} is (\S+)", said)
    return str(found)


def unchanged(said: str) -> bool:
    return "changed=0" in said and "failed=0" in said


def shadow(host: Any) -> str:
    return str(host.check_output("cat /etc/passwd /etc/shadow /etc/group"))


@pytest.mark.usefixtures("no_dora")
def test_a_user_lives_between_two_runs(
    host: Any, site: Any, account: Run, ansible: Run, play: Run, tmp_path: Path
) -> None:
    ask, before = site.endpoint, shadow(host)
    assert re.search(rf"{DORA} disabled inventory not there yet", account())
    assert "there is no user dora on this host: -e state=present adds it" in account(DORA, "disabled")
    assert "would add user dora" in account(DORA, "present", "--check")
    assert shadow(host) == before

    log = tmp_path / "log"
    said = ansible(
        "postamt.mail.account",
        {"account": DORA, "state": "present", "display_name": "Dora Dachs"},
        "-vvv", "--diff",
        ANSIBLE_LOG_PATH=str(log),
    )  # fmt: skip
    password = shown_password(said, DORA)
    assert said.count(password) == 1
    assert "added user dora" in log.read_text() and password not in log.read_text()
    assert host.run("journalctl -o export | grep -qaF -e %s", password).rc == 1
    assert host.run("grep -rlF -e %s /etc /var/lib/postamt /root /tmp /var/log /run", password).stdout == ""
    assert host.user("dora").uid >= 1000 and host.user("dora").gecos == "Dora Dachs"
    assert unchanged(account(DORA, "present", display_name="Dora Dachs"))
    assert re.search(rf"{DORA} enabled inventory user dora", account())

    token = new_token()
    assert smtp_send(ask(25), STRANGER, [DORA], message(STRANGER, DORA, token)).accepted
    assert imap_find(ask(993), DORA, password, token)
    assert smtp_auth(ask(587), "dora", password).code == 235
    key = "/root/dora-key"
    host.check_output(
        f"test -e {key} || ssh-keygen -q -t ed25519 -N '' -f {key}; install -d -o dora -g dora -m 700 /home/dora/.ssh; "
        f"install -o dora -g dora -m 600 {key}.pub /home/dora/.ssh/authorized_keys"
    )
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    ssh = f"ssh -i {key} {options} dora@127.0.0.1 id || exit 1"
    host.check_output("rm -f /run/nologin")  # a container is never done with booting
    assert host.run("su dora -c id").rc == 0
    assert host.run(ssh).rc == 0

    assert play().changed == []
    as_it_was = shadow(host)
    assert "would disable user dora" in account(DORA, "disabled", "--check")
    assert shadow(host) == as_it_was
    assert imap_login(ask(993), DORA, password).ok
    assert "disabled user dora" in (disabled := account(DORA, "disabled"))
    assert f"mail to {DORA} still arrives" in disabled
    assert not imap_login(ask(993), DORA, password).ok
    assert smtp_auth(ask(587), "dora", password).code == 535
    assert host.run("su dora -c id").rc != 0
    assert host.run(ssh).rc != 0
    assert unchanged(account(DORA, "disabled"))
    assert re.search(rf"{DORA} disabled inventory user dora", account())
    assert play().changed == []
    assert not imap_login(ask(993), DORA, password).ok

    assert "would set the password" in ansible("postamt.mail.password", {"account": DORA}, "--check")
    changed = ansible("postamt.mail.password", {"account": DORA})
    new = shown_password(changed, DORA)
    assert "user dora is disabled" in changed
    assert not imap_login(ask(993), DORA, new).ok
    assert host.run("su dora -c id").rc != 0

    assert "would enable user dora" in account(DORA, "enabled", "--check")
    assert not imap_login(ask(993), DORA, new).ok
    assert "enabled user dora" in account(DORA, "enabled")
    assert imap_find(ask(993), DORA, new, token)
    assert smtp_auth(ask(587), DORA, new).code == 235
    assert smtp_auth(ask(587), DORA, password).code == 535
    assert host.run(ssh).rc == 0
    assert unchanged(account(DORA, "enabled"))
    assert play().changed == []

    newest = shown_password(ansible("postamt.mail.password", {"account": DORA}), DORA)
    assert imap_login(ask(993), DORA, newest).ok
    assert not imap_login(ask(993), DORA, new).ok


def test_what_is_not_done_with_users_is_said(host: Any, account: Run, ansible: Run) -> None:
    host.check_output("id svc || useradd --system svc")
    before = shadow(host)
    refusals = {
        "remove the user there with deluser(8)": account("anna@example.test", "absent"),
        "state is 'purged': is for accounts in the directory": account(None, "purged"),
        "quota: is for accounts in the directory": account("anna@example.test", "present", quota="1G"),
        "is not in mail_accounts": account("mallory@example.test", "disabled"),
        "'root@example.test': is not in mail_accounts": account("root@example.test", "disabled"),
        "user svc has number": account("svc@example.test", "disabled"),
        "user nobody has number 65534": account("nobody@example.test", "enabled"),
        "reads mail to root and postmaster": account("anna@example.test", "disabled"),
        "did you mean anna@example.test?": " ".join(
            ansible("postamt.mail.password", {"account": "ana@example.test"}).split()
        ),
    }
    assert [sentence for sentence, said in refusals.items() if sentence not in said] == []
    assert shadow(host) == before

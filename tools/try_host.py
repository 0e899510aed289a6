#!/usr/bin/env python3
"""First run, second run and mail on hosts as the world has them, which tools/world makes of Debian's base image.

    tools/try_host.py                          all kinds, one after the other, as `make soak` does on both releases
    tools/try_host.py cloud exim               these
    tools/try_host.py cloud --release bookworm --keep

Each script of tools/world is one kind of host.  A run that cannot go on has to
say so in check mode already, and change nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = REPOSITORY / "tools" / "world"
CACHE = REPOSITORY / ".cache" / "world"
NAME = "mail.example.org"
ACCOUNTS = [{"address": f"{name}@example.org", "password": f"only-for-{name}"} for name in ("alice", "bob")]
SITE: dict[str, Any] = {
    "mail_domains": ["example.org"],
    "mail_accounts": ACCOUNTS,
    "mail_content_filter": "before_queue",
    "mail_authentication": False,
    "mail_sender_domain_must_exist": False,  # the test network has no DNS of the world
    "mail_dane": False,
    "mail_mta_sts_check": False,
    "mail_clamav_official": False,
    "mail_clamav_signatures": [str(REPOSITORY / "examples" / "files" / "eicar.ndb")],
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is different on a kind of host.

    variables: of the site, until a run has refused them or failed; then: what takes their place. refused: what check
    mode and the run say before they touch the host. fails: what a run says at its end, when all else is set up. mend:
    what an administrator does about it there. login, memory: how the host is reached, and what it has.
    """

    variables: dict[str, Any] = dataclasses.field(default_factory=dict)
    then: dict[str, Any] = dataclasses.field(default_factory=dict)
    refused: str = ""
    fails: str = ""
    mend: str = ""
    login: dict[str, Any] = dataclasses.field(default_factory=dict)
    memory: str = ""


OFFICIAL = {"mail_clamav_official": True, "mail_clamav_signatures": []}
ADMIN = {"ansible_user": "admin", "ansible_ssh_pipelining": False}
DIFFERENT = {
    "exim": Kind(
        refused="exim4-daemon-light is this host's mail server; 1 message waits in its", then={"mail_adopt": True}
    ),
    "no-signatures": Kind(variables=OFFICIAL, fails="freshclam cannot fetch signatures"),
    "number-5000": Kind(
        refused="user deploy has 5000, group deploy has 5000", mend="usermod -u 4000 deploy; groupmod -g 4000 deploy"
    ),
    "one-gb": Kind(memory="1g", variables=OFFICIAL, refused="memory of host mail.example.org: is too little for the"),
    "other-vmail": Kind(
        refused="user vmail has 1001, group vmail has 1001", mend="groupmod -g 5000 vmail; usermod -u 5000 vmail"
    ),
    "requiretty": Kind(login=ADMIN),
}


class Trial:
    """One host of one kind."""

    def __init__(self, kind: str, release: str) -> None:
        self.kind = DIFFERENT.get(kind, Kind())
        self.script = SCRIPTS / kind
        self.release = release
        self.set = f"world-{kind}-{release}"
        self.folder = CACHE / self.set
        self.variables = {**SITE, **self.kind.variables, "mail_state_dir": str(self.folder / "state")}

    def hosts(self, *words: str) -> None:
        subprocess.run([str(REPOSITORY / "tools" / "hosts.py"), *words], check=True)

    def down(self) -> None:
        self.hosts("down", self.set)
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self) -> None:
        self.down()
        connection = self.folder / "connection.json"
        memory = ["--memory", self.kind.memory] if self.kind.memory else []
        self.hosts("up", self.set, "--release", self.release, "--inventory", str(connection), *memory, NAME)
        self.host: dict[str, Any] = json.loads(connection.read_text(encoding="utf-8"))["all"]["hosts"][NAME]
        if self.script.exists():
            self.hosts("run", self.host["lab_container"], str(self.script))

    def play(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the playbook of the whole site; what it says is in the kind's log too."""
        listed = {"mail": {"hosts": {NAME: {**self.host, **self.kind.login}}, "vars": self.variables}}
        inventory = self.folder / "site.json"
        inventory.write_text(json.dumps(listed, indent=1), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(inventory), "postamt.mail.site", *words]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "examples" / "ansible.cfg")}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        with open(f"{self.folder}.log", "a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
        return done

    def refuses(self, text: str, *words: str) -> None:
        done = self.play(*words)
        expect(done.returncode != 0 and text in " ".join(done.stdout.split()), f'a run that says "{text}"', done.stdout)
        expect(not re.search(r"changed=[1-9]", done.stdout), "a run that changes nothing", done.stdout)

    def fails_at_the_end(self, text: str) -> None:
        done = self.play()
        expect(done.returncode != 0 and text in " ".join(done.stdout.split()), f'a run that says "{text}"', done.stdout)
        expect("postfix: installed" in done.stdout, "a run that sets the rest up", done.stdout)
        expect(self.send("alice").startswith("451 "), "mail that is deferred", done.stdout)

    def first_and_second(self) -> None:
        for words, changed in (("--check",), True), ((), True), ((), False):
            done = self.play(*words)
            expect(done.returncode == 0, f"a run {' '.join(words)} that works", done.stdout)
            expect(bool(re.search(r"changed=[1-9]", done.stdout)) == changed, f"changes: {changed}", done.stdout)

    def endpoint(self, port: int) -> Any:
        from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint

        return Endpoint(self.host["lab_ipv4"], port, NAME, str(self.folder / "state" / "ca.pem"), timeout=60)

    def send(self, token: str) -> str:
        """Submit a message from the first account to the second; returns the server's answer."""
        from ansible_collections.postamt.mail.plugins.plugin_utils._probes import message, smtp

        sender, reader = (account["address"] for account in ACCOUNTS)
        text = message.message(sender, reader, token, "Hello.")
        login = (sender, ACCOUNTS[0]["password"])
        return str(
            smtp.smtp_send(self.endpoint(465), sender, [reader], text, tls="implicit", login=login).answers[reader]
        )

    def mail(self) -> None:
        from ansible_collections.postamt.mail.plugins.plugin_utils._probes import imap, message

        token, reader = message.new_token(), ACCOUNTS[1]
        answer = self.send(token)
        expect(answer.startswith("250 "), "mail that is taken", answer)
        found = imap.imap_find(self.endpoint(993), reader["address"], reader["password"], token, wait=30)
        expect(found is not None, "mail that arrives", answer)

    def whole(self) -> None:
        Path(f"{self.folder}.log").unlink(missing_ok=True)
        self.up()
        if self.kind.refused:
            self.refuses(self.kind.refused, "--check")
            self.refuses(self.kind.refused)
        if self.kind.mend:
            script = self.folder / "mend"
            script.write_text(f"set -e\n{self.kind.mend}\n", encoding="utf-8")
            self.hosts("run", self.host["lab_container"], str(script))
        if self.kind.fails:
            self.fails_at_the_end(self.kind.fails)
        self.variables.update({name: SITE[name] for name in self.kind.variables} | self.kind.then)
        self.first_and_second()
        self.mail()


def expect(right: bool, what: str, said: str) -> None:
    if not right:
        raise SystemExit(f"try-host: expected {what}, found:\n{said}")


def main() -> None:
    kinds = sorted({path.name for path in SCRIPTS.iterdir()} | set(DIFFERENT))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help=", ".join(kinds))
    parser.add_argument("--release", default=os.environ.get("RELEASE", "trixie"))
    parser.add_argument("--list", action="store_true", help="name the kinds")
    parser.add_argument("--keep", action="store_true", help="leave the host running")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(kinds))
        return
    sys.path.insert(0, os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(REPOSITORY / ".cache" / "collections")))
    if unknown := sorted({*asked.kinds} - {*kinds}):
        parser.error(f"no such kind: {', '.join(unknown)} (known: {', '.join(kinds)})")
    CACHE.mkdir(parents=True, exist_ok=True)
    for kind in asked.kinds or kinds:
        trial = Trial(kind, asked.release)
        try:
            trial.whole()
        finally:
            if not asked.keep:
                trial.down()
        print(f"{kind} on {asked.release}: set up, run again, mail", flush=True)


if __name__ == "__main__":
    main()

"""No secret of the site is where somebody could find it: every one is looked for everywhere."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import yaml
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import MailFlows, RunAgain, Scenario, Site, Traced

REPOSITORY = Path(__file__).resolve().parents[3]
FINN, GRETA, RELAY = (token_urlsafe() for _secret in range(3))  # no other run, which may be under way, has them


def body(key: str) -> str:
    """A line out of the middle of a key in PEM."""
    return key.split("-----")[2].split()[0]


@pytest.fixture(scope="module")
def given(host: Host, site: Site) -> dict[str, Any]:
    """A change that brings secrets of every kind."""
    hashed = host.check_output(f"slappasswd -o module-load=argon2 -h '{{ARGON2}}' -s {GRETA}")
    return {
        "mail_accounts": [
            *site.vars["mail_accounts"],
            {"address": "finn@example.test", "password": FINN},
            {"address": "greta@example.test", "password_hash": hashed},
        ],
        "mail_relayhost": {"host": "relay.example.net", "username": "company", "password": RELAY},
        "mail_message_size_limit": "24M",
    }


@pytest.fixture
def secrets(host: Host, site: Site) -> Callable[[], dict[str, str]]:
    """Every secret of the site as it is now, by what it is."""

    def secrets() -> dict[str, str]:
        known = yaml.safe_load((site.state_dir / "secrets.yml").read_text(encoding="utf-8"))
        found = {str(name): str(value) for name, value in known["mail_generated_passwords"].items()}
        found |= {"finn's": FINN, "greta's": GRETA, "the provider's": RELAY}
        found["the CA's key"] = body((site.state_dir / "ca.key").read_text(encoding="ascii"))
        for name in ("public", "internal"):
            found[f"key of {name}"] = body(host.check_output(f"cat /etc/postamt/tls/{name}/key.pem"))
        for number, value in enumerate(re.findall(r"userPassword:: (\S+)", host.check_output(SLAPCAT))):
            found[f"hash {number}"] = base64.b64decode(value).decode(errors="replace").partition("\0")[0]
            found[f"hash {number} in base64"] = value
        return found

    return secrets


SLAPCAT = "slapcat -o ldif-wrap=no -b o=mail"


def seen(text: str, secrets: dict[str, str]) -> list[str]:
    """Which of the secrets a text has."""
    return [name for name, word in secrets.items() if word in text]


@contextmanager
def watched_processes(host: Host) -> Iterator[Callable[[], str]]:
    """Collect the command lines of all processes, here and on the host."""
    loop = "while :; do cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; sleep .05; done > /run/processes.log 2>&1"
    host.check_output(f'systemd-run --quiet --unit=processes --collect /bin/sh -c "{loop}"')
    here: set[str] = set()
    over = threading.Event()

    def collect() -> None:
        while not over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    here.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield lambda: "\n".join(here) + host.file("/run/processes.log").content.decode(errors="replace")
    finally:
        over.set()
        thread.join()
        host.run("systemctl stop processes; rm -f /run/processes.log")


@pytest.fixture
def verbose(scenario: Scenario, tmp_path: Path) -> Callable[..., str]:
    """Run the site with all that may talk: -vvv, diffs, a log file, a fact cache; returns all that was said."""

    def verbose(variables: dict[str, Any], *options: str) -> str:
        said = tmp_path / "variables.json"  # a password on a command line would be its user's own doing
        said.write_text(json.dumps(variables), encoding="utf-8")
        env = {
            **os.environ,
            "ANSIBLE_LOG_PATH": str(tmp_path / "ansible.log"),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts"),
            "ANSIBLE_GATHERING": "implicit",
        }
        command = ["ansible-playbook", *scenario.arguments, scenario.playbook, "--extra-vars", f"@{said}", "-vvv"]
        done = subprocess.run([*command, "--diff", *options], env=env, capture_output=True, text=True, check=False)
        kept = [path.read_text(encoding="utf-8") for path in (tmp_path / "facts").rglob("*") if path.is_file()]
        return "\n".join([done.stdout, done.stderr, (tmp_path / "ansible.log").read_text(encoding="utf-8"), *kept])

    return verbose


def test_runs_tell_none(
    host: Host, given: dict[str, Any], secrets: Callable[[], dict[str, str]], verbose: Callable[..., str]
) -> None:
    """A prediction, the change, a change of a program's password, a failed run, and a second run."""
    before = secrets()
    with watched_processes(host) as processes:
        said = verbose(given, "--check")
        said += verbose(given)
        said += verbose({**given, "dovecot_settings": {"ssl_min_protocol": "NOSUCH"}})
        said += verbose(given)
        listed = processes()
    known = {**before, **secrets()}
    assert "RECAP" in said
    assert seen(said, known) == []
    assert "ansible-playbook" in listed
    assert seen(listed, known) == []
    assert seen(host.run("journalctl -q -o export").stdout_bytes.decode(errors="replace"), known) == []


def test_a_new_password_of_a_program_tells_neither(
    host: Host, site: Site, given: dict[str, Any], secrets: Callable[[], dict[str, str]], verbose: Callable[..., str]
) -> None:
    """Taken out of the file of generated passwords, another one is made: neither the old nor the new one is told."""
    before = secrets()
    path = site.state_dir / "secrets.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for service in ("dovecot", "postfix", "saslauthd"):
        del content["mail_generated_passwords"][f"service:{service}"]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    said = verbose(given)
    after = secrets()
    assert before["service:dovecot"] != after["service:dovecot"]
    assert "changed=" in said and "failed=0" in said, said[-2000:]
    assert seen(said, {**before, **{f"new {name}": word for name, word in after.items()}}) == []


def everywhere(host: Host, secrets: dict[str, str]) -> list[str]:
    """The files with a secret that a user without rights can read."""
    words = "\n".join(secrets.values())
    folders = "/etc /home /opt /root /run /srv /tmp /usr/local /var /dev/shm"
    command = f"timeout 120 runuser -u nobody -- grep -rlsF -f - {folders} <<'END'\n{words}\nEND"
    done = host.run(command)
    assert done.rc != 124, "there was no time to look everywhere"
    return done.stdout.split()


def test_nobody_reads_one_on_the_host(
    host: Host,
    play: RunAgain,
    traced: Traced,
    mail_flows: MailFlows,
    given: dict[str, Any],
    secrets: Callable[[], dict[str, str]],
) -> None:
    """Not after a good run, not while one is under way, not in what killed ones leave, nor after a crash."""
    assert not play(given).failed
    known = secrets()
    assert host.run("runuser -u nobody -- grep -c . /etc/passwd").rc == 0
    assert everywhere(host, known) == []
    changed = {
        **given, "mail_relayhost": {**given["mail_relayhost"], "username": "firm"}, "mail_message_size_limit": "26M",
    }  # fmt: skip
    for call, path in (
        ("renameat:signal=SIGKILL", ".link"),
        ("openat:signal=SIGKILL:when=2", "main.cf"),  # the first opens the old one, the second is staged
        ("renameat:signal=SIGKILL", ".main.cf.postamt-new"),
        ("renameat:signal=SIGKILL", ".dovecot.conf.postamt-new"),
    ):
        kill = traced(f"--inject={call} -P {path}")
        more = {"dovecot_settings": {"mail_max_userip_connections": 8}, "mail_certificates": {"sni": {}}}
        assert play({**changed, **(more if "main.cf" not in path else {}), **kill}).failed
        assert everywhere(host, {**known, **secrets()}) == [], path
    for name in ("saslauthd-postfix", "dovecot", "slapd"):
        pid = host.check_output(f"systemctl show -P MainPID {name}")
        host.check_output(f"systemctl kill -s SEGV {name}")
        host.check_output(f"timeout 20 sh -c 'while [ -e /proc/{pid} ]; do sleep .1; done'")  # its core is written
    host.check_output("systemctl restart saslauthd-postfix dovecot slapd")
    assert everywhere(host, known) == []
    cores = host.check_output(
        "find / -xdev -type f \\( -name 'core' -o -name 'core.[0-9]*' \\) -size +0 2>/dev/null || true"
    )
    assert [path for path in cores.split() if seen(host.run(f"strings {path}").stdout, known)] == []
    assert not play().failed
    mail_flows()


def test_the_controllers_files_are_their_owners(site: Site) -> None:
    assert site.state_dir.stat().st_mode & 0o777 == 0o700
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in site.state_dir.iterdir()}
    assert {"ca.key", "ca.pem", "secrets.yml"} <= set(modes)
    assert modes == dict.fromkeys(modes, "0o600")


def test_the_built_collection_has_none(secrets: Callable[[], dict[str, str]], tmp_path: Path) -> None:
    """Built beside a running demo's and these tests' files."""
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)],
        cwd=REPOSITORY, check=True, capture_output=True,
    )  # fmt: skip
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as packed:
        names = packed.getnames()
        text = "\n".join(
            file.read().decode(errors="replace") for name in names if (file := packed.extractfile(name)) is not None
        )
    assert "plugins/modules/postfix.py" in names
    assert seen(text, secrets()) == []
    assert [name for name in names if name.split("/")[0] in (".demo", ".cache", ".venv", ".git")] == []

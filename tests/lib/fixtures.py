"""Fixtures of all scenarios: the host, the site, and running the playbook again.

`host` is testinfra's, over the ssh connection that Ansible uses too; `site` is
what the inventory says; `play()` runs the scenario's converge playbook again.
The tests run on this machine, which is a stranger to the servers: they ask
`site.ipv4` or `site.ipv6`, never a loopback address.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.preloaded import Preloaded
from ansible_collections.postamt.mail.tests.lib.site import (
    REPOSITORY,
    Ask,
    Connect,
    Outage,
    Play,
    RunAgain,
    RunOther,
    Scenario,
    Site,
    Task,
)


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    return Scenario()


@pytest.fixture(scope="session")
def release(scenario: Scenario) -> str:
    """trixie or bookworm."""
    return scenario.release


@pytest.fixture(scope="session")
def site(scenario: Scenario) -> Site:
    return Site(scenario)


@pytest.fixture(scope="session")
def connect(site: Site) -> Iterator[Connect]:
    """A testinfra host by its name in the inventory, for scenarios with several.

    All commands of a host go over one connection: a login for each took longer than most commands. One that has gone
    silent, since its host was away, is given up after fifteen seconds, as by Ansible.
    """
    silent = "-o ServerAliveInterval=5 -o ServerAliveCountMax=3"
    with tempfile.TemporaryDirectory(prefix="ssh-") as folder:

        def connect(name: str) -> Host:
            data = site.hosts[name]
            found: Host = testinfra.get_host(
                f"ssh://{data['ansible_user']}@{data['ansible_host']}",
                ssh_identity_file=data["ansible_ssh_private_key_file"],
                ssh_extra_args=f"{data['ansible_ssh_common_args']} {silent}",
                controlpath=f"{folder}/{name}",
                controlpersist=60,
            )
            return found

        yield connect


@pytest.fixture
def ask(site: Site) -> Ask:
    """The endpoint of a port over IPv4."""
    return site.endpoint


@pytest.fixture(params=["ipv4", "ipv6"])
def ask_both(request: pytest.FixtureRequest, site: Site) -> Ask:
    """As `ask`; the test runs once over each of the addresses."""
    return functools.partial(site.endpoint, address=request.param)


@pytest.fixture(scope="session")
def host(site: Site, connect: Connect) -> Host:
    """testinfra's host: the scenario's first."""
    return connect(site.name)


@pytest.fixture
def outage(site: Site) -> Iterator[Outage]:
    """Let a host be away: outage(name, "stopped", "paused" or "unplugged"); it is back by outage(name, "")."""
    away: dict[str, str] = {}

    def outage(name: str, how: str) -> None:
        action, how = ("away", how) if how else ("back", away.pop(name))
        command = [str(REPOSITORY / "tools" / "hosts.py"), action, site.hosts[name]["lab_container"], how]
        subprocess.run(command, check=True)
        if action == "away":
            away[name] = how

    yield outage
    for name in list(away):
        outage(name, "")


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where modules lie that Ansible has packed for the hosts, for the next run."""
    return tmp_path_factory.mktemp("packed")


def environment(packed: Path) -> dict[str, str]:
    """Return the environment of a run: no colours, the callbacks of the tests, and modules packed once a session."""
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")  # a test may run a copy with other modules
    folder = packed / hashlib.sha256(collections.encode()).hexdigest()
    folder.mkdir(exist_ok=True)
    return {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(REPOSITORY / "tests" / "every" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "packed,recorder",
        "ANSIBLE_NOCOLOR": "1",
        "PACKED_FOLDER": str(folder),
    }


@pytest.fixture(scope="session")
def preloaded(packed: Path) -> Iterator[Preloaded]:
    with Preloaded(environment(packed)) as process:
        yield process


@pytest.fixture
def run_playbook(preloaded: Preloaded, packed: Path, tmp_path: Path) -> Callable[..., Play]:
    """Run ansible-playbook with these arguments, and more variables of its environment."""

    def run_playbook(*arguments: str, **more: str) -> Play:
        record, output = tmp_path / "record", tmp_path / "output"
        record.unlink(missing_ok=True)
        variables = {**environment(packed), "RECORDER_FILE": str(record), **more}
        returncode = preloaded.run(list(arguments), variables, str(output))
        printed = output.read_text(encoding="utf-8")
        print(printed)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return Play(returncode, printed, [Task(**json.loads(line)) for line in lines])

    return run_playbook


@pytest.fixture
def play(scenario: Scenario, run_playbook: Callable[..., Play]) -> RunAgain:
    """Run the converge playbook again."""

    def play(
        extra_vars: dict[str, Any] | None = None,
        check: bool = False,
        tags: str | None = None,
        playbook: str | None = None,
        limit: str | None = None,
        inventory: Path | None = None,
    ) -> Play:
        arguments = [
            f"--inventory={inventory}" if inventory and word.endswith("/inventory.yml") else word
            for word in scenario.arguments
        ]
        arguments.append(playbook or scenario.playbook)
        if limit:
            arguments += ["--limit", limit]
        if extra_vars:
            arguments += ["--extra-vars", json.dumps(extra_vars)]
        if check:
            arguments += ["--check", "--diff"]
        if tags:
            arguments += ["--tags", tags]
        return run_playbook(*arguments)

    return play


@pytest.fixture
def ansible(scenario: Scenario, run_playbook: Callable[..., Play]) -> RunOther:
    """Run another playbook on the scenario's hosts."""

    def ansible(playbook: str, extra_vars: dict[str, Any] | None = None, *options: str, **more: str) -> str:
        said = json.dumps(extra_vars or {})
        return run_playbook(*scenario.arguments, playbook, "--extra-vars", said, *options, **more).stdout

    return ansible

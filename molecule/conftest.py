"""Fixtures of all scenarios: the host, the site, and running the playbook again.

`host` is testinfra's, over the ssh connection that Ansible uses too; `site` is
what the inventory says; `play()` runs the scenario's converge playbook again.
The tests run on this machine, which is a stranger to the servers: they ask
`site.ipv4` or `site.ipv6`, never a loopback address.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass
class Task:
    """One result of one task on one host."""

    host: str
    task: str
    action: str
    status: str
    changed: bool
    result: dict[str, Any]


@dataclass
class Play:
    """What a run of the playbook did."""

    returncode: int
    stdout: str
    tasks: list[Task] = field(default_factory=list)

    @property
    def changed(self) -> list[Task]:
        """The results that report a change; compare its names, or that it is empty."""
        return [task for task in self.tasks if task.changed]

    @property
    def failed(self) -> bool:
        return self.returncode != 0

    @property
    def message(self) -> str:
        """What the task that failed said."""
        assert self.failed, self.stdout
        return str(next(task.result["msg"] for task in self.tasks if task.status == "failed"))

    @property
    def ran(self) -> list[Task]:
        """The results of tasks that were not skipped: what a second run is charged for."""
        return [task for task in self.tasks if task.status != "skipped"]

    @property
    def actions(self) -> list[str]:
        """What the collection's modules say that they did, as one list."""
        return [str(action) for task in self.tasks for action in task.result.get("actions") or []]


class Site:
    """The scenario's inventory and what the run has left on the controller."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        command = ["ansible-inventory", *scenario.arguments, "--list"]
        listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.hosts: dict[str, dict[str, Any]] = listed["_meta"]["hostvars"]

        def members(group: str) -> list[str]:
            inside = [host for child in listed[group].get("children", ()) for host in members(child) if child in listed]
            return list(dict.fromkeys([*listed[group].get("hosts", ()), *inside]))

        self.groups = {name: members(name) for name in listed if name not in ("_meta", "all")}
        self.name = self.groups["mail"][0]

    @property
    def vars(self) -> dict[str, Any]:
        """The variables of the first host, as they are in the inventory."""
        return self.hosts[self.name]

    @property
    def ipv4(self) -> str:
        return str(self.vars["lab_ipv4"])

    @property
    def ipv6(self) -> str:
        return str(self.vars["lab_ipv6"])

    def endpoint(self, port: int, address: str = "ipv4", host: str = "") -> Endpoint:
        """How a stranger or a user reaches a port: of one host, or of the first whose it is."""
        host = host or self.having(port)[0]
        name = host if port == 389 else self.server_name  # a directory shows its host's own certificate
        return Endpoint(self.hosts[host][f"lab_{address}"], port, name=name, ca_file=self.ca_file, timeout=30)

    def having(self, port: int) -> list[str]:
        """The hosts whose port it is, by their groups; a site without groups is one host."""
        groups = {25: "mail_mx", 587: "mail_submission", 465: "mail_submission", 389: "mail_directory"}
        return self.groups.get(groups.get(port, "mail_store"), [self.name])

    @property
    def server_name(self) -> str:
        """The name in the certificates."""
        return str(self.vars.get("mail_server_name", self.name))

    @property
    def state_dir(self) -> Path:
        return self._scenario.folder / "state"

    @property
    def ca_file(self) -> str:
        return str(self.state_dir / "ca.pem")

    @cached_property
    def passwords(self) -> dict[str, str]:
        """By address: those of the inventory, and those that the run generated."""
        known = {}
        secrets = self.state_dir / "secrets.yml"
        if secrets.exists():
            loaded = yaml.safe_load(secrets.read_text(encoding="utf-8")) or {}
            known.update(loaded.get("mail_generated_passwords", {}))
        for account in self.vars.get("mail_accounts", []):
            if "password" in account:
                known[account["address"]] = account["password"]
        return known


class Scenario:
    """What Molecule knows: read from the file that it writes, so that nothing is said twice."""

    def __init__(self) -> None:
        if "MOLECULE_FILE" not in os.environ:
            raise pytest.UsageError("these tests run inside Molecule: molecule verify -s <scenario>")
        config = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))["ansible"]
        self.release = os.environ.get("RELEASE", "trixie")
        self.name = os.environ["MOLECULE_SCENARIO_NAME"]
        self.folder = REPOSITORY / ".cache" / "molecule" / f"{self.name}-{self.release}"
        self.playbook = str(Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], config["playbooks"]["converge"]))
        self.arguments: list[str] = config["executor"]["args"]["ansible_playbook"]


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
def connect(site: Site) -> Callable[[str], Any]:
    """A testinfra host by its name in the inventory, for scenarios with several."""

    def connect(name: str) -> Any:
        data = site.hosts[name]
        return testinfra.get_host(
            f"ssh://{data['ansible_user']}@{data['ansible_host']}",
            ssh_identity_file=data["ansible_ssh_private_key_file"],
            ssh_extra_args=data["ansible_ssh_common_args"],
            controlpersist=60,
        )

    return connect


@pytest.fixture(params=["ipv4", "ipv6"])
def ask(request: Any, site: Site) -> Callable[[int], Endpoint]:
    """The endpoint of a port, at the first host that has it, over each of its addresses."""
    return lambda port: site.endpoint(port, request.param)


@pytest.fixture
def ask4(site: Site) -> Callable[[int], Endpoint]:
    return site.endpoint


@pytest.fixture(scope="session")
def host(site: Site, connect: Callable[[str], Any]) -> Any:
    """testinfra's host: the scenario's first."""
    return connect(site.name)


@pytest.fixture
def outage(site: Site) -> Iterator[Callable[[str, str], None]]:
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


@pytest.fixture
def play(scenario: Scenario, tmp_path: Path) -> Callable[..., Play]:
    """Run the converge playbook: play(extra_vars=None, check=False, tags=None, playbook=None, limit=None) -> Play.

    inventory: a file instead of the scenario's inventory.yml.
    """

    def play(
        extra_vars: dict[str, Any] | None = None,
        check: bool = False,
        tags: str | None = None,
        playbook: str | None = None,
        limit: str | None = None,
        inventory: Path | None = None,
    ) -> Play:
        record = tmp_path / "record"
        record.unlink(missing_ok=True)
        arguments = [
            f"--inventory={inventory}" if inventory and word.endswith("/inventory.yml") else word
            for word in scenario.arguments
        ]
        command = ["ansible-playbook", *arguments, playbook or scenario.playbook]
        if limit:
            command += ["--limit", limit]
        if extra_vars:
            command += ["--extra-vars", json.dumps(extra_vars)]
        if check:
            command += ["--check", "--diff"]
        if tags:
            command += ["--tags", tags]
        env = {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(REPOSITORY / "molecule" / "every" / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "recorder",
            "ANSIBLE_NOCOLOR": "1",
            "RECORDER_FILE": str(record),
        }
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(done.stdout)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return Play(done.returncode, done.stdout, [Task(**json.loads(line)) for line in lines])

    return play


@pytest.fixture
def ansible(scenario: Scenario) -> Callable[..., str]:
    """Run another playbook on the scenario's hosts: ansible(playbook, extra_vars, options...) -> what it prints.

    Further keywords are variables of its environment.
    """

    def ansible(playbook: str, extra_vars: dict[str, Any] | None = None, *options: str, **environment: str) -> str:
        command = ["ansible-playbook", *scenario.arguments, playbook, "--extra-vars", json.dumps(extra_vars or {})]
        command += options
        env = {**os.environ, "ANSIBLE_NOCOLOR": "1", **environment}
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(done.stdout)
        return done.stdout

    return ansible

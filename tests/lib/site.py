"""What tests are given: the site as its inventory says it, what a run did, and how both are had (see fixtures.py)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint
from ansible_collections.postamt.mail.tests.lib.hosts import Host

REPOSITORY = Path(__file__).resolve().parents[2]
Connect = Callable[[str], Host]
Outage = Callable[[str, str], None]
MailFlows = Callable[[], None]
Traced = Callable[[str], dict[str, str]]


class Ask(Protocol):
    """The endpoint of a port, at the host of that name or at the first that has the port."""

    def __call__(self, port: int, host: str = "") -> Endpoint: ...


class RunAgain(Protocol):
    """Run the converge playbook, or another one.

    check: in check mode, with --diff. inventory: a file instead of the scenario's inventory.yml.
    """

    def __call__(
        self,
        extra_vars: dict[str, Any] | None = None,
        check: bool = False,
        tags: str | None = None,
        playbook: str | None = None,
        limit: str | None = None,
        inventory: Path | None = None,
    ) -> Play: ...


class RunOther(Protocol):
    """Run another playbook on the scenario's hosts, and return what it prints.

    options: further words of the command. environment: variables of its environment.
    """

    def __call__(
        self, playbook: str, extra_vars: dict[str, Any] | None = None, *options: str, **environment: str
    ) -> str: ...


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

    def endpoint(self, port: int, host: str = "", address: str = "ipv4", timeout: float = 30) -> Endpoint:
        """How a stranger or a user reaches a port: of one host, or of the first whose it is."""
        host = host or self.having(port)[0]
        name = host if port == 389 else self.server_name  # a directory shows its host's own certificate
        return Endpoint(self.hosts[host][f"lab_{address}"], port, name=name, ca_file=self.ca_file, timeout=timeout)

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

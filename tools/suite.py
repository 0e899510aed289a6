#!/usr/bin/env python3
"""Runs the jobs of `make test`, two for each processor at a time, and says what took how long.

    tools/suite.py              all
    tools/suite.py lint         those whose name begins with a word
    tools/suite.py molecule-postfix

Each job writes to .cache/suite/<job>.log; what a failed one wrote is shown, and
at the end once more what failed in it, where a reader of a long output looks.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache"
LOGS = CACHE / "suite"
WORKERS = min(8, 2 * (os.cpu_count() or 1))  # a scenario on its own keeps half a processor to a whole one at work
RELEASES = ("trixie", "bookworm")
LONGEST = (
    "hosts",
    "identity",
    "amavis",
    "trust",
    "renewal",
    "accounts",
    "ldap",
    "system",
)  # first
MIXED = ("hosts",)  # scenarios whose hosts are of both releases
OLDEST = ("default", "bookworm")  # runs with the oldest supported ansible-core, all else with the newest

BUILD = "ansible-galaxy collection build --force --output-path .cache/build"

# The images come first, since the scenarios wait for them; meanwhile what needs none; then what takes longest.
PREPARE = {f"molecule-image-{release}": f"tools/hosts.py image test --release {release}" for release in RELEASES}
LINT = {
    "lint-sanity": "tools/sanity",
    "lint-ansible": "ansible-lint --offline",
    "lint-types": "mypy -p ansible_collections.postamt.mail",
    "lint-yaml": "yamllint --strict .",
    "lint-python": "ruff check . && ruff format --check .",
    "lint-docs": "antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all --skip-rstcheck .",
    "lint-changelog": "antsibull-changelog lint",
    "lint-galaxy": (
        f"{BUILD} && GALAXY_IMPORTER_CONFIG=tools/galaxy-importer.cfg "
        "python -m galaxy_importer.main .cache/build/postamt-mail-*.tar.gz"
    ),
    "lint-generated": (
        "rm -rf .cache/generated && mkdir .cache/generated && "
        "cp -a docs meta playbooks plugins roles .cache/generated && make --silent generate && "
        "for folder in docs meta playbooks plugins roles; do "
        "diff -r -x __pycache__ .cache/generated/$folder $folder || exit 1; done"
    ),
}
WORLD = (REPOSITORY / "tools" / "try_host.py", "--list")  # kinds of hosts, for `make soak`
UNIT = {"unit": "pytest -q --durations=10"}  # coverage, which `make test-unit` shows, more than doubles its time
STAGE = re.compile(r"> (\w+)\] Executing$", re.MULTILINE)  # as Molecule begins one
SLOW = re.compile(r"^(\d+\.\d+)s (?:call|setup|teardown) +(\S.*)$", re.MULTILINE)  # as pytest lists them


@dataclass
class Job:
    """One command, and how it went."""

    name: str
    command: str
    environment: dict[str, str]
    seconds: float = 0
    passed: bool = False
    stages: dict[str, float] = field(default_factory=dict)  # a scenario's, with their seconds

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def written(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def run(self) -> Job:
        start = time.monotonic()
        with open(self.log, "w", encoding="utf-8") as handle:
            process = subprocess.Popen(
                ["bash", "-c", self.command],
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
            )
            self._time_stages(process)
        self.seconds = time.monotonic() - start
        self.passed = process.returncode == 0
        print(f"{'ok' if self.passed else 'FAILED':7}{self.name} ({self.seconds:.0f} s)", flush=True)
        return self

    def _time_stages(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end; the log says when a stage begins. Through a pipe, a process left behind would keep us."""
        begun: list[tuple[str, float]] = []
        while process.poll() is None:
            time.sleep(0.5)
            found = STAGE.findall(self.written())
            begun += [(stage, time.monotonic()) for stage in found[len(begun) :]]
        begun.append(("", time.monotonic()))
        for (stage, start), (_next, end) in pairwise(begun):
            self.stages[stage] = self.stages.get(stage, 0) + end - start


def busy() -> tuple[float, float]:
    """How many seconds all processors together have worked since the machine's start, and how many they have not."""
    _cpu, *ticks = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
    seconds = [int(tick) / os.sysconf("SC_CLK_TCK") for tick in ticks[:8]]
    return sum(seconds) - seconds[3] - seconds[4], seconds[3] + seconds[4]


def slowest(done: list[Job]) -> list[str]:
    """The ten tests of all jobs that took longest."""
    found = [(float(seconds), test, job.name) for job in done for seconds, test in SLOW.findall(job.written())]
    return [f"{seconds:7.0f} s  {job}  {test}" for seconds, test, job in sorted(found, reverse=True)[:10]]


def reasons(log: str) -> list[str]:
    """The lines that name what failed: pytest's and Ansible's, without what frames them."""
    found = re.findall(r"^\W*((?:FAILED|ERROR|E  |fatal:).*)$", re.sub(r"\x1b\[[0-9;]*m", "", log), re.MULTILINE)
    return [line[:240] for line in found[-24:] or log.splitlines()[-5:]]


def jobs() -> list[Job]:
    """All of them, in the order in which they start."""
    found = [Job(name, command, {}) for name, command in {**PREPARE, **UNIT, **LINT}.items()]
    names = sorted(path.parent.name for path in REPOSITORY.glob("molecule/*/molecule.yml"))
    for name in sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST)):
        for release in RELEASES[:1] if name in MIXED else RELEASES:
            environment = {
                "RELEASE": release,
                "NO_COLOR": "1",
                "MOLECULE_COMMAND_BORDERS": "0",
                "MOLECULE_EPHEMERAL_DIRECTORY": str(CACHE / "molecule" / f"tmp-{name}-{release}"),
            }
            # what a failed run leaves is removed too
            command = f"molecule test -s {name}; code=$?; tools/hosts.py down {name}-{release}; exit $code"
            if (name, release) == OLDEST:
                command = f'tools/oldest-ansible && export PATH="$PWD/.cache/oldest/bin:$PATH" && {command}'
            found.append(Job(f"molecule-{name}-{release}", command, environment))
    for kind in os.environ.get("SOAK") and subprocess.check_output(WORLD, text=True).split() or ():
        for release in RELEASES:
            found.append(Job(f"world-{kind}-{release}", f"tools/try_host.py {kind} --release {release}", {}))
    return found


def main() -> None:
    wanted = tuple(sys.argv[1:]) or ("",)
    chosen = [job for job in jobs() if job.name.startswith(wanted)]
    LOGS.mkdir(parents=True, exist_ok=True)
    start, before = time.monotonic(), busy()
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        done = list(pool.map(Job.run, chosen))
    for job in done:
        if not job.passed:
            print(f"\n===== {job.name}: {job.command}\n{job.written()}")
    print()
    for job in done:
        stages = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in job.stages.items() if seconds >= 0.5)
        print(f"{job.name:32}{job.seconds:7.0f} s  {'ok' if job.passed else 'FAILED':8}{stages}".rstrip())
    worked, idle = (now - then for now, then in zip(busy(), before, strict=True))
    print(
        f"{'together':32}{time.monotonic() - start:7.0f} s  processors at work {100 * worked / (worked + idle):.0f} %"
    )
    if found := slowest(done):
        print("\n".join(["\nThe slowest tests:", *found]))
    for job in done:
        if not job.passed:
            print("\n".join([f"\n{job.name} failed:", *reasons(job.written()), f"(all of it: {job.log})\n"]))
    failed = sum(not job.passed for job in done)
    print(f"{len(done) - failed} passed, {failed} failed", flush=True)
    sys.exit(bool(failed) or not done)


if __name__ == "__main__":
    main()

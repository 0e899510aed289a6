# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd units of a host: one look at all, and the few things that are done to them."""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._engine import files

_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,ActiveEnterTimestampMonotonic"
LAST_WORDS = 3  # lines
_ENABLED = ("enabled", "enabled-runtime", "static", "indirect", "alias", "linked")


class Failed(Exception):
    """What was asked of the host did not work; the text says what and why."""


@dataclasses.dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it."""

    name: str
    exists: bool = False
    active: bool = False
    enabled: bool = False
    stale: bool = False  # its file changed since systemd read it
    dead: bool = False  # nothing of it runs, or systemd is about to try it once more
    starting: bool = False  # not there yet, with whatever it has read so far
    since: float = 0  # by time.monotonic(), 0 where it has never run


class Output(t.NamedTuple):
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


class Runner(t.Protocol):
    """What runs commands: the part of an AnsibleModule that is used here."""

    def run_command(self, args: list[str], /, **options: t.Any) -> tuple[int, str, str]:
        """Run a command; returns its exit code, what it printed, and what it complained of."""


_runner: Runner | None = None


def set_runner(runner: Runner) -> None:
    """Run commands by this runner from now on; module.py calls it once, before anything else."""
    global _runner
    _runner = runner


def output(*command: str, check: bool = True, data: str | None = None, **variables: str) -> Output:
    """Run a command in the C locale; raises Failed with its last words unless `check` is false.

    data: what it reads from standard input.
    """
    environment = {"LC_ALL": "C", **variables}
    if _runner is None:
        raise RuntimeError("units.set_runner() comes first")
    code, out, err = _runner.run_command(
        [*command], data=data, environ_update=environment, errors="replace", handle_exceptions=False
    )
    found = Output(code, out, err)
    if check and found.returncode != 0:
        words = (found.stderr or found.stdout).strip() or f"exit code {found.returncode}"
        raise Failed(f"{' '.join(command)}: {words}")
    return found


def as_user(user: str, *command: str, check: bool = True, data: str | None = None, **variables: str) -> Output:
    """Run a command as a service's user, as output() does, in a session of its own.

    What a fallen service has the command do gets no hold of the terminal on which this module answers.
    """
    words = ("setsid", "--wait", "runuser", "-u", user, "--", *command)
    return output(*words, check=check, data=data, **variables)


def states(names: Iterable[str]) -> dict[str, UnitState]:
    """Return the states of units, by one `systemctl show` (systemctl(1))."""
    names = list(names)
    if not names:
        return {}
    return parse(names, output("systemctl", "show", f"--property={_PROPERTIES}", *names, check=False).stdout)


def parse(names: list[str], shown: str) -> dict[str, UnitState]:
    """Return the states that `systemctl show` prints: one block a unit, in the order of the question."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    found = {}
    for name, block in zip(names, blocks, strict=False):
        found[name] = UnitState(
            name,
            exists=block.get("LoadState") == "loaded",
            active=block.get("ActiveState") in ("active", "reloading", "activating"),
            enabled=_enabled(name, block.get("UnitFileState", "")),
            stale=block.get("NeedDaemonReload") == "yes",
            dead=block.get("SubState", "").startswith(("dead", "failed", "auto-restart")),
            starting=block.get("ActiveState") == "activating",
            since=int(block.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
        )
    return {name: found.get(name, UnitState(name)) for name in names}


def _enabled(name: str, state: str) -> bool:
    if state == "generated":  # from an init script: systemd knows nothing of the links that enable it
        starts = re.compile(f"S[0-9][0-9]{re.escape(name.removesuffix('.service'))}")
        return any(starts.fullmatch(one) for level in range(2, 6) for one in files.names(f"/etc/rc{level}.d"))
    return state in _ENABLED


def act(verb: str, *names: str) -> None:
    """Have systemd start, stop, reload, restart, enable or disable units; raises Failed with the units' own words."""
    if verb in ("start", "restart"):  # a configuration that failed must not count against the next one (StartLimit)
        output("systemctl", "reset-failed", *names, check=False)
    since = f"@{int(time.time())}"
    found = output("systemctl", verb, *names, check=False)
    if found.returncode != 0:
        said = found.stderr.strip().splitlines()
        words = [line for line in said if not line.startswith(("Synchronizing state of ", "Executing: "))][:1]
        logged = complaints(names, since)
        raise Failed(f"systemctl {verb} {' '.join(names)}: " + "; ".join([*words, *logged]))


def reload_workers(unit: str, patience: float, named: str = "") -> None:
    """Reload a service whose main process then starts a further child; raises Failed where none comes in time.

    The old children go on for those that are connected, and end with them. patience: seconds. named: what the child's
    command line has, where the main process has children of other kinds.
    """
    main = output("systemctl", "show", "--value", "-p", "MainPID", unit).stdout.strip()
    before = _children(main)
    act("reload", unit)
    until = time.monotonic() + patience
    while not any(named in files.text(f"/proc/{child}/cmdline") for child in _children(main) - before):
        if time.monotonic() > until:
            raise Failed("no process came up with the new configuration")
        time.sleep(0.05)


def _children(process: str) -> set[str]:
    """Return the numbers of a process's children (proc(5))."""
    return set(files.text(f"/proc/{process}/task/{process}/children").split())


def complaints(names: Collection[str], since: str, most: int = 5) -> list[str]:
    """Return what units logged at level warning and above, what is fatal first.

    Where their own processes said nothing at that level, their last words of any: slapd calls all that it says debug.
    since: a time of journalctl(1), such as "@1700000000".
    """
    command = ("journalctl", "-q", "-o", "cat", "--since", since)
    about = [f"--unit={name}" for name in names]
    own = [f"_SYSTEMD_UNIT={name}" for name in names]  # not what systemd says about them
    try:
        output("journalctl", "--sync", check=False)
        lines = output(*command, "-p", "warning", *about, check=False).stdout.splitlines()
        if not output(*command, "-p", "warning", *own, check=False).stdout.strip():
            lines = [*output(*command, *own, check=False).stdout.splitlines()[-LAST_WORDS:], *lines]
    except OSError:
        return []
    return sorted(dict.fromkeys(lines), key=lambda line: "fatal" not in line and "error" not in line)[:most]


@dataclasses.dataclass(frozen=True)
class Listener:
    """A socket on which somebody waits for connections.

    place: its address, `*` or that of a family for all. process: its number, empty where nobody says. unit: that of the
    processes which have it.
    """

    place: str
    port: int
    process: str = ""
    command: str = ""
    unit: str = ""

    def holds(self, address: str, port: int) -> bool:
        """Tell whether who connects to an address, empty for any of the host's, and a port gets this one."""
        return port == self.port and (not address or self.place in (address, "0.0.0.0", "::", "*"))

    @property
    def who(self) -> str:
        """The process as a message names it."""
        if not self.process:
            return "somebody"
        return f"{self.command} (process {self.process}{f' of {self.unit}' if self.unit else ''})"


def listeners() -> list[Listener]:
    """Return the sockets of TCP that listen on this host (ss(8)); raises OSError where there is no iproute2."""
    found = []
    for row in (line.split() for line in output("ss", "-Hltnp").stdout.splitlines()):
        place, _colon, number = row[3].rpartition(":")
        having = re.findall(r'"([^"]*)",pid=(\d+)', row[-1])
        command, pid = having[0] if having else ("", "")
        # one that serves a client, such as smtpd, may end at any moment; its master stays
        unit = next(filter(None, (_unit_of(number) for _command, number in having)), "")
        found.append(Listener(place.strip("[]").partition("%")[0], int(number), pid, command, unit))
    return found


def endpoints(said: Iterable[Mapping[str, t.Any]]) -> set[tuple[str, int]]:
    """Return address (empty for all) and port of health checks' arguments, or of ports that show certificates."""
    return {(one.get("address", ""), one["port"]) for one in said if one.get("port")}


def taken(endpoints: Collection[tuple[str, int]], mine: Collection[str]) -> list[str]:
    """Return who else listens where a server of the units `mine` wants to, one sentence for each listener.

    endpoints: address, empty for all of the host's, and port.
    """
    try:
        there = listeners()
    except OSError:  # no iproute2: then the program's own start tells
        return []
    found = []
    for one in there:
        meant = [address for address, port in endpoints if one.holds(address, port)]
        if meant and one.unit not in mine:
            found.append(f"port {one.port}{f' of {meant[0]}' if meant[0] else ''} is taken by {one.who}")
    return list(dict.fromkeys(found))


def _unit_of(process: str) -> str:
    """Return the unit that a process belongs to, by its control group (cgroups(7))."""
    names = re.findall(r"[^/\n]+\.(?:service|socket|scope)", files.text(f"/proc/{process}/cgroup"))
    return names[-1].replace("\\x2d", "-") if names else ""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host below a folder, for the engine: real files and commands, and a systemd that is a small script."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, transaction, walk
from ansible_collections.postamt.mail.plugins.module_utils._engine.paths import Home, Paths
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program
from ansible_collections.postamt.mail.plugins.module_utils._engine.report import Report

USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name

# A unit is there where its file is; whether it runs and is enabled, files of its name say. What is in `run/UNIT` is run
# at each start, reload and restart.
_SYSTEMCTL = """\
verb=$1
shift
one() {
    word=disabled; [ -e "$HERE/enabled/$1" ] && word=enabled
    state=inactive; sub=dead; [ -e "$HERE/active/$1" ] && state=active && sub=running
    [ -e "$HERE/failed/$1" ] && sub=failed
    load=not-found; [ -e "$UNIT_FILES/$1" ] && load=loaded
    stale=no; [ -e "$HERE/stale/$1" ] && stale=yes
    printf 'Id=%s\\nLoadState=%s\\nActiveState=%s\\nSubState=%s\\n' "$1" $load $state $sub
    printf 'UnitFileState=%s\\nNeedDaemonReload=%s\\nActiveEnterTimestampMonotonic=9999999999999\\n\\n' $word $stale
}
run() {
    rm -f "$HERE/failed/$1"
    [ ! -e "$HERE/run/$1" ] || sh "$HERE/run/$1" $verb && return
    touch "$HERE/failed/$1"
    [ $verb = reload ] || rm -f "$HERE/active/$1"
    echo "Job for $1 failed." >&2
    exit 1
}
case $verb in
daemon-reload) rm -f "$HERE"/stale/* ;;
show) shift; for unit; do one "$unit"; done ;;
start|restart) for unit; do run "$unit"; touch "$HERE/active/$unit"; done ;;
reload) for unit; do run "$unit"; done ;;
stop) for unit; do rm -f "$HERE/active/$unit"; done ;;
enable) for unit; do touch "$HERE/enabled/$unit"; done ;;
disable)
    [ "$1" = --now ] && shift && now=yes
    for unit; do rm -f "$HERE/enabled/$unit"; [ -z "$now" ] || rm -f "$HERE/active/$unit"; done ;;
esac
"""
_DPKG_QUERY = """\
case $3 in
*Conffiles*) cat "$HERE/conffiles" ;;
*) shift 3; for name; do [ -e "$HERE/installed/$name" ] && echo "installed $name"; done ;;
esac
"""
_COMMANDS = {
    "systemctl": _SYSTEMCTL,
    "dpkg-query": _DPKG_QUERY,
    "journalctl": 'case "$*" in *warning*) cat "$HERE/log" ;; esac\n',
    "ss": 'cat "$HERE/listening"\n',
}


@dataclasses.dataclass
class Runner:
    """Runs commands, those of the lab before the host's own. asked: all that were run."""

    folder: Path
    variables: Mapping[str, str]
    asked: list[str] = dataclasses.field(default_factory=list)

    def run_command(self, args: list[str], /, **options: Any) -> tuple[int, str, str]:
        self.asked.append(" ".join(args))
        path = f"{self.folder}:{os.environ['PATH']}"
        environment = {**os.environ, **self.variables, **options["environ_update"], "PATH": path}
        command = [shutil.which(args[0], path=path) or args[0], *args[1:]]
        done = subprocess.run(
            command, input=options["data"], env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr


class Lab:
    """A host whose files are below a folder."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.here = folder / "systemd"
        self.unit_files = self.etc / "systemd"
        self.paths = Paths(str(folder / "state"), str(folder / "run"), f"{self.unit_files}/", str(folder / "dpkg"))
        for name in ("active", "enabled", "failed", "installed", "run", "stale"):
            (self.here / name).mkdir(parents=True)
        for name in ("conffiles", "listening", "log"):
            (self.here / name).touch()
        commands = folder / "bin"
        for path in (self.unit_files, folder / "dpkg", commands):
            path.mkdir(parents=True)
        for name, text in _COMMANDS.items():
            (commands / name).write_text(f"#!/bin/sh\n{text}")
            (commands / name).chmod(0o755)
        self.runner = Runner(commands, {"HERE": str(self.here), "UNIT_FILES": str(self.unit_files)})

    @property
    def home(self) -> Home:
        return self.paths.of("thing")

    @property
    def manifest(self) -> dict[str, Any]:
        return files.load(self.home.manifest)

    def unit(self, name: str, *states: str) -> None:
        """Have a unit, in states such as active and enabled."""
        (self.unit_files / name).touch()
        for state in states:
            (self.here / state / name).touch()

    def states(self, name: str) -> tuple[bool, bool]:
        """Tell whether a unit is active and enabled."""
        return (self.here / "active" / name).exists(), (self.here / "enabled" / name).exists()

    def file(self, name: str, content: str, **more: Any) -> dict[str, Any]:
        """Return a file of a plan, below etc."""
        plain = {"mode": "0644", "owner": USER, "group": GROUP, "secret": False, "build": ""}
        return {"path": str(self.etc / name), "content": content, **plain, **more}

    def plan(self, texts: Mapping[str, str], *, about: Mapping[str, Any] = {}, **more: Any) -> dict[str, Any]:
        """Return a plan with files below etc; about: what its `program` says beside the usual, more: other parts."""
        program = {
            "name": "thing", "title": "Thing", "checker": "", "last": [str(self.etc / "main.cf")], "restarts": False,
            "reads_folders": False, "patience": 0.2, "age": 0.0, "reload": [], "workers": {}, **about,
        }  # fmt: skip
        named = [self.file(name, text) for name, text in texts.items()]
        plan = {
            "program": program, "adopt": False, "wanted": True, "packages": [], "users": [], "directories": [],
            "files": named, "units": [], "watch": [], "serves": [], "questions": [], "secrets": [],
        }  # fmt: skip
        found: dict[str, Any] = json.loads(json.dumps({**plan, **more}))
        return found

    def apply(self, plan: Mapping[str, Any], kind: type[Program] = Program, *, dry: bool = False) -> Report:
        """Apply a plan; returns what was done, raises report.Stop."""
        report = Report(dry)
        assert transaction.apply(kind(plan), report, self.paths) == {}
        return report

    def contents(self) -> dict[str, str]:
        """Return the files of etc but for units'."""
        paths = [path for path in self.etc.rglob("*") if path.is_file() and path.parent != self.unit_files]
        return {str(path.relative_to(self.etc)): path.read_text() for path in paths}

    def leftovers(self) -> list[str]:
        """Return what only an unfinished run may leave."""
        kept = [path for path in (Path(self.home.stage), Path(self.home.pending)) if path.exists()]
        return sorted(map(str, [*kept, *self.etc.rglob(f"*{walk.SUFFIX}")]))


def commands(lab: Lab, *verbs: str) -> list[str]:
    """Return what systemd was asked to do, with these verbs only if any are named."""
    words = [command.split() for command in lab.runner.asked if command.startswith("systemctl ")]
    known: Collection[str] = verbs or ("start", "stop", "restart", "reload", "enable", "disable", "daemon-reload")
    return [" ".join(said[1:]) for said in words if said[1] in known]

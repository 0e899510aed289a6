# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ClamAV: what a concern may contribute, and how that becomes clamd.conf and freshclam.conf."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    Contributions,
    every,
    files_of,
    merged,
    overridden,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    File,
    HealthCheck,
    Plan,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused

MAIN = "/etc/clamav/clamd.conf"
UPDATER = "/etc/clamav/freshclam.conf"
SOCKET = "/run/clamav/clamd.ctl"
SIGNATURES = "/var/lib/clamav"
TEST_SIGNATURE = f"{SIGNATURES}/postamt-test.ndb"  # by which the filter's test finds something
ONCE = ("clamav-freshclam-once.timer", "clamav-freshclam-once.service")  # fetch at each boot, whatever the site wants
TYPES = ("ndb", "hdb", "hsb", "mdb", "ldb", "fp", "ign2", "yar", "yara")  # signatures that are text
PROGRAM = Program(
    title="ClamAV",
    checker="/usr/sbin/clamd",
    last=(MAIN,),
    reads_folders=True,
    patience=300.0,  # for the official signatures, which it may have to fetch before
    order=70,
    configuration=MAIN,
    goes_on_without="virus scanner",  # mail waits where nobody scans it, and everything else can be set up
    about="Virus scanner (ClamAV)",
    task="Virus scanner",
    options={"settings": "Options of C(clamd.conf) (I(clamd.conf(5))), such as V(MaxScanTime)."},
)

Value = str | int | bool | list[str]


@dataclasses.dataclass(frozen=True)
class Clamav:
    """What one concern contributes.

    settings: clamd.conf(5); updater: freshclam.conf(5), empty where nothing is fetched; a list repeats the option;
    signatures: files of signatures on the controller, text formats only; readers: groups whose files clamd may read.
    """

    settings: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    updater: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    signatures: Iterable[str] = ()
    readers: Iterable[str] = ()
    packages: Iterable[str] = ()
    files: Iterable[File] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of ClamAV for one host."""
    daemon, socket, updater = "clamav-daemon.service", "clamav-daemon.socket", "clamav-freshclam.service"
    never = [Unit(name, running=False) for name in ONCE]
    if not parts:
        units = [Unit(name, running=False) for name in (updater, daemon, socket)]
        return make_plan(enabled=False, units=[*never, *units], signatures=[])
    settings = overridden(merged(parts, "settings", "clamd option"), overrides.get("settings") or {})
    fetched = merged(parts, "updater", "freshclam option")
    return make_plan(
        packages={
            "clamav",
            "clamav-daemon",
            "clamav-freshclam",
            *every(parts, "packages"),
        },
        files=[
            *files_of(parts, "ClamAV file"),
            File(f"{UNITS}/{socket}.d/postamt.conf", _socket_drop_in()),
            File(f"{UNITS}/{daemon}.d/postamt.conf", _drop_in(every(parts, "readers"))),
            *([File(UPDATER, options(fetched), "0644")] if fetched else []),
            File(MAIN, options(settings)),
        ],
        # The updater comes last: where there are no signatures yet, the daemon has them fetched before it starts.
        units=[*never, Unit(socket), Unit(daemon), Unit(updater, running=bool(fetched))],
        checks=[HealthCheck("clamd", {"path": SOCKET})],
        signatures=sorted({path for _concern, part in parts for path in part.signatures}),
    )


def supplied(plan_: Plan, read: Callable[[str], bytes]) -> list[File]:
    """Return the files of signatures that the controller brings; raises SiteError with each that cannot be.

    read: returns a file's content; raises Refused (run.controller_file()).
    """
    problems, found = [], []
    for path in plan_["signatures"]:
        name = path.rpartition("/")[2]
        try:
            content = read(path).decode("ascii")
        except Refused as refused:
            problems.append(Problem("mail_clamav_signatures", path, str(refused)))
        except UnicodeDecodeError:
            problems.append(Problem("mail_clamav_signatures", path, "must be signatures in a text format"))
        else:
            found.append(File(f"{SIGNATURES}/{name}", content))
    if problems:
        raise SiteError(problems)
    return found


def options(values: Mapping[str, Value]) -> str:
    """Return clamd.conf or freshclam.conf, sorted by option."""
    lines = [
        f"{name} {_text(item)}"
        for name, value in sorted(values.items())
        for item in (value if isinstance(value, list) else [value])
    ]
    return "\n".join([HEAD, *lines, ""])


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _socket_drop_in() -> str:
    """Return the drop-in of the socket: there whatever the signatures are called, and for the group alone."""
    return f"{HEAD}\n[Unit]\nConditionPathExistsGlob=\n[Socket]\nSocketMode=0660\n"


def _drop_in(readers: list[str]) -> str:
    """Return the drop-in of the daemon: never root, and started with whatever signatures there are.

    What Debian prepares as root is the socket's folder, which systemd makes. Where the signatures are lost they are
    fetched first, since without any clamd would not start; not as often as it is restarted after a crash.
    """
    found = f'find {SIGNATURES}/ -maxdepth 1 -type f ! -name "*.dat" ! -path {TEST_SIGNATURE} | grep -q .'
    return f"""\
{HEAD}
[Unit]
ConditionPathExistsGlob=
[Service]
User=clamav
SupplementaryGroups={" ".join(sorted(set(readers)))}
ExecStartPre=
ExecStartPre=/bin/sh -c '{found} || freshclam --stdout || {{ sleep 300; false; }}'
Restart=on-failure
RestartSec=5
"""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tlsrpt-reporter: counts what Postfix says of its TLS connections, and mails reports on them once a day (RFC 8460).

It is no package of Debian's. The administrator brings its wheel from PyPI, which is a zip file; its files go to
the host. tlsrpt-collectd runs all the time. A small program of the collection runs tlsrpt-reportd once an hour.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import typing as t
import zipfile
from collections.abc import Callable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    LIBRARY,
    UNITS,
    Directory,
    File,
    HealthCheck,
    Plan,
    Unit,
    User,
    command,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox, timer
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused

# SHA-256 of the wheels with which the collection has been tested, as PyPI has them
WHEELS = {
    "tlsrpt_reporter-0.6.0-py3-none-any.whl": "a6eec314c7142af2e1d609a63e82a63b7ec1d14db664244c98e1344b3c603397",
}
DOWNLOAD = "pip download --no-deps tlsrpt-reporter==0.6.0"
CONFIGURATION = "/etc/postamt/tlsrpt.cfg"
PACKAGE = "tlsrpt_reporter"
CODE = f"{LIBRARY}/tlsrpt"  # where Python finds the package
SENDER = f"{LIBRARY}/tls-reports"
COUNTS, SENDS = "postamt-tlsrpt-collectd", "postamt-tls-reports"  # units
USER = "postamt-tlsrpt"
STATE = "/var/lib/postamt-tlsrpt"
FOLDER = f"{CHROOT}/tlsrpt"  # only the daemon and Postfix may enter
SOCKET = f"{FOLDER}/socket"
_NEEDED = rf"{PACKAGE}/\w+\.py|{PACKAGE}-[\d.]+\.dist-info/entry_points\.txt"  # by the last, it finds its parts
_STORE = f"sqlite://{STATE}/collectd.sqlite"
# What a stranger's domain says, 90 kB and more with each connection, is written four times. Beyond this size,
# tlsrpt-collectd leaves out what does not fit, and goes on. With four times as much, tlsrpt-fetcher lacks memory.
_MOST_COUNTED = "64M"
_KEPT = 3  # days
_SPREAD = 4 * 3600  # seconds after midnight UTC within which reports leave, so that a reader does not get all at once
PROGRAM = Program(
    title="tlsrpt-reporter",
    restarts=True,
    patience=15.0,  # Python compiles its files at each start
    stays={"counts of TLS connections": STATE},
    about="TLS reports to other domains (tlsrpt-reporter)",
    description=(
        "Runs tlsrpt-reporter, which counts for Postfix how TLS connections to other servers went and mails a report "
        "once a day to each domain that wants one, and stops it where it is no longer wanted.",
        "It is no package of Debian's: the site's variable C(mail_tls_reporter) names the file that you have "
        "downloaded. Debian 12 cannot send reports.",
    ),
)


@dataclasses.dataclass(frozen=True)
class TlsrptReporter:
    """What one concern contributes.

    wheel: file on the controller. sender: mail address from which reports come, and to which questions go.
    """

    wheel: str
    sender: str


def able(host: Host) -> bool:
    """Tell whether the host's Postfix says how its TLS connections went."""
    return host.version("postfix") >= (3, 10)


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of tlsrpt-reporter for one host."""
    if not parts:
        return make_plan(enabled=False)
    if not able(host):
        version = ".".join(map(str, host.version("postfix")))
        why = f"Postfix {version} cannot send TLS reports (mail_tls_reporter): it takes Postfix 3.10, as in Debian 13"
        return make_plan(enabled=False, notes=[why])
    ((_concern, said),) = parts
    return make_plan(
        packages=["postfix", "python3"],  # the first brings group and chroot
        users=[User(USER)],
        directories=[Directory(FOLDER, "2750", USER, "postfix")],  # the socket takes its group from the folder
        files=[
            File(CONFIGURATION, configuration(said.sender)),
            File(SENDER, command("_programs/postamt_tls_reports"), "0755"),
            File(f"{UNITS}/{COUNTS}.service", _counts()),
            File(f"{UNITS}/{SENDS}.service", _sends(host)),
            timer(
                SENDS,
                "Send TLS reports whose time has come",
                OnCalendar="hourly",
                RandomizedDelaySec="30min",
                Persistent="true",
            ),
        ],
        units=[Unit(f"{COUNTS}.service"), Unit(f"{SENDS}.timer")],
        checks=[HealthCheck("datagrams", {"path": SOCKET})],
        wheel=said.wheel,
    )


def supplied(plan_: Plan, read: Callable[[str], bytes]) -> list[File]:
    """Return the Python files of the wheel that the controller brings; raises SiteError where it is another one.

    read: returns a file's content; raises Refused (run.controller_file()).
    """
    path = plan_.get("wheel")
    if not path:
        return []
    try:
        content = read(path)
    except Refused as refused:
        raise SiteError([Problem("mail_tls_reporter", path, str(refused))]) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest not in WHEELS.values():
        known = " or ".join(f"{name} as PyPI has it (SHA-256 {known})" for name, known in WHEELS.items())
        allowed = f"must be {known}, and has SHA-256 {digest}: get it by {DOWNLOAD}"
        raise SiteError([Problem("mail_tls_reporter", path, allowed)])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(_NEEDED, name)]
        return [File(f"{CODE}/{name}", archive.read(name).decode()) for name in names]


def configuration(sender: str) -> str:
    """Return what the three programs of tlsrpt-reporter read, each its own section."""
    fetch = f"/usr/bin/python3 -P -B -m {PACKAGE}.tlsrpt_fetcher --config_file {CONFIGURATION}"
    sections: dict[str, dict[str, str | int]] = {
        "tlsrpt_collectd": {
            "socketname": SOCKET,
            "socketmode": "0660",
            "storage": _STORE,
            "dump_path_for_invalid_datagram": "/dev/null",
        },
        "tlsrpt_fetcher": {"storage": _STORE},
        "tlsrpt_reportd": {
            "dbname": f"{STATE}/reportd.sqlite",
            "keep_days": _KEPT,
            "fetchers": fetch,
            "organization_name": sender.rpartition("@")[2],
            "contact_info": sender,
            "sender_address": sender,
            "sendmail_script": f"/usr/sbin/sendmail -i -t -f {sender}",
            "sendmail_timeout": 60,
            "spread_out_delivery": _SPREAD,
        },
    }
    lines = [HEAD]
    for name, options in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in options.items())]
    return "\n".join([*lines, ""])


def _counts() -> str:
    limits = sandbox(
        ReadWritePaths=FOLDER,
        RestrictAddressFamilies="AF_UNIX",
        IPAddressDeny="any",
        SystemCallFilter="@system-service",
    )
    return f"""\
{HEAD}
[Unit]
Description=Counts of TLS connections to other servers (tlsrpt-collectd)
Before=postfix.service
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 -P -B -m {PACKAGE}.tlsrpt_collectd --config_file {CONFIGURATION}
{_shared()}
Restart=always
RestartSec=1
LimitFSIZE={_MOST_COUNTED}
MemoryMax=256M
{limits}
[Install]
WantedBy=multi-user.target
"""


def _sends(host: Host) -> str:
    # It hands reports over by sendmail(1), whose postdrop is setgid. Nobody is asked over the network.
    limits = sandbox(NoNewPrivileges=None, ReadWritePaths=CHROOT, IPAddressDeny="any")
    return f"""\
{HEAD}
[Unit]
Description=TLS reports to other domains (tlsrpt-reportd)
After={COUNTS}.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -P -B {SENDER} {host.name} --config_file {CONFIGURATION}
{_shared()}
TimeoutStartSec=30min
MemoryMax=256M
{limits}
"""


def _shared() -> str:
    return f"""\
Environment=PYTHONPATH={CODE}
User={USER}
UMask=0077
StateDirectory={STATE.rpartition("/")[2]}
StateDirectoryMode=0700"""

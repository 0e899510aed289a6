# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""postfix-mta-sts-resolver: fetches the policies of other domains, and answers Postfix by them (mta-sts-daemon(1)).

It is Debian's package and Debian's service. A small program of the collection starts it, which puts DANE before
MTA-STS (RFC 8461, 2).
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError, Contributions
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    LIBRARY,
    UNITS,
    Directory,
    File,
    HealthCheck,
    Plan,
    Unit,
    command,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

CONFIGURATION = "/etc/postamt/mta-sts.yml"
STARTER = f"{LIBRARY}/mta-sts"
UNIT = "postfix-mta-sts-resolver.service"
USER = "_mta-sts"
FOLDER = f"{CHROOT}/mta-sts"  # only the daemon and Postfix may enter
SOCKET = f"{FOLDER}/socket"
POLICIES = "/var/lib/mta-sts"
MAP = f"socketmap:unix:{SOCKET.removeprefix(f'{CHROOT}/')}:postfix"  # as Postfix names it
PROGRAM = Program(
    title="postfix-mta-sts-resolver",
    restarts=True,
    patience=30.0,  # Python reads its libraries, which takes a second, but more on a host that is busy
    configuration="/etc/mta-sts-daemon.yml",
    stays={"policies of other domains": POLICIES},
    about="Policies of other mail servers (MTA-STS)",
    description=(
        "Runs postfix-mta-sts-resolver, which fetches the MTA-STS policies of other domains for Postfix, and stops it "
        "where it is no longer wanted.",
        "What it does follows from the site's variable C(mail_mta_sts_check).",
    ),
)


@dataclasses.dataclass(frozen=True)
class MtaStsResolver:
    """What one concern contributes.

    dane_resolver: address of a resolver on this host that validates, where Postfix uses DANE; empty where not.
    """

    dane_resolver: str = ""


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of postfix-mta-sts-resolver for one host."""
    if not parts:
        return make_plan(enabled=False)
    resolvers = sorted({part.dane_resolver for _concern, part in parts} - {""})
    if len(resolvers) > 1:
        raise ComposeError(f"MTA-STS: one resolver is asked for DANE, and not {' and '.join(resolvers)}")
    return make_plan(
        packages=["postfix", "postfix-mta-sts-resolver", "python3-dnspython"],  # the first brings group and chroot
        # The socket takes its group from the folder.
        directories=[Directory(FOLDER, "2750", USER, "postfix")],
        files=[
            File(STARTER, command("_programs/postamt_mta_sts"), "0755"),
            File(CONFIGURATION, configuration(host)),
            File(f"{UNITS}/{UNIT}.d/postamt.conf", drop_in(*resolvers)),
        ],
        units=[Unit(UNIT)],
        checks=[HealthCheck("socketmap", {"path": SOCKET, "name": "postfix", "key": "[127.0.0.1]"})],
    )


def configuration(host: Host) -> str:
    """Return the daemon's own configuration (mta-sts-daemon.yml(5)); JSON is a part of YAML."""
    said: dict[str, t.Any] = {
        "path": SOCKET,
        "mode": 0o660,
        "cache": {"type": "sqlite", "options": {"filename": f"{POLICIES}/cache.db"}},
        # Once a day, so that a policy does not expire of which little mail reminds it.
        "proactive_policy_fetching": {"enabled": True},
    }
    if host.version("postfix") >= (3, 10):
        said["default_zone"] = {"tlsrpt": True}  # Postfix also compares the servers' names with the policy
    return f"{HEAD}\n{json.dumps(said, indent=2)}\n"


def drop_in(dane_resolver: str = "") -> str:
    """Return the drop-in of Debian's unit: another start, and no end without a new start."""
    dane = f" --dane {dane_resolver}" if dane_resolver else ""
    limits = sandbox(ReadWritePaths=f"{POLICIES} {FOLDER}", SystemCallFilter="@system-service")
    return f"""\
{HEAD}
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=
ExecStart={STARTER} --verbosity warn --config {CONFIGURATION}{dane}
# It would wait for Postfix to hang up. It has nothing to write, and Postfix asks again.
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
Restart=always
RestartSec=1
# Each policy is 64 KB at most
MemoryMax=256M
{limits}
"""

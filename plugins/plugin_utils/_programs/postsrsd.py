# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostSRSd: rewrites envelope senders of forwarded mail, and finds the sender to whom a notice is for (postsrsd(8)).

It is a service of its own beside Debian's, so Debian's file /etc/default/postsrsd stays as it is.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.postsrsd import FORWARD, REVERSE, UNIT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions
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
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

SECRET = "/etc/postamt/srs.secret"
HOME = "/var/lib/postsrsd"  # empty; the package makes it
HASH = 8  # characters; of Debian's 4, a patient stranger finds the right ones by trying
PROGRAM = Program(
    title="PostSRSd",
    restarts=True,  # it reads its secret at a start only
    about="Senders of forwarded mail (PostSRSd)",
    description=(
        "Runs PostSRSd, which rewrites envelope senders of mail that the site forwards to other servers, and stops it "
        "where it is no longer wanted.",
        "It is a service of its own, C(postamt-srs). What it does follows from the site's C(mail_srs) variables.",
    ),
)


@dataclasses.dataclass(frozen=True)
class Postsrsd:
    """What a concern contributes.

    domain: of rewritten addresses; secret: with which they are made, so that nobody else can make one.
    """

    domain: str
    secret: str


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of PostSRSd for one host."""
    if not parts:
        return make_plan(enabled=False)
    ((_concern, said),) = parts
    return make_plan(
        packages=["postsrsd"],
        files=[
            File(SECRET, f"{said.secret}\n", mode="0600", secret=True),
            File(f"{UNITS}/{UNIT}", _unit(said.domain)),
        ],
        units=[Unit(UNIT)],
        checks=[HealthCheck("srs", {"forward": FORWARD, "reverse": REVERSE})],
        secrets=[said.secret],
    )


def _unit(domain: str) -> str:
    """Return the unit: it starts as root, which may have the ports and read the secret, and becomes its own user."""
    limits = sandbox(
        CapabilityBoundingSet="CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_SYS_CHROOT",
        RestrictAddressFamilies="AF_UNIX AF_INET",
        SystemCallFilter="@system-service chroot",
        IPAddressDeny="any",
        IPAddressAllow="127.0.0.1",
    )
    options = f"-4 -l 127.0.0.1 -f {FORWARD} -r {REVERSE} -d {domain} -s {SECRET} -n {HASH} -N {HASH}"
    return f"""\
{HEAD}
[Unit]
Description=PostSRSd for the site's forwarded mail
Before=postfix.service
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/sbin/postsrsd {options} -u postsrsd -c {HOME}
Restart=always
RestartSec=1
{limits}
[Install]
WantedBy=multi-user.target
"""

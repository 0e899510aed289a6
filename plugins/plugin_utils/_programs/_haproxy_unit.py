# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit of a HAProxy of this collection's own: the links' one, and that of the MTA-STS policy."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import KeyPair


def text(
    description: str, configuration: str, pem: str, pair: KeyPair, limits: str, *, mode: str, before: str = ""
) -> str:
    """Return the unit. Certificate and key become one file in a folder that a boot takes, read by root alone.

    pem: that file, in the unit's own folder below /run. mode: the folder's. before: units that start later.
    """
    joined = f"/bin/sh -c 'umask 077; cat {pair.chain} {pair.key} > {pem}.new && mv {pem}.new {pem}'"
    order = "After=network.target" + (f"\nBefore={before}" if before else "")
    return f"""\
{HEAD}
[Unit]
Description={description}
Documentation=man:haproxy(1)
{order}
# What kept it from starting, such as a full disk, ends some time, and nobody else starts it then.
StartLimitIntervalSec=0

[Service]
Type=notify
# A name server that does not answer must not keep it from starting: then the addresses from the site count.
Environment="RES_OPTIONS=timeout:1 attempts:1"
RuntimeDirectory={pem.split("/")[2]}
RuntimeDirectoryMode={mode}
ExecStartPre={joined}
ExecStart=/usr/sbin/haproxy -Ws -q -f {configuration}
ExecReload={joined}
ExecReload=/usr/sbin/haproxy -c -q -f {configuration}
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=5
SuccessExitStatus=143
{limits}

[Install]
WantedBy=multi-user.target
"""

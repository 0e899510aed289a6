# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rspamd: a milter that runs modules on mail, here only those that concerns ask for (rspamd(8)).

It is a service of its own beside Debian's, with a configuration of its own: Rspamd as a spam filter stays free for the
administrator.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.rspamd import CONFIGURATION, UNIT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    agreed,
    every,
    files_of,
    merged,
    overridden,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    Directory,
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
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.unbound import ADDRESS

USER = "_rspamd"
FOLDER = "/etc/rspamd/postamt"  # what concerns bring
SUFFIXES = f"{FOLDER}/suffixes"
SOCKET = f"{CHROOT}/rspamd/milter.sock"
RUN = "postamt-rspamd"  # of its own, below /run and /var/lib
MEMORY = Memory(
    70 * MB, "Rspamd 70 MB", "signatures and senders",
    instead="set mail_dkim: false, mail_from_of_users: any and mail_authentication: false",
)  # fmt: skip
PROGRAM = Program(
    title="Rspamd",
    checker="/usr/bin/rspamadm",
    patience=60.0,  # it starts within two seconds, but not on a host that is busy
    reads_folders=True,
    configuration=CONFIGURATION,
    about="Signatures (Rspamd)",
    description=(
        "Runs Rspamd as a milter that signs the mail which the site sends, and stops it where it is no longer wanted.",
        "It is a service of its own, C(postamt-rspamd). Debian's service C(rspamd) stays free for you.",
    ),
    options={
        "settings": "Sections of Rspamd's configuration by name, such as V({logging: {level: info}}). They are merged "
        "with those of the collection, option by option."
    },
)


@dataclasses.dataclass(frozen=True)
class Rspamd:
    """What one concern contributes.

    sections: of the configuration, by name; modules: paths of Lua modules that are loaded, each of which has a section
    of its name, in the order of the paths; files: what they read, below FOLDER; units: what they ask.
    """

    sections: Mapping[str, Mapping[str, t.Any]] = dataclasses.field(default_factory=dict)
    modules: Iterable[str] = ()
    files: Iterable[File] = ()
    units: Iterable[Unit] = ()
    checks: Iterable[HealthCheck] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of Rspamd for one host."""
    if not parts:
        return make_plan(enabled=False)
    sections = {**_BASE, **merged(parts, "sections", "Rspamd section")}
    for name, options in (overrides.get("settings") or {}).items():
        if not isinstance(options, Mapping) and options is not None:
            raise ComposeError(f"rspamd_settings: {name} must be a mapping of options")
        if not str(name).isidentifier():
            raise ComposeError(f"rspamd_settings: {name!r} must be the name of a section, such as logging")
        if name in _FIXED or str(name).startswith("postamt_"):
            raise ComposeError(f"rspamd_settings: {name} is what the collection runs Rspamd for, and cannot be changed")
        if options is None:
            sections.pop(name, None)
        else:
            sections[name] = overridden(sections.get(name, {}), options)
    return make_plan(
        packages=["rspamd", "postfix"],  # the second brings the group and the chroot
        # The socket takes its group from the folder.
        directories=[Directory(SOCKET.rpartition("/")[0], "2750", USER, "postfix")],
        files=[
            *files_of(parts, "Rspamd file"),
            # Without a list of its own it reads all public suffixes, which takes 8 seconds at each start.
            File(SUFFIXES, "invalid\n"),
            File(CONFIGURATION, configuration(sections, united(parts, "modules"))),
            File(f"{UNITS}/{UNIT}", _unit()),
        ],
        units=[*agreed(parts, "units", "name"), Unit(UNIT)],
        checks=every(parts, "checks"),
    )


_FIXED = ("modules", "worker")
# It warns at each start of each result that has no score.
_DKIM = ("ALLOW", "NA", "PERMFAIL", "REJECT", "TEMPFAIL")
_SPF = ("ALLOW", "DNSFAIL", "FAIL", "NA", "NEUTRAL", "PERMFAIL", "PLUSALL", "SOFTFAIL")
_BASE: dict[str, t.Any] = {
    "options": {
        "pidfile": f"/run/{RUN}/rspamd.pid",
        "tempdir": "/tmp",
        "filters": "dkim",
        "url_tld": SUFFIXES,
        "local_addrs": [],
        # Two tries of two seconds for each question, and all of a message's within 14: its sender waits meanwhile.
        # without checks of incoming mail it asks nothing
        "dns": {"nameserver": [ADDRESS], "timeout": 2.0, "retransmits": 2},
        "task_timeout": 14.0,
        # It refuses the test pattern of spam filters by itself; version 3.4 does not know the option, and goes on to.
        "gtube_patterns": "disable",
        "soft_reject_on_timeout": True,
        "disable_hyperscan": True,  # it compiles patterns that none of the modules has
        "hs_cache_dir": f"/var/lib/{RUN}/",
    },
    "logging": {"type": "console", "level": "warning", "systemd": True},
    # Nothing is refused by a score: a module says what becomes of a message.
    "actions": {"reject": None, "add_header": None, "greylist": None},
    "group": {
        "dkim": {"symbols": {f"R_DKIM_{word}": {"score": 0.0} for word in _DKIM}},
        "spf": {"symbols": {f"R_SPF_{word}": {"score": 0.0} for word in _SPF}},
    },
}


def key_path(domain: str, selector: str) -> str:
    """Return where the private key is by which a domain signs and seals."""
    return f"{FOLDER}/{selector}._domainkey.{domain}.key"


def configuration(sections: Mapping[str, Mapping[str, t.Any]], modules: Iterable[str]) -> str:
    """Return Rspamd's main file, in the language UCL; JSON is a part of it."""
    worker = {"bind_socket": f"{SOCKET} mode=0660", "milter": True, "count": 1, "timeout": 60, "max_retries": 1}
    upstream = 'upstream "local" { "default": true, "self_scan": true }'
    lines = [
        HEAD,
        *(f"{name} {json.dumps(options, indent=2, sort_keys=True)}" for name, options in sorted(sections.items())),
        f'worker "rspamd_proxy" {json.dumps(worker, sort_keys=True)[:-1]}, {upstream} }}',
        # A list of paths loads none of them, and Rspamd says nothing.
        *(f"modules {{ path = {json.dumps(path)}; }}" for path in sorted(modules)),
        "",
    ]
    return "\n".join(lines)


def _unit() -> str:
    limits = sandbox(
        MemoryDenyWriteExecute=None,  # Lua is compiled in memory
        ReadWritePaths=SOCKET.rpartition("/")[0],
    )
    return f"""\
{HEAD}
[Unit]
Description=Rspamd for the site's mail
After=network-online.target nss-lookup.target
Before=postfix.service
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/rspamd -c {CONFIGURATION} -f --var=DBDIR=/var/lib/{RUN}
ExecReload=/bin/kill -HUP $MAINPID
# It would wait for Postfix to hang up. It has nothing to write, and Postfix tries again what it was signing.
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
User={USER}
RuntimeDirectory={RUN}
StateDirectory={RUN}
StateDirectoryMode=0750
LimitNOFILE=65536
Restart=always
RestartSec=1
{limits}
[Install]
WantedBy=multi-user.target
"""

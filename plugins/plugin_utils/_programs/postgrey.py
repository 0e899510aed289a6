# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postgrey: remembers who has written to whom, and tells Postfix whom to send away for a while (postgrey(8))."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    every,
    merged,
    overridden,
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
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import nearest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

UNIT = "postgrey.service"
DEFAULTS = "/etc/default/postgrey"  # read by Debian's unit
MEMORY = "/var/lib/postgrey"
FOLDER = "/var/spool/postfix/postgrey"  # only postgrey and one group may enter
SOCKET = f"{FOLDER}/socket"
KNOWN = (
    "auto-whitelist-clients", "delay", "greylist-action", "greylist-text", "hostname", "ipv4cidr", "ipv6cidr",
    "listen-queue-size", "lookup-by-host", "lookup-by-subnet", "max-age", "privacy", "quiet", "retry-window",
    "socketmode", "syslog-facility", "unix", "verbose", "whitelist-clients", "whitelist-recipients",
    "x-greylist-header",
)  # fmt: skip
PROGRAM = Program(
    title="postgrey",
    restarts=True,
    reads_folders=True,  # its lists of who is exempt
    configuration=DEFAULTS,
    stays={"whom greylisting knows": MEMORY},
    about="Greylisting (postgrey)",
    description=(
        "Runs postgrey on one mail exchanger, for Postfix of all exchangers to ask about mail from the internet, and "
        "stops it where it is no longer wanted.",
        "What it does follows from the site's C(mail_greylisting) variables.",
    ),
    options={"settings": "Options of postgrey (I(postgrey(8))) without their dashes, such as V(max-age)."},
)


@dataclasses.dataclass(frozen=True)
class Postgrey:
    """What one concern contributes.

    settings: options of postgrey; group: whose members may ask it; clients, recipients: who is never sent away.
    """

    settings: Mapping[str, str | int | bool] = dataclasses.field(default_factory=dict)
    group: str = "postfix"
    clients: Iterable[str] = ()
    recipients: Iterable[str] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of postgrey for one host."""
    if not parts:
        return make_plan(enabled=False)
    settings = overridden(merged(parts, "settings", "postgrey option"), overrides.get("settings") or {})
    for name, value in settings.items():
        if name not in KNOWN:
            raise ComposeError(f"postgrey_settings: {name} is no option of postgrey{nearest(name, KNOWN)}")
        text = str(value)
        # systemd divides options at white space and single quotes; the init script has a shell read the file
        if not text.isprintable() or set(text) & set('\\"$`') or (name != "greylist-text" and set(text) & set(" '")):
            raise ComposeError(f"postgrey_settings: {name} must have no quotes, and no spaces")
    exempt = {"clients": every(parts, "clients"), "recipients": every(parts, "recipients")}
    (group,) = {part.group for _concern, part in parts}
    return make_plan(
        packages=["postfix", "postgrey"],  # the first brings group and chroot
        directories=[Directory(FOLDER, "0750", "postgrey", group)],
        files=[
            File(DEFAULTS, defaults(settings)),
            *(
                File(f"/etc/postgrey/whitelist_{kind}.local", "\n".join([HEAD, *names, ""]))
                for kind, names in exempt.items()
                if names
            ),
            File(f"{UNITS}/{UNIT}.d/postamt.conf", drop_in()),
        ],
        units=[Unit(UNIT)],
        checks=[HealthCheck("socket", {"path": SOCKET})],
    )


def defaults(settings: Mapping[str, str | int | bool]) -> str:
    """Return what Debian's unit starts postgrey with; the text goes by itself, since it has spaces."""
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in sorted(settings.items())
             if name != "greylist-text" and value is not False]  # fmt: skip
    return f'{HEAD}\nPOSTGREY_OPTS="{" ".join(words)}"\nPOSTGREY_TEXT="{settings.get("greylist-text", "Greylisted")}"\n'


def drop_in() -> str:
    """Return the drop-in of Debian's unit, which would start it as root: no network, and two folders to write."""
    limits = sandbox(ReadWritePaths=f"{MEMORY} {FOLDER}", RestrictAddressFamilies="AF_UNIX")
    return f"""\
{HEAD}
[Unit]
StartLimitIntervalSec=0
[Service]
User=postgrey
Group=postgrey
ExecReload=/bin/kill -HUP $MAINPID
{limits}
"""

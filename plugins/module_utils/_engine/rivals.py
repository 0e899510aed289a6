# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other mail servers of a host: Debian has one at a time, and removes them when Postfix is installed."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units

# source package -> how the names of waiting messages look, and where they are
QUEUES = {
    "dma": ("M.*", "/var/spool/dma"),
    "exim4": (".*-H", "/var/spool/exim4/input"),
    "nullmailer": (".*", "/var/spool/nullmailer/queue"),
    "opensmtpd": ("message", "/var/spool/smtpd/queue"),
    "sendmail": ("qf.*", "/var/spool/mqueue", "/var/spool/mqueue-client"),
}
_AWAY = ("not-installed", "config-files")  # dpkg(1); whatever else it says, programs are there and may run
_UNIT = re.compile(r"(?:/usr)?/lib/systemd/system/([^/@]+\.(?:service|socket|timer|path))|/etc/init\.d/([^/]+)")


@dataclasses.dataclass(frozen=True)
class Rival:
    """A mail server that is not Postfix."""

    package: str
    units: tuple[str, ...]  # those that run
    queue: tuple[str, ...] = ()  # the folders, where this collection knows them
    waiting: int = 0  # messages in it

    @property
    def mail(self) -> str:
        """What would be left of its mail."""
        if not self.queue:
            return "whether mail waits in its queue is not known here"
        messages = "message waits" if self.waiting == 1 else "messages wait"
        return f"{self.waiting or 'no'} {messages} in its queue, {' and '.join(self.queue)}"


def found() -> list[Rival]:
    """Return the mail servers that are installed and not Postfix."""
    asked = "${db:Status-Status}\t${Package}\t${source:Package}\t${Provides}\n"
    listed = units.output("dpkg-query", "-W", "-f", asked, check=False).stdout.splitlines()
    rows = [row.split("\t") for row in listed if row.partition("\t")[0] not in _AWAY]
    rivals = []
    for _status, package, source, provides in rows:
        if package != "postfix" and "mail-transport-agent" in re.split(r"[,\s]+", provides):
            pattern, *folders = QUEUES.get(source, ("",))
            running = _running([other for _installed, other, its, _provides in rows if its == source])
            waiting = sum(_count(folder, pattern) for folder in folders)
            rivals.append(Rival(package, running, tuple(folders), waiting))
    return rivals


def _running(packages: list[str]) -> tuple[str, ...]:
    """Return the running units that packages have brought."""
    owned = units.output("dpkg-query", "-L", *packages, check=False).stdout.splitlines()
    matches = filter(None, map(_UNIT.fullmatch, owned))
    names = sorted({match[1] or f"{match[2]}.service" for match in matches})
    return tuple(name for name, state in units.states(names).items() if state.active)


def _count(folder: str, pattern: str) -> int:
    names = (name.rpartition("/")[2] for name, _status in files.tree(folder))
    return sum(re.fullmatch(pattern, name) is not None for name in names)


def refusal(rivals: list[Rival]) -> str:
    """Return why a run stops before other mail servers."""
    return "\n".join(
        f"{one.package} is this host's mail server; {one.mail}. Debian has one mail server at a time, and removes "
        "it for Postfix, which does not take its mail over. Nothing was changed. Have its queue delivered, or let it "
        "wait there; with mail_adopt: true the run stops it and installs Postfix, and its configuration and its queue "
        "stay on the disk"
        for one in rivals
    )

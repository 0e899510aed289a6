# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of a plan: what a program's module sets up on a host, as plain data.

`module_utils/_engine/transaction.py` applies a plan. A plan is JSON: what is typed here is typed for those who write
it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
import re
import typing as t

from ansible_collections.postamt.mail.plugins.module_utils._engine import forms

Plan = dict[str, t.Any]

HEAD = forms.HEAD
UNITS = "/etc/systemd/system"
LIBRARY = "/usr/local/lib/postamt"  # what the collection's own commands read


@dataclasses.dataclass(frozen=True)
class File:
    """A file that the program reads. Secret content appears in no diff and no log.

    content: text, or what module_utils/_engine/forms.py writes as text on the host.
    """

    path: str
    content: str | t.Mapping[str, t.Any]
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    build: str = ""  # "lmdb" where postmap makes a table of it, "sieve" where sievec compiles it


_COLLECTION = r"from ansible_collections\.postamt\.mail\.plugins\.module_utils"
# What a file imports lies beside it on a host, in one folder.
_BESIDE = (
    (re.compile(rf"(?m)^{_COLLECTION}\.\w+ import"), "import"),
    (re.compile(rf"(?m)^{_COLLECTION}\.\w+\.(\w+) import"), r"from \1 import"),
    # of a command that chooses by itself: a file that moves within the collection changes nothing on a host
    (re.compile(r"module_utils\.[\w.]+ import"), "module_utils import"),
)


@functools.cache
def library(module: str) -> str:
    """Return a file of module_utils as a host gets it for its own commands, such as _engine/files."""
    source = (pathlib.Path(__file__).parents[2] / "module_utils" / f"{module}.py").read_text("utf-8")
    for pattern, replacement in _BESIDE:
        source = pattern.sub(replacement, source)
    return f"{HEAD}\n{source}"


def command(module: str) -> str:
    """Return a file of module_utils as a command of the host, which lies beside what it imports."""
    return f"#!/usr/bin/python3\n{library(module)}"


@dataclasses.dataclass(frozen=True)
class Directory:
    """A folder that has to be there before the program starts."""

    path: str
    mode: str = "0755"
    owner: str = "root"
    group: str = "root"


@dataclasses.dataclass(frozen=True)
class User:
    """A system user with a group of the same name and number."""

    name: str
    uid: int | None = None
    home: str = "/nonexistent"
    groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Unit:
    """A systemd unit: running and enabled, or stopped and disabled."""

    name: str
    running: bool = True


@dataclasses.dataclass(frozen=True)
class HealthCheck:
    """What the program is asked before and after a change, through the host's own outside address.

    kind: smtp_greeting, smtp_rcpt, ...: the name of a check in KINDS of module_utils/_engine/health.py.
    """

    kind: str
    arguments: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Serves:
    """A port that shows a certificate, on one address or on all at which somebody listens.

    protocol: as openssl-s_client(1) calls it, smtp, imap, pop3, sieve or ldap; tls: starttls or implicit; certificates:
    the files that hold the chain.
    """

    port: int
    protocol: str
    tls: str
    certificates: tuple[str, ...]
    address: str = ""


def shown_at(checks: t.Iterable[HealthCheck], certificates: t.Iterable[str]) -> list[Serves]:
    """Return the ports that show a certificate, from the checks that go over TLS."""
    found = []
    for check in checks:
        kind, said = check.kind.removesuffix("_greeting"), check.arguments
        if kind != check.kind and said.get("tls", "none") != "none":
            where = (said["port"], kind, said["tls"])
            found.append(Serves(*where, tuple(certificates), said.get("address", "")))
    return found


def digests(items: t.Iterable[object]) -> list[str]:
    """Return `parts` of a plan, by which its host tells what it has now: a change that does nothing but take some away
    is made when the programs that ask for them have been changed.

    items: what the configuration consists of, such as a section for each link.
    """
    return sorted(hashlib.sha256(str(item).encode()).hexdigest() for item in items)


def make_plan(
    *,
    enabled: bool = True,
    packages: t.Iterable[str] = (),
    users: t.Iterable[User] = (),
    directories: t.Iterable[Directory] = (),
    files: t.Iterable[File] = (),
    units: t.Iterable[Unit] = (),
    watch: t.Iterable[str] = (),
    serves: t.Iterable[Serves] = (),
    checks: t.Iterable[HealthCheck] = (),
    secrets: t.Iterable[str] = (),
    **extra: t.Any,
) -> Plan:
    """Return a plan; `watch` names files of others (certificates) whose new content means a reload
    where the ports that `serves` names do not show it yet.

    extra: what a program adds for itself; `notes` are sentences that are shown before anything is changed.
    """

    def plain(items: t.Iterable[t.Any]) -> list[dict[str, t.Any]]:
        return [dataclasses.asdict(item) for item in items]

    return {
        "wanted": enabled,
        "packages": sorted(packages),
        "users": plain(users),
        "directories": plain(sorted(set(directories), key=lambda folder: folder.path)),
        "files": plain(files),
        "units": plain(units),
        "watch": list(watch),
        "serves": [{**item, "certificates": list(item["certificates"])} for item in plain(serves)],
        "questions": plain(checks),
        "secrets": sorted(set(secrets)),
        **extra,
    }

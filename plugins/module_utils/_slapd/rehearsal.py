# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of cn=config, tried first on a second slapd.

It has a copy of the configuration and answers on a socket in a private folder only: the real thing, certificates and
access rules included. (slapmodify(8) on a copy takes any access rule and any cipher list, and cannot add a database.)
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.units import Failed
from ansible_collections.postamt.mail.plugins.module_utils._slapd import config
from ansible_collections.postamt.mail.plugins.module_utils._slapd.connection import Connection, send
from ansible_collections.postamt.mail.plugins.module_utils._slapd.offline import as_slapd, make_folder, slapcat
from ansible_collections.postamt.mail.plugins.module_utils._slapd.paths import USER

FOLDER = "/run/postamt-ldap"  # root's, with folders of openldap in it, so not below the one that is root's alone
UNIT = "postamt-ldap-rehearsal.service"


def rehearse(requests: list[config.ConfigRequest], group: str) -> None:
    """Make the changes on a second slapd that has a copy of cn=config; raises Failed with what slapd says."""
    if not requests:
        return
    with _second_slapd(group) as connection:
        for request in requests:
            try:
                send(connection, _elsewhere(request))
            except Failed as error:
                raise Failed(f"{error}; nothing was changed") from None


def _elsewhere(request: config.ConfigRequest) -> config.ConfigRequest:
    """Return a change so that the copy has an empty database of its own, and does not begin to follow the provider."""
    quiet = {"olcSyncrepl": lambda values: list(map(_of_nobody, values))}
    modifications = [(verb, name, quiet.get(name, list)(values)) for verb, name, values in request.modifications]
    add = request.add and {name: quiet.get(name, list)(values) for name, values in request.add.items()}
    if add and "olcDbDirectory" in add:
        add["olcDbDirectory"] = [_new_folder("database")]
    return dataclasses.replace(request, add=add, modifications=modifications)


def _of_nobody(value: str) -> str:
    """Return olcSyncrepl with a provider that nobody is."""
    return re.sub(r"provider=\S+", "provider=ldapi://%2Fnonexistent", value)


def _new_folder(name: str) -> str:
    """Make a folder of slapd's user; nobody but root can exchange it for something else."""
    path = os.path.join(FOLDER, name)
    make_folder(path)
    return path


@contextlib.contextmanager
def _second_slapd(group: str) -> Iterator[Connection]:
    units.output("systemctl", "stop", UNIT, check=False)  # of a killed run
    files.private_folder(FOLDER, empty=True)
    try:
        files.make_folder(FOLDER, 0o711)
        place, path = _new_folder("slapd.d"), os.path.join(_new_folder("run"), "socket")
        as_slapd("slapadd", "-n", "0", "-F", place, data=detached(slapcat("-n", "0"), _new_folder))
        # systemd ends it after a while where this run is killed
        units.output(
            *("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "--property=RuntimeMaxSec=60"),
            *(f"--property=User={USER}", f"--property=SupplementaryGroups={group}", "--property=StandardError=null"),
            *("--", "/usr/sbin/slapd", "-d", "0", "-s", "0", "-h", f"ldapi://{quote(path, safe='')}", "-F", place),
        )
        yield Connection(path)
    finally:
        units.output("systemctl", "stop", UNIT, check=False)
        files.remove_tree(FOLDER)


def detached(ldif: str, new_folder: Callable[[str], str]) -> str:
    """Return cn=config without what touches the pid file, the databases and the provider of the real slapd.

    ldif: unwrapped, as slapcat(8) prints it. new_folder: makes a folder for a database and returns its path.
    """
    lines = []
    for number, line in enumerate(ldif.splitlines()):
        name, _colon, value = line.partition(":")
        if name in ("olcPidFile", "olcArgsFile"):
            continue
        if name == "olcDbDirectory":
            line = f"{name}: {new_folder(f'data-{number}')}"
        if name == "olcSyncrepl":
            text = base64.b64decode(value[1:]).decode() if value.startswith(":") else value[1:]
            line = f"{name}:: {base64.b64encode(_of_nobody(text).encode()).decode()}"
        lines.append(line)
    return "\n".join([*lines, ""])

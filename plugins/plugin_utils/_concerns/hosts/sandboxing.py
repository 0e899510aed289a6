# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sandboxing: what the daemons of Debian's packages may not do, in drop-ins of their units.

Folders of an administrator's choice stay as they are: none of the daemons has /var or /srv read-only, and those that
deliver to users have /home. Mailboxes, databases, quarantine and queues may lie anywhere but in /usr and /etc.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Amavis
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.clamav import Clamav
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.ldap import Ldap

EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too

Daemons = t.Literal["amavis", "clamav", "dovecot", "ldap", "postfix"]
# What a daemon needs whose processes become the users whose mail they deliver, and run programs for them
_FOR_USERS: dict[str, str | None] = {
    "NoNewPrivileges": None,  # those programs may be setuid: sendmail's postdrop, helpers of PAM, what ~/.forward names
    "RestrictSUIDSGID": None,  # folders that are shared carry their group on
    "ProtectHome": None,
    "ProtectProc": None,
    "SystemCallFilter": "@system-service chroot",
}


@dataclasses.dataclass(frozen=True)
class Variables:
    """Which daemons keep the rights that Debian gives them."""

    mail_unsandboxed: list[Daemons] = var(
        "Roles whose daemons of Debian's run with all rights that their packages give them, because something of your "
        "own in them needs more than the sandbox leaves.",
        [],
    )


def _drop_in(site: Site, program: Daemons, unit: str, **changes: str | None) -> File:
    """Return the drop-in of a unit; one that says nothing where the site does without.

    It stays there then, since a file that is removed would restart nobody.
    """
    off = program in site.of(Variables).mail_unsandboxed
    lines = [HEAD, "[Service]", *([] if off else [sandbox(**{"ProtectSystem": "full", **changes})]), ""]
    return File(f"{UNITS}/{unit}.d/postamt-sandbox.conf", "\n".join(lines))


def ldap(site: Site, host: Host) -> Ldap | None:
    # It gives its socket's folder to its user, and becomes that; Debian 12's init script looks for the old process.
    rights = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID"
    if host.version("slapd") < (2, 6):
        rights += " CAP_KILL CAP_SYS_PTRACE"
    return Ldap(
        files=[
            _drop_in(
                site, "ldap", "slapd.service",
                CapabilityBoundingSet=rights,
                ReadWritePaths="/etc/ldap",  # cn=config
            )
        ]
    )  # fmt: skip


def dovecot(site: Site, host: Host) -> Dovecot | None:
    limits = _drop_in(
        site, "dovecot", "dovecot.service", **_FOR_USERS,
        CapabilityBoundingSet="CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID "
        "CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_SYS_CHROOT CAP_SYS_RESOURCE",
    )  # fmt: skip
    return Dovecot(files=[limits])


def clamav(site: Site, host: Host) -> Clamav | None:
    common: dict[str, str | None] = {
        "MemoryDenyWriteExecute": None,  # signatures in bytecode are compiled in memory
        "ProtectHome": "read-only",
    }
    return Clamav(
        files=[
            _drop_in(site, "clamav", "clamav-daemon.service", **common),
            # freshclam starts as root and becomes the owner of the signatures.
            _drop_in(
                site, "clamav", "clamav-freshclam.service", **common,
                CapabilityBoundingSet="CAP_CHOWN CAP_DAC_OVERRIDE CAP_SETGID CAP_SETUID",
            ),
        ]
    )  # fmt: skip


def amavis(site: Site, host: Host) -> Amavis | None:
    # Archives may hold files that are setuid, and unpacking them must not fail.
    return Amavis(files=[_drop_in(site, "amavis", "amavis.service", RestrictSUIDSGID=None)])


def postfix(site: Site, host: Host) -> Postfix:
    """Return for Debian 12 what Debian 13's own unit has, and for Debian 13 what its unit lacks."""
    if host.version("postfix") >= (3, 9):
        # A reload without a service ends that service's processes, which have another user. Where it may not, master
        # waits for them as long as they like, and serves nobody meanwhile.
        return Postfix(files=[File(f"{UNITS}/postfix.service.d/postamt-kill.conf", _MAY_KILL)])
    limits = _drop_in(
        site, "postfix", "postfix@-.service", **_FOR_USERS,
        PrivateTmp=None,  # files that ~/.forward names lie anywhere
        CapabilityBoundingSet="CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE "
        "CAP_SETGID CAP_SETUID CAP_SYS_CHROOT",
    )  # fmt: skip
    return Postfix(files=[limits])


# Debian's own list with CAP_KILL: systemd joins several lists, so this one is whole should Debian's go.
_MAY_KILL = f"""\
{HEAD}
[Service]
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_KILL CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SYS_CHROOT
"""

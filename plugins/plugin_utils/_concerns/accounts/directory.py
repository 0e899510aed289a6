# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection's own directory: who may ask it, what is indexed, and from where it is reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File, command
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_config import Reader
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.certificates import Certificates
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.ldap import RELOADER, Ldap, suffix_problem

RUNS = ("ldap",)  # it runs where this concern contributes to it


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_directory_public: bool = var(
        "Whether programs beyond the site's hosts reach the directory (ports 389 with StartTLS, and 636). By default "
        "it listens on loopback only.", False,
    )  # fmt: skip


# Changes count by the clock: slapd waits for it where something on the host says that it is right.
_CLOCK = f"{HEAD}\n[Unit]\nAfter=time-sync.target\n"

# Finding an entry by an address, and whether it is to be used.
_FOUND_BY = ("mail", "mailAlias", "mailEnabled", "objectClass")
_INDEXES = {
    "objectClass": "eq", "mail": "eq", "mailAlias": "eq", "mailForwardingAddress": "eq", "mailGroupMember": "eq",
    "mailEnabled": "eq", "mailStorageDirectory": "eq", "uid": "eq", "cn": "eq", "dc": "eq", "ou": "eq",
    "entryUUID": "eq", "entryCSN": "eq",
}  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    wrong = suffix_problem(site.suffix)
    if wrong:
        yield Problem("mail_directory_suffix", site.suffix, wrong)


def applies(site: Site, host: Host) -> bool:
    return site.lookups.directory and host.has("mail_directory")


def ldap(site: Site, host: Host) -> Ldap:
    return Ldap(
        services={
            "postfix": Reader((*_FOUND_BY, "mailForwardingAddress", "mailGroupMember", "dc", "uid")),
            "dovecot": Reader(
                (
                    *_FOUND_BY,
                    "uid",
                    "mailHomeDirectory",
                    "mailUidNumber",
                    "mailGidNumber",
                    "mailQuota",
                    "mailStorageDirectory",
                    "mailSieveRuleSource",
                ),
                every=True,
            ),  # fmt: skip
            # saslauthd finds the entry and then logs in as it (ldap_auth_method: bind)
            "saslauthd": Reader(("mail", "mailEnabled", "objectClass")),
        },
        indexes=_INDEXES,
        everywhere=site.of(Variables).mail_directory_public,
        files=[File(f"{UNITS}/slapd.service.d/postamt-clock.conf", _CLOCK)],
    )


def certificates(site: Site, host: Host) -> Certificates:
    """Return what has slapd read a new certificate; it comes with the command that calls it."""
    return Certificates(files=[File(RELOADER, command("_slapd/reload_slapd"), "0755")])

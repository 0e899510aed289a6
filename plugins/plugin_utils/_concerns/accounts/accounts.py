# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who has mail here: each program finds accounts, aliases and forwards where the site keeps them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import Links
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.base import Lookups
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.directory import DirectoryLookups
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups.system import SystemLookups
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.sasl import Sasl

_LOOKUPS: dict[str, Lookups] = {"directory": DirectoryLookups(), "system": SystemLookups()}


@dataclasses.dataclass(frozen=True)
class Variables:
    """Where accounts live."""

    mail_accounts_backend: t.Literal["directory", "system"] = var(
        "Where accounts live: in the collection's OpenLDAP directory, or as users of the host (passwd, PAM).",
        "directory",
    )


def lookups(said: Variables) -> Lookups:
    return _LOOKUPS[said.mail_accounts_backend]


def links(site: Site, host: Host) -> Links | None:
    return site.lookups.links(site, host)


def postfix(site: Site, host: Host) -> Postfix | None:
    return site.lookups.postfix(site, host)


def dovecot(site: Site, host: Host) -> Dovecot | None:
    return site.lookups.dovecot(site, host)


def sasl(site: Site, host: Host) -> Sasl | None:
    return site.lookups.sasl(site, host)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who has mail here: each program finds accounts, aliases and forwards where the site keeps them."""

from __future__ import annotations

import types
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils.backends import directory, system
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

_BACKENDS: dict[str, types.ModuleType] = {"directory": directory, "system": system}


def _ask(program: str, site: Site, host: Host) -> t.Any:
    function = getattr(_BACKENDS[site.core.mail_accounts_backend], program, None)
    return function(site, host) if function else None


def postfix(site: Site, host: Host) -> t.Any:
    return _ask("postfix", site, host)


def dovecot(site: Site, host: Host) -> t.Any:
    return _ask("dovecot", site, host)


def sasl(site: Site, host: Host) -> t.Any:
    return _ask("sasl", site, host)

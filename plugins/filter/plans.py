# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The functions that a run uses, as filters: what a site means for a program, without a host."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    Contributions,
    every,
    merged,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host, HostInput, Look
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Word
from ansible_collections.postamt.mail.plugins.plugin_utils._programs import dovecot, postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import entries
from ansible_collections.postamt.mail.plugins.plugin_utils._run import show, values


def _asked(program: str, variables: Mapping[str, t.Any], host: str, release: str) -> tuple[Site, Host, Contributions]:
    given = {name: values.plain(variables[name]) for name in variables if name.startswith("mail_")}
    site = parse_site(given, {host: HostInput(look=Look(release=Word(release)))}, compose.concerns().values())
    return site, site.hosts[host], compose.contributions(program, site, site.hosts[host])


def _refusing(found: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    @functools.wraps(found)
    def filtered(variables: Mapping[str, t.Any], host: str, release: str = "trixie") -> t.Any:
        try:
            return found(variables, host, release)
        except (SiteError, ComposeError) as error:
            raise AnsibleFilterError(str(error)) from None

    return filtered


@_refusing
def postfix_settings(variables: Mapping[str, t.Any], host: str, release: str) -> t.Any:
    """Return the parameters of main.cf."""
    site, one, parts = _asked("postfix", variables, host, release)
    return show.hidden(site, [*every(parts, "secrets")], postfix.configuration(one, parts, {})[0])


@_refusing
def dovecot_settings(variables: Mapping[str, t.Any], host: str, release: str) -> t.Any:
    """Return the settings of dovecot.conf, blocks as mappings."""
    site, one, parts = _asked("dovecot", variables, host, release)
    found = dovecot.configuration(parts, one.version("dovecot") >= (2, 4), {})
    return show.hidden(site, [*every(parts, "secrets")], found)


@_refusing
def ldap_entries(variables: Mapping[str, t.Any], host: str, release: str) -> t.Any:
    """Return the directory's entries."""
    site, _one, parts = _asked("ldap", variables, host, release)
    if site.provider is None:
        raise AnsibleFilterError("ldap_entries: these accounts are in no directory (mail_accounts_backend)")
    return show.hidden(site, [], entries(site, merged(parts, "services", "directory service")))


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "postfix_settings": postfix_settings,
            "dovecot_settings": dovecot_settings,
            "ldap_entries": ldap_entries,
        }

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The functions that a run uses, as filters: what a site means for a program, without a host."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.postamt.mail.plugins.plugin_utils import compose, run, show
from ansible_collections.postamt.mail.plugins.plugin_utils.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils.site import HostInput, Look, parse_site


def _shown(program: str, variables: Mapping[str, t.Any], host: str, release: str) -> dict[str, t.Any]:
    try:
        given = {name: run.plain(variables[name]) for name in variables if name.startswith("mail_")}
        site = parse_site(given, {host: HostInput(look=Look(release=release))}, compose.concerns().values())
        found: dict[str, t.Any] = show.overview(site, site.hosts[host], {})[program]
    except (SiteError, ComposeError) as error:
        raise AnsibleFilterError(str(error)) from None
    return found


def postfix_settings(variables: Mapping[str, t.Any], host: str, release: str = "trixie") -> dict[str, str]:
    """Return the parameters of main.cf."""
    lines = _shown("postfix", variables, host, release)["files"]["/etc/postfix/main.cf"]
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def dovecot_settings(variables: Mapping[str, t.Any], host: str, release: str = "trixie") -> list[str]:
    """Return the lines of dovecot.conf."""
    lines: list[str] = _shown("dovecot", variables, host, release)["files"]["/etc/dovecot/dovecot.conf"]
    return lines


def ldap_entries(variables: Mapping[str, t.Any], host: str, release: str = "trixie") -> t.Any:
    """Return the directory's entries."""
    return _shown("ldap", variables, host, release)["entries"]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "postfix_settings": postfix_settings,
            "dovecot_settings": dovecot_settings,
            "ldap_entries": ldap_entries,
        }

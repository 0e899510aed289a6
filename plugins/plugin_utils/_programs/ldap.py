# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OpenLDAP: what a concern may contribute. cn=config comes from _ldap_config.py, the entries from _ldap_entries.py.

Everything is plain data here; module_utils/_slapd compares it with what slapd says and changes the difference.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import Contributions, files_of, merged
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    LIBRARY,
    Directory,
    File,
    Plan,
    Serves,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_config import DATABASE, Reader, config
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._ldap_entries import REPLICA, Values, entries

RELOADER = f"{LIBRARY}/reload-slapd"  # the concern directory brings it
PROGRAM = Program(
    title="slapd",
    reload=(RELOADER,),
    order=40,
    configuration="/etc/ldap/slapd.d",
    versions={"slapd": "slapd"},
    stays={
        "the directory": DATABASE,
        "what was applied to the directory, for another install": "/var/lib/postamt/ldap/applied.json",
        "cn=config from before": "/var/lib/postamt/ldap/originals/cn=config.ldif",
    },
    about="The site's directory (OpenLDAP)",
    task="Directory",
    options={
        "settings": "Attributes of C(cn=config) (I(slapd-config(5)), I(slapd-mdb(5))) by section, which are "
        "V(global), V(frontend) and V(database). A value may be text, a number, a boolean or a list."
    },
)


@dataclasses.dataclass(frozen=True)
class Ldap:
    """What one concern contributes.

    services: entries below ou=services by name; indexes: attribute -> kinds (slapd-mdb(5)); modules: olcModuleLoad;
    settings: section (SECTIONS of _ldap_config.py) -> attribute -> values; everywhere: listen on all addresses, not
    loopback alone; files: drop-ins of its unit.
    """

    services: Mapping[str, Reader] = dataclasses.field(default_factory=dict)
    indexes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modules: Iterable[str] = ()
    settings: Mapping[str, Mapping[str, Values]] = dataclasses.field(default_factory=dict)
    everywhere: bool = False
    files: Iterable[File] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of slapd for one host; the directory's host gets the entries too."""
    if not parts:
        return make_plan(enabled=False, units=[Unit("slapd.service", running=False)])
    services = merged(parts, "services", "directory service")
    provider = t.cast(Host, site.provider)
    password = site.service_password(REPLICA) if site.has_replicas else ""
    certificate = site.internal_certificate
    return make_plan(
        packages={"slapd", "ldap-utils", "python3-ldap"},
        key_group="ssl-cert",  # which slapd's user joins, to read the key of its certificate
        directories=[Directory(DATABASE, "0700", "openldap", "openldap")],
        files=files_of(parts, "file beside slapd"),
        units=[Unit("slapd.service")],
        watch=[certificate.chain, certificate.key, CA_FILE],
        serves=[
            Serves(389, "ldap", "starttls", (certificate.chain,)),
            Serves(636, "ldap", "implicit", (certificate.chain,)),
        ],
        suffix=site.suffix,
        listen=_listen(any(part.everywhere for _concern, part in parts)),
        config=config(site, host, parts, overrides.get("settings") or {}),
        entries=entries(site, services) if host == provider else None,  # the others get theirs from the provider
        provider=provider.name,
        followed=site.has_replicas and host == provider,
        replica={"dn": site.service_dn(REPLICA), "password": password, "socket": reach.PROVIDER_SOCKET}
        if host != provider
        else None,
        server_name="localhost",
        secrets=[password] if password else [],
    )


def _listen(everywhere: bool) -> str:
    return "ldapi:/// ldap:/// ldaps:///" if everywhere else "ldapi:/// ldap://localhost/ ldaps://localhost/"


def suffix_problem(suffix: str) -> str | None:
    """Return what is wrong with the suffix of the directory, if anything."""
    part = "[A-Za-z0-9][A-Za-z0-9.-]*(?: [A-Za-z0-9.-]+)*"
    if re.fullmatch(f"(o|dc|ou)={part}(,((o|dc|ou|l|st)={part}|c=[A-Za-z]{{2}}))*", suffix):
        return None
    return "must be a DN that begins with o=, dc= or ou= and has no blanks around its commas, such as o=mail"

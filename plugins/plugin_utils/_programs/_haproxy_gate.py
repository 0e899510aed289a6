# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate of a replica: from each start of slapd, links find it once it has what the provider has, until it stops."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._lookups import reach

UNIT = "postamt-directory-in-step.service"
_PATH = "/usr/local/lib/postamt/directory-in-step"
_SCRIPT = """\
#!/usr/bin/python3
# Written by postamt.mail; change the site's variables instead.
import os
import re
import sys
import time

import ldap

OWN, suffix, link = "/run/slapd/ldapi", sys.argv[1], sys.argv[2]


def connection(path):
    found = ldap.initialize("ldapi://" + path.replace("/", "%2F"))
    found.set_option(ldap.OPT_NETWORK_TIMEOUT, 5)
    found.set_option(ldap.OPT_TIMEOUT, 5)
    return found


def state(at):
    (found,) = at.search_s(suffix, ldap.SCOPE_BASE, attrlist=["contextCSN"])
    return max(found[1]["contextCSN"])


def in_step():
    own = connection(OWN)
    own.sasl_external_bind_s()
    (database,) = own.search_s("cn=config", ldap.SCOPE_SUBTREE, f"(olcSuffix={suffix})", ["olcSyncrepl"])
    (follows,) = database[1]["olcSyncrepl"]
    said = {name: one or other for name, one, other in re.findall(r'(\\w+)=(?:"([^"]*)"|(\\S+))', follows.decode())}
    provider = connection(said["provider"].removeprefix("ldapi://").replace("%2F", "/"))
    provider.simple_bind_s(said["binddn"], said["credentials"])
    return state(own) >= state(provider)


while True:
    try:
        if in_step():
            break
    except (ldap.LDAPError, KeyError, ValueError):
        pass  # slapd has just been started, or the provider is away
    time.sleep(0.5)
os.symlink(OWN, link)
"""


def files(suffix: str, links: str) -> list[File]:
    """Return the gate's program and unit, for a directory with this suffix; links: the unit of HAProxy."""
    return [File(_PATH, _SCRIPT, "0755"), File(f"{UNITS}/{UNIT}", _unit(suffix, links))]


def _unit(suffix: str, links: str) -> str:
    folder, name = reach.IN_STEP.rsplit("/", 1)
    limits = sandbox(CapabilityBoundingSet="CAP_DAC_OVERRIDE")  # the socket that leads to the provider is slapd's alone
    return f"""\
{HEAD}
[Unit]
Description=Waits until this host's directory has what the provider has
After=slapd.service {links}
PartOf=slapd.service

[Service]
Type=exec
RemainAfterExit=yes
RuntimeDirectory={folder.rpartition("/")[2]}
ExecStart={_PATH} "{suffix}" {folder}/{name}
Restart=on-failure
{limits}

[Install]
WantedBy=multi-user.target slapd.service
"""

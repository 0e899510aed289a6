# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""saslauthd: checks for Postfix the passwords of those who submit mail, against LDAP.

It has a unit of its own: the socket lies in Postfix's chroot, in a folder that Postfix alone may enter, and this is the
same on all releases. Debian's name saslauthd.service is an alias of it, so that there is one daemon by either name.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
    every,
    merged,
    overridden,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    Directory,
    File,
    HealthCheck,
    Plan,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import nearest
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

CHROOT = "/var/spool/postfix"
FOLDER = f"{CHROOT}/var/run/saslauthd"  # as smtpd sees it from its chroot: /var/run/saslauthd, the library's default
UNIT = "saslauthd-postfix.service"
CONFIGURATION = "/etc/saslauthd-postfix.conf"
PROGRAM = Program(
    title="saslauthd",
    restarts=True,
    order=50,
    configuration="/etc/pam.d/smtp",
    about="Password checks for Postfix (saslauthd)",
    task="Password checks for Postfix",
    options={
        "settings": "Settings of C(saslauthd) for LDAP (its document C(LDAP_SASLAUTHD)), such as C(ldap_timeout)."
    },
)

# saslauthd/LDAP_SASLAUTHD of Cyrus SASL 2.1.28. saslauthd itself passes over what it does not know.
KNOWN = (
    "ldap_auth_method", "ldap_bind_dn", "ldap_bind_pw", "ldap_default_domain", "ldap_default_realm", "ldap_deref",
    "ldap_filter", "ldap_group_attr", "ldap_group_dn", "ldap_group_filter", "ldap_group_match_method",
    "ldap_group_scope", "ldap_group_search_base", "ldap_id", "ldap_authz_id", "ldap_realm", "ldap_mech",
    "ldap_password", "ldap_password_attr", "ldap_referrals", "ldap_restart", "ldap_scope", "ldap_search_base",
    "ldap_servers", "ldap_size_limit", "ldap_start_tls", "ldap_time_limit", "ldap_timeout", "ldap_tls_cacert_dir",
    "ldap_tls_cacert_file", "ldap_tls_cert", "ldap_tls_check_peer", "ldap_tls_ciphers", "ldap_tls_key", "ldap_use_sasl",
    "ldap_version",
)  # fmt: skip
SECRET = ("ldap_password", "ldap_bind_pw")


@dataclasses.dataclass(frozen=True)
class Sasl:
    """What one concern contributes; settings: what saslauthd's LDAP_SASLAUTHD document names."""

    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    packages: Iterable[str] = ()
    checks: Iterable[HealthCheck] = ()


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of saslauthd for one host."""
    given = overrides.get("settings") or {}
    settings = overridden(merged(parts, "settings", "saslauthd setting"), given)
    for name in settings:
        if name not in KNOWN:
            unknown = f"{name} is no setting of saslauthd{nearest(name, KNOWN)}"
            if name in given:
                raise ComposeError(f"sasl_settings: {unknown}")
            concern = min(concern for concern, part in parts if name in part.settings)
            raise ConcernError(f"concern {concern}: {unknown}")
    enabled = host.has("mail_submission") and bool(parts)
    return make_plan(
        enabled=enabled,
        # Postfix's package brings its group and its chroot, where the socket lies.
        packages={"sasl2-bin", "postfix", *united(parts, "packages")},
        directories=[
            Directory(f"{CHROOT}/var"),
            Directory(f"{CHROOT}/var/run"),
            Directory(FOLDER, "0710", "root", "postfix"),
        ],
        files=[
            File(CONFIGURATION, configuration(settings), "0600", secret=True),
            File(f"/etc/systemd/system/{UNIT}", unit()),
        ],
        units=[Unit(UNIT, running=enabled)],
        watch=[settings["ldap_tls_cacert_file"]] if "ldap_tls_cacert_file" in settings else [],
        checks=[
            HealthCheck("socket", {"path": f"{FOLDER}/mux"}),
            *every(parts, "checks"),
        ],
        secrets=[str(settings[name]) for name in SECRET if name in settings],
    )


def configuration(settings: Mapping[str, t.Any]) -> str:
    """Return saslauthd's configuration for LDAP."""
    lines = [f"{name}: {_text(value)}" for name, value in sorted(settings.items())]
    return "\n".join([HEAD, *lines, ""])


def unit() -> str:
    """Return the unit; -r since logins are whole addresses, -m for the socket in Postfix's chroot."""
    command = f"/usr/sbin/saslauthd -a ldap -r -m {FOLDER} -n 5 -O {CONFIGURATION}"
    return f"""\
{HEAD}
[Unit]
Description=SASL authentication for Postfix
Documentation=man:saslauthd(8)
After=network.target nss-lookup.target slapd.service
Before=postfix.service
# What kept it from starting, such as a full disk, ends some time, and nobody else starts it then.
StartLimitIntervalSec=0

[Service]
Type=forking
PIDFile={FOLDER}/saslauthd.pid
ExecStart={command}
Restart=on-failure
RestartSec=2
# Its processes have nothing to lose, and now and then one does not hear SIGTERM.
KillMode=mixed
TimeoutStopSec=5
{sandbox(ReadWritePaths=FOLDER)}

[Install]
WantedBy=multi-user.target
Alias=saslauthd.service
"""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

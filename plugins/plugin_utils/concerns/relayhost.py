# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send through a provider: all outgoing mail goes to one host, over TLS, with a login where it wants one."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import Postfix, Table, table
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import HostName, Problem, Secret, var
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site


@dataclasses.dataclass(frozen=True)
class Relayhost:
    """The host that relays, and how to log in there."""

    host: HostName = var("Name of the host that relays.", example="smtp.example.net")
    port: int = var("Its port.", 587)
    tls: t.Literal["verify", "encrypt"] = var("Check its certificate against its name, or encrypt only.", "verify")
    username: str | None = var("Login name.", None)
    password: Secret | None = var("Its password.", None)


@dataclasses.dataclass(frozen=True)
class Variables:
    """Where outgoing mail goes."""

    mail_relayhost: Relayhost | None = var("The host that takes all outgoing mail; none to deliver directly.", None)


def check(site: Site) -> Iterator[Problem]:
    relay = site.of(Variables).mail_relayhost
    if relay and bool(relay.username) != bool(relay.password):
        yield Problem("mail_relayhost", None, "must have both username and password, or neither")
    if relay and not 0 < relay.port < 65536:
        yield Problem("mail_relayhost.port", relay.port, "must be a port from 1 to 65535")


def postfix(site: Site, host: Host) -> Postfix | None:
    relay = site.of(Variables).mail_relayhost
    if not relay or not site.sends(host):
        return None
    hop = f"[{relay.host}]:{relay.port}"
    # A policy for this hop alone: mail to other hops (gateway) keeps its own level.
    level = "verify match=hostname" if relay.tls == "verify" else "encrypt"
    parameters: dict[str, t.Any] = {"relayhost": hop, "smtp_tls_policy_maps": [table("relayhost_tls", "lmdb")]}
    tables = {"relayhost_tls": Table("lmdb", {hop: level})}
    secrets: list[str] = []
    packages: list[str] = []
    if relay.username and relay.password:
        parameters.update(
            smtp_sasl_auth_enable=True,
            smtp_sasl_tls_security_options="noanonymous",
            smtp_sasl_password_maps=[table("relayhost_login", "lmdb")],
        )
        tables["relayhost_login"] = Table("lmdb", {hop: f"{relay.username}:{relay.password}"}, secret=True)
        secrets, packages = [relay.password], ["libsasl2-modules"]
    return Postfix(parameters=parameters, tables=tables, packages=packages, secrets=secrets)

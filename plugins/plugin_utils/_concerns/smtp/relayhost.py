# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send through a provider: all outgoing mail goes to one host, over TLS, with a login where it wants one.

At port 465 (RFC 8314) TLS is there from the first byte, at any other after STARTTLS.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import PORTS, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import HostName, Secret
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    Postfix,
    Service,
    Table,
    Value,
    table,
    tls_for_all_mail,
)

_TLS_AT_ONCE = 465


@dataclasses.dataclass(frozen=True)
class Relayhost:
    """The host that relays, and how to log in there."""

    host: HostName = var("Name of the host that relays.", example="smtp.example.net")
    port: int = var("Its port: 465 for TLS from the first byte, any other for STARTTLS.", 587, within=PORTS)
    tls: t.Literal["verify", "encrypt"] = var("Check its certificate against its name, or encrypt only.", "verify")
    username: str | None = var("Login name.", None)
    password: Secret | None = var("Its password.", None)


@dataclasses.dataclass(frozen=True)
class Variables:
    """Where outgoing mail goes."""

    mail_relayhost: Relayhost | None = var(
        "The host that takes all outgoing mail; none to deliver directly.", None,
        example="{host: smtp.example.net, username: example, password: secret}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    relay = site.of(Variables).mail_relayhost
    if relay and bool(relay.username) != bool(relay.password):
        yield Problem("mail_relayhost", None, "must have both username and password, or neither")
    if relay and relay.username and (":" in relay.username or relay.username != relay.username.strip()):
        yield Problem(
            "mail_relayhost.username",
            relay.username,
            "must have no : and no blanks around it: in Postfix's table it would end there",
        )
    if relay and relay.password and relay.password != relay.password.strip():
        yield Problem(
            "mail_relayhost.password", None, "must have no blanks around it: Postfix's table does not keep them"
        )


def postfix(site: Site, host: Host) -> Postfix | None:
    relay = site.of(Variables).mail_relayhost
    if not relay:
        return None
    hop = f"[{relay.host}]:{relay.port}"
    # A policy for this hop alone: mail to other hops (gateway) keeps its own level.
    level = "verify match=hostname" if relay.tls == "verify" else "encrypt"
    parameters: dict[str, t.Any] = {"relayhost": hop, **tls_for_all_mail(host)}
    lists = {"smtp_tls_policy_maps": {"relay": [table("relayhost_tls", "lmdb")]}}
    tables = {"relayhost_tls": Table("lmdb", {hop: level})}
    services: dict[str, Service] = {}
    if relay.port == _TLS_AT_ONCE:
        # A client of its own: gateways, which are reached by relay(8), speak plainly first.
        options: dict[str, Value] = {"smtp_tls_wrappermode": True, "smtp_tls_security_level": "encrypt"}
        services["smtps/unix"] = Service("smtp", options=options)
        parameters["default_transport"] = "smtps"
    secrets: list[str] = []
    packages: list[str] = []
    if relay.username and relay.password:
        parameters.update(
            smtp_sasl_auth_enable=True,
            smtp_sasl_tls_security_options="noanonymous",
        )
        lists["smtp_sasl_password_maps"] = {"relay": [table("relayhost_login", "lmdb")]}
        tables["relayhost_login"] = Table("lmdb", {hop: f"{relay.username}:{relay.password}"}, secret=True)
        secrets, packages = [relay.password], ["libsasl2-modules"]
    return Postfix(
        parameters=parameters, services=services, lists=lists, tables=tables, packages=packages, secrets=secrets
    )

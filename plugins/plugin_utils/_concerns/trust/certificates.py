# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who vouches for a host: the site's own CA, or files that its administrator got from another."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import DOMAIN, linked, name_of, reserved
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import DAYS, Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import HostName
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.certificates import (
    INTERNAL,
    Certificates,
    CertificateSpec,
)

PUBLIC = "public"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """One certificate: issued by the site's own CA, supplied as files on the controller, or brought by a program."""

    names: list[HostName] = var("Names that it must cover; by default mail_server_name and the host's own name.", [])
    key_type: t.Literal["ec", "rsa"] = var("Key that a host makes for itself: EC P-256, or RSA of 3072 bits.", "ec")
    certificate: str | None = var(
        "File on the controller, relative to the folder that holds the inventory, and in no folder that Ansible reads: "
        "the certificate, and what follows it in the chain. By default the site's own CA issues one.", None,
        example="files/mail.example.org.pem",
    )  # fmt: skip
    key: str | None = var("File of its private key, without a pass phrase; ansible-vault works.", None)
    chain: str | None = var("File of the intermediate certificates, where certificate lacks them.", None)
    hook: bool = var(
        "Whether a program of yours on the host brings it by `postamt-certificates install NAME CHAIN KEY`; until it "
        "has, the site's CA issues a stand-in.", False,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variables:
    """Certificates of the site."""

    mail_certificates: dict[str, Certificate] = var(
        "Certificates by name. public is what users and other servers see; internal, always of the site's own CA, is "
        "for the host itself and takes key_type only.", {},
        example="{public: {certificate: files/mail.pem, key: files/mail.key}}",
    )  # fmt: skip
    mail_certificates_days: int = var("Days for which the site's CA issues a certificate.", 365, within=DAYS)
    mail_certificates_renew_days: int = var(
        "A certificate that expires within so many days is issued anew.", 30, within=DAYS
    )


def check(site: Site) -> Iterable[Problem]:
    """Yield what is wrong with the certificates, apart from the files' content."""
    said = site.of(Variables)
    for name, item in said.mail_certificates.items():
        where = f"mail_certificates.{name}"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            yield Problem(where, None, "must be a name of lower case letters, digits and hyphens: it becomes a folder")
        if item.certificate and not item.key:
            yield Problem(f"{where}.key", None, "is required where certificate is a file")
        if (item.key or item.chain) and not item.certificate:
            yield Problem(f"{where}.certificate", None, "is required where key or chain is a file")
        if item.hook and item.certificate:
            yield Problem(f"{where}.hook", None, "cannot be where certificate is a file: one of the two brings it")
        if name == INTERNAL and (item.certificate or item.names or item.hook):
            yield Problem(where, None, "takes key_type only: hosts trust each other by the site's own CA")
        yield from reserved(f"{where}.names", item.names)
        for twice in sorted({x for x in item.names if item.names.count(x) > 1}):
            yield Problem(f"{where}.names", twice, "is listed twice")
    yield from reserved("mail_server_name", [site.core.mail_server_name])
    for host in site.hosts.values():
        yield from reserved(f"mail_host_name of host {host.inventory_name}", [host.name])
    if said.mail_certificates_days <= said.mail_certificates_renew_days:
        allowed = "must be more than mail_certificates_renew_days"
        yield Problem("mail_certificates_days", said.mail_certificates_days, allowed)


def certificates(site: Site, host: Host) -> Certificates:
    """Return the one that every host has, and those that users and other servers are shown where they are."""
    said = site.of(Variables)
    listed = {PUBLIC: Certificate(), INTERNAL: Certificate(), **said.mail_certificates}
    if not site.shows_public(host):
        listed = {INTERNAL: listed[INTERNAL]}
    return Certificates(
        {name: _spec(name, item, site, host, said) for name, item in listed.items()},
        domains={str(name) for name in (*site.domains, site.server_name, "localhost", DOMAIN)}
        | {str(one.name) for one in site.hosts.values()}
        | {str(name) for item in said.mail_certificates.values() for name in item.names},
    )


def _spec(name: str, item: Certificate, site: Site, host: Host, said: Variables) -> CertificateSpec:
    if name == INTERNAL:
        names = [host.name, *([name_of(host)] if linked(site, host) else []), "localhost", "127.0.0.1", "::1"]
    elif item.names or item.certificate or item.hook:
        names = list(item.names) or [site.server_name]
    else:
        names = list(dict.fromkeys([site.server_name, host.name]))
    files = {key: value for key in ("certificate", "key", "chain") if (value := getattr(item, key))}
    days, renew_days = said.mail_certificates_days, said.mail_certificates_renew_days
    return CertificateSpec(
        tuple(names), item.key_type, files, days, renew_days, elsewhere=item.hook, calls=name == INTERNAL
    )

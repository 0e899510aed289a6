# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ACME: certificates that the hosts obtain by themselves, from Let's Encrypt or another CA that speaks RFC 8555.

The client is Debian's certbot: one command of it obtains what is missing and renews what is due, where lego has two and
leaves the choice to a script.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import reserved
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File, Unit
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox, timer
from ansible_collections.postamt.mail.plugins.plugin_utils._model import name_server
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.name_server import NameServer
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import TLS_FOLDER, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Address, HostName, Path
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.certificates import COMMAND, SERVES, Certificates

PROGRAM = "/usr/local/lib/postamt/obtain-certificates"
FOLDER = "/var/lib/postamt/acme"  # accounts, keys and certificates of the client


@dataclasses.dataclass(frozen=True)
class Updates(NameServer):
    """A name server that takes dynamic updates (RFC 2136), signed with a shared key (RFC 8945)."""

    wait: int = var("Seconds until all servers of the zone have the record.", 60, within=range(3601))


@dataclasses.dataclass(frozen=True)
class Acme:
    """How one certificate is obtained."""

    email: Address = var("Whom the CA writes to.", example="postmaster@example.org")
    agree_to_terms: bool = var("Whether you agree to the terms of service of the CA; must be true.")
    challenge: t.Literal["http-01", "dns-01"] = var(
        "How the host proves that the names are its own: over HTTP on its port 80, which nothing else may use, or by a "
        "record in the DNS.", "http-01",
    )  # fmt: skip
    names: list[HostName] = var("Names that it is for; by default mail_server_name.", [])
    server: str = var("The CA's directory URL.", "https://acme-v02.api.letsencrypt.org/directory")
    ca_file: Path | None = var(
        "CA certificates, in a file on the mail host, by which the server of a private CA is verified.", None
    )
    dns: Updates | None = var("Where records go that dns-01 needs.", None)


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_acme: dict[str, Acme] = var(
        "Certificates that an ACME client on each host obtains and renews, by their names in mail_certificates. Until "
        "it has, the site's CA issues a stand-in.", {},
        example="{public: {email: postmaster@example.org, agree_to_terms: true}}",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    """Yield what is wrong with the way to an ACME server."""
    for name, item in site.of(Variables).mail_acme.items():
        where = f"mail_acme.{name}"
        if not item.agree_to_terms:
            yield Problem(f"{where}.agree_to_terms", item.agree_to_terms, "must be true: no CA issues without")
        if not re.fullmatch(r"https://[^\s\"'\\]+", item.server):
            yield Problem(f"{where}.server", item.server, "must be the URL of an ACME directory: https://...")
        yield from reserved(f"{where}.names", item.names)
        if (item.challenge == "dns-01") != bool(item.dns):
            yield Problem(f"{where}.dns", None, "is required for challenge dns-01, and for that one only")
        if item.dns:
            yield from name_server.wrong(f"{where}.dns", item.dns)


def certificates(site: Site, host: Host) -> Certificates:
    """Return which certificates the client brings, and the timer by which it does."""
    acme = site.of(Variables).mail_acme if site.shows_public(host) else {}
    domains = {str(name) for item in site.of(Variables).mail_acme.values() for name in item.names}
    if not acme:
        return Certificates(domains=domains)
    names = {name: tuple(item.names or [site.server_name]) for name, item in acme.items()}
    calls = "".join(_call(name, names[name], item) for name, item in sorted(acme.items()))
    keys = {name: item.dns for name, item in acme.items() if item.dns}
    return Certificates(
        acme=names,
        domains=domains,
        packages=["certbot", *(["python3-certbot-dns-rfc2136"] if keys else [])],
        files=[
            *(File(_key_file(name), _key(dns), "0600", secret=True) for name, dns in sorted(keys.items())),
            File(PROGRAM, _PROGRAM.format(head=HEAD, command=COMMAND, folder=FOLDER, calls=calls), "0755"),
            File(f"{UNITS}/postamt-acme.service", _SERVICE.format(head=HEAD, program=PROGRAM, limits=_limits())),
            timer(
                "postamt-acme",
                "Look twice a day whether a certificate is to be renewed by ACME",
                OnCalendar="*-*-* 00/12:00",
                RandomizedDelaySec="6h",
                Persistent="true",
            ),
        ],
        units=[Unit("postamt-acme.timer")],
        secrets=[str(dns.key_secret) for dns in keys.values()],
    )


def _limits() -> str:
    """Return the client's limits: it listens on port 80 and calls the command, which installs and serves."""
    rights = "CAP_CHOWN CAP_FOWNER CAP_NET_BIND_SERVICE"
    return sandbox(
        **{
            **SERVES,
            "ReadWritePaths": f"{SERVES['ReadWritePaths']} {TLS_FOLDER}",
            "CapabilityBoundingSet": f"{SERVES['CapabilityBoundingSet']} {rights}",
        }
    )


def _key_file(name: str) -> str:
    return f"/etc/postamt/acme/{name}.ini"


def _key(dns: Updates) -> str:
    """Return what certbot's plugin for RFC 2136 reads."""
    said = {"server": dns.server, "port": dns.port, "name": dns.key_name, "secret": dns.key_secret,
            "algorithm": dns.key_algorithm}  # fmt: skip
    return "".join(f"dns_rfc2136_{key} = {value}\n" for key, value in said.items())


def _call(name: str, names: tuple[str, ...], item: Acme) -> str:
    """Return the shell's line that obtains or renews one certificate."""
    how = ["--standalone"]
    if item.dns:
        how = ["--dns-rfc2136", "--dns-rfc2136-credentials", _key_file(name)]
        how += ["--dns-rfc2136-propagation-seconds", str(item.dns.wait)]
    words = [*how, "--server", item.server, "--email", item.email]
    words += [word for one in names for word in ("--domain", one)]
    trust = f"export REQUESTS_CA_BUNDLE={shlex.quote(item.ca_file)}; " if item.ca_file else ""
    return f"({trust}obtain {name} {shlex.join(words)}) || status=1\n"


_PROGRAM = """\
#!/bin/sh
{head}
# Obtain each certificate that is missing, renew what is due, and have what came served.
set -u
umask 077
status=0
obtain() {{
    name=$1
    shift
    # A renewal keeps the key (--reuse-key): TLSA records of it stay right.
    certbot certonly --non-interactive --agree-tos --no-eff-email --keep-until-expiring --renew-with-new-domains \\
        --reuse-key --config-dir {folder} --work-dir {folder}/work --logs-dir /var/log/postamt-acme \\
        --cert-name "$name" "$@" &&
        {command} install "$name" "{folder}/live/$name/fullchain.pem" "{folder}/live/$name/privkey.pem"
}}
{calls}exit $status
"""
_SERVICE = """\
{head}
[Unit]
Description=Obtain and renew certificates by ACME
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={program}
TimeoutStartSec=15min
LogsDirectory=postamt-acme
LogsDirectoryMode=0700
{limits}
"""

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How programs reach the site's directory: slapd of their own host with StartTLS, or another one by a link."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    FOLDER,
    Incoming,
    Links,
    Outgoing,
    hosts_except,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

PORT = 943
PROVIDER_SOCKET = f"{FOLDER}/directory-provider"  # the directory that takes changes
SLAPD = "/run/slapd/ldapi"
IN_STEP = "/run/postamt-directory/ldapi"  # a link to it on a replica that has what the provider has


def links(site: Site, host: Host) -> Links:
    """Return the links to directories: of programs that look accounts up, and of replicas to the provider."""
    holders = site.hosts_with("mail_directory") if site.lookups.directory else []
    outgoing, incoming = [], []
    if is_linked(site, host):
        local = slapd(site, host) if host in holders else ""
        (bind, owner), *also = ((socket(name), owner) for name, owner in _asking(site, host).items())
        outgoing.append(
            Outgoing("directory", bind, PORT, hosts_except(holders, host), owner, dict(also), local, "ldap")
        )
    if site.provider and is_replica(site, host):
        outgoing.append(Outgoing("provider", PROVIDER_SOCKET, PORT, (site.provider,), "openldap", check="ldap"))
    if host in holders:
        calling = hosts_except((one for one in site.hosts.values() if _calls(site, one, host)), host)
        incoming.append(Incoming("directory", PORT, calling, slapd(site, host)))
    return Links(outgoing, incoming)


def asks(site: Site, host: Host) -> bool:
    """Tell whether programs of a host look accounts up."""
    return site.lookups.directory and (site.sends(host) or host.has("mail_store"))


def _asking(site: Site, host: Host) -> dict[str, str]:
    """Return the programs of a host that look accounts up, each with the user as whom it asks."""
    found = {"postfix": "postfix"} if site.sends(host) else {}
    found |= {"saslauthd": "root"} if host.has("mail_submission") else {}
    return found | ({"dovecot": "dovecot"} if host.has("mail_store") else {})


def is_replica(site: Site, host: Host) -> bool:
    """Tell whether a host's directory follows another one."""
    return site.lookups.directory and host.has("mail_directory") and host != site.provider


def slapd(site: Site, host: Host) -> str:
    """Return where links find a host's own directory: a replica only once it has what the provider has.

    One that was away, and comes back while the provider is away, would deny new accounts and let disabled ones in.
    """
    return IN_STEP if is_replica(site, host) else SLAPD


def _calls(site: Site, caller: Host, host: Host) -> bool:
    """Tell whether a host calls a directory: its programs ask, or its own directory follows this one."""
    return asks(site, caller) or (host == site.provider and caller.has("mail_directory"))


def is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host asks the directory by a link: where another host has one too, or alone."""
    return asks(site, host) and bool(hosts_except(site.hosts_with("mail_directory"), host))


def socket(program: str) -> str:
    """Return the socket by which a program asks the own or another directory; it is that program's alone."""
    return f"{FOLDER}/directory-{program}"


def uri(site: Site, host: Host, program: str) -> str:
    """Return where a program of a host asks the directory: a link, which brings TLS, or its own with StartTLS.

    libldap looks for the machine's own name in the certificate, whatever that is, where it is asked for localhost.
    """
    path = socket(program).replace("/", "%2F")
    return f"ldapi://{path}" if is_linked(site, host) else "ldap://127.0.0.1"


def needs(site: Site, host: Host, program: str) -> list[str]:
    """Return what has to listen before a program can look accounts up: a socket's path or HOST:PORT."""
    return [socket(program)] if is_linked(site, host) else ["127.0.0.1:389"]

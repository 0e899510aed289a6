# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links: what the site's hosts say to each other, and through which ports.

A program asks a socket on its own host, as if the other program ran there. HAProxy takes it to a host that has it, over
TLS: both ends show certificates of the site's CA, each verifies the other's name, and a port takes only the hosts that
need it. So no other program listens for other hosts, whatever it can do about TLS. A site of one host has no links.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site

FOLDER = "/run/postamt-links"  # sockets of links that need not lie in Postfix's chroot
CHROOT = "/var/spool/postfix"
LMTP_SOCKET = "private/store-lmtp"  # relative to the chroot, where the mailboxes are on another host
QUOTA_SOCKET = "private/store-quota"
PROVIDER_SOCKET = f"{FOLDER}/directory-provider"  # the directory that takes changes
DOVECOT_LMTP = "/run/dovecot/lmtp-links"  # where Dovecot listens for the link's other end
DOVECOT_QUOTA = "/run/dovecot/quota-links"
SLAPD = "/run/slapd/ldapi"
IN_STEP = "/run/postamt-directory/ldapi"  # a link to it on a replica that has what the provider has
USER = "haproxy"  # as whom the links' worker runs

# Below 1024, where no user's program can listen, and assigned to nobody (IANA's registry of ports)
OWN = 940  # on loopback alone: where a host's links show their certificate to the host itself
LMTP, QUOTA, DIRECTORY, BACK, RELAY = 941, 942, 943, 944, 945
FILTER = {10024: 946, 10026: 947, 10027: 948}  # amavis's ports (from the world, from users, from hosts) and the links'

FILTERS = "127.0.0.2"  # where a sender's Postfix finds amavis's ports, wherever amavis is
FILTERED = 10025  # where Postfix takes filtered mail
HAND_OVER = 10028  # where hosts that do not send mail themselves hand it to those that do


@dataclasses.dataclass(frozen=True)
class Outgoing:
    """A socket of this host that leads to other hosts.

    bind: an absolute path, or ADDRESS:PORT; owner: who alone may use the path; also: further paths with their owners;
    local: where the same service listens on this host (a path or ADDRESS:PORT), asked first; to: the other hosts;
    spread: whether they share the work, otherwise the first that works is asked; check: how it is found out whether one
    works, by connecting with TLS or by an answer of LDAP.
    """

    name: str
    bind: str
    port: int
    to: tuple[Host, ...]
    owner: str = ""
    also: Mapping[str, str] = dataclasses.field(default_factory=dict)
    local: str = ""
    check: t.Literal["tls", "ldap"] = "tls"
    spread: bool = False


@dataclasses.dataclass(frozen=True)
class Incoming:
    """A port of this host that takes links of other hosts.

    target: where the service listens on this host (a path or ADDRESS:PORT); sources: from which address each caller's
    connection arrives there, where that matters.
    """

    name: str
    port: int
    callers: tuple[Host, ...]
    target: str
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)


def outgoing(site: Site, host: Host) -> list[Outgoing]:
    """Return the links that begin on a host."""
    found = []
    if needs_store(site, host):
        stores = tuple(site.hosts_with("mail_store"))
        found.append(Outgoing("lmtp", f"{CHROOT}/{LMTP_SOCKET}", LMTP, stores, "postfix"))
        found.append(Outgoing("quota", f"{CHROOT}/{QUOTA_SOCKET}", QUOTA, stores, "postfix"))
    if filter_is_linked(site, host):
        others = _others(site.filter_hosts, host)
        for amavis, port in FILTER.items():
            local = f"127.0.0.1:{amavis}" if site.filters(host) else ""
            found.append(Outgoing(f"filter-{amavis}", f"{FILTERS}:{amavis}", port, others, local=local, spread=True))
    if site.filters(host):
        for caller, source in _sources(site, host):
            found.append(Outgoing(f"back-{caller.name}", f"{source}:{FILTERED}", BACK, (caller,)))
    if directory_is_linked(site, host):
        holders = site.hosts_with("mail_directory")
        local = slapd(site, host) if host in holders else ""
        others = _others(holders, host)
        (bind, owner), *also = ((directory_socket(name), owner) for name, owner in _asking(site, host).items())
        found.append(Outgoing("directory", bind, DIRECTORY, others, owner, dict(also), local, "ldap"))
    if site.provider and is_replica(site, host):
        found.append(Outgoing("provider", PROVIDER_SOCKET, DIRECTORY, (site.provider,), "openldap", check="ldap"))
    if hands_over(site, host):
        senders = tuple(site.hosts_with("mail_submission"))
        found.append(Outgoing("relay", f"127.0.0.1:{HAND_OVER}", RELAY, senders, spread=True))
    return found


def incoming(site: Site, host: Host) -> list[Incoming]:
    """Return the ports at which a host takes links; one that nobody calls is not opened."""
    found = []
    senders = _others(site.senders, host)
    if host.does("mail_store"):
        found.append(Incoming("lmtp", LMTP, senders, DOVECOT_LMTP))
        found.append(Incoming("quota", QUOTA, senders, DOVECOT_QUOTA))
    if host.does("mail_directory") and site.uses_directory:
        asking = _others((one for one in site.hosts.values() if _calls_directory(site, one, host)), host)
        found.append(Incoming("directory", DIRECTORY, asking, slapd(site, host)))
    if site.filters(host):
        sources = {str(caller.name): source for caller, source in _sources(site, host)}
        for amavis, port in FILTER.items():
            found.append(Incoming(f"filter-{amavis}", port, senders, f"127.0.0.1:{amavis}", sources))
    if filter_is_linked(site, host):
        found.append(Incoming("back", BACK, _others(site.filter_hosts, host), f"127.0.0.1:{FILTERED}"))
    if host.does("mail_submission"):
        handing = tuple(one for one in site.hosts.values() if hands_over(site, one))
        found.append(Incoming("relay", RELAY, handing, f"127.0.0.1:{HAND_OVER}"))
    return [one for one in found if one.callers]


def linked(site: Site, host: Host) -> bool:
    """Tell whether a host has links."""
    return bool(outgoing(site, host) or incoming(site, host))


def asks_directory(site: Site, host: Host) -> bool:
    """Tell whether programs of a host look accounts up."""
    return site.uses_directory and (site.sends(host) or host.does("mail_store"))


def _asking(site: Site, host: Host) -> dict[str, str]:
    """Return the programs of a host that look accounts up, each with the user as whom it asks."""
    found = {"postfix": "postfix"} if site.sends(host) else {}
    found |= {"saslauthd": "root"} if host.does("mail_submission") else {}
    return found | ({"dovecot": "dovecot"} if host.does("mail_store") else {})


def is_replica(site: Site, host: Host) -> bool:
    """Tell whether a host's directory follows another one."""
    return site.uses_directory and host.does("mail_directory") and host != site.provider


def slapd(site: Site, host: Host) -> str:
    """Return where links find a host's own directory: a replica only once it has what the provider has.

    One that was away, and comes back while the provider is away, would deny new accounts and let disabled ones in.
    """
    return IN_STEP if is_replica(site, host) else SLAPD


def _calls_directory(site: Site, caller: Host, host: Host) -> bool:
    """Tell whether a host calls a directory: its programs ask, or its own directory follows this one."""
    return asks_directory(site, caller) or (host == site.provider and caller.does("mail_directory"))


def trusting_services(site: Site, host: Host) -> list[str]:
    """Return the services of Postfix at which a submission host takes mail without a login, all of them on loopback.

    One is for its own programs, where it has no port 25 for everybody, one for the site's hosts that hand theirs over.
    """
    if not host.does("mail_submission"):
        return []
    own = [] if host.does("mail_mx") else ["127.0.0.1:smtp/inet"]
    return [*own, *([f"127.0.0.1:{HAND_OVER}/inet"] if called(site, host, "relay") else [])]


def packages(site: Site, host: Host) -> list[str]:
    """Return what brings the user as whom links reach a host's programs."""
    return ["haproxy"] if incoming(site, host) else []


def called(site: Site, host: Host, name: str) -> bool:
    """Tell whether other hosts use a link of this name to a host."""
    return any(link.name == name for link in incoming(site, host))


def directory_is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host asks the directory by a link: where another host has one too, or alone."""
    return asks_directory(site, host) and bool(_others(site.hosts_with("mail_directory"), host))


def directory_socket(program: str) -> str:
    """Return the socket by which a program asks the own or another directory; it is that program's alone."""
    return f"{FOLDER}/directory-{program}"


def directory_uri(site: Site, host: Host, program: str) -> str:
    """Return where a program of a host asks the directory: a link, which brings TLS, or its own with StartTLS."""
    path = directory_socket(program).replace("/", "%2F")
    return f"ldapi://{path}" if directory_is_linked(site, host) else "ldap://localhost"


def directory_needs(site: Site, host: Host, program: str) -> list[str]:
    """Return what has to listen before a program can look accounts up: a socket's path or HOST:PORT."""
    if not site.uses_directory:
        return []
    return [directory_socket(program)] if directory_is_linked(site, host) else ["localhost:389"]


def needs_store(site: Site, host: Host) -> bool:
    """Tell whether a host reaches the mailboxes by a link."""
    return site.sends(host) and not host.does("mail_store")


def filter_is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host's Postfix reaches the filter by a link: where another host filters too, or alone."""
    return site.sends(host) and bool(_others(site.filter_hosts, host))


def hands_over(site: Site, host: Host) -> bool:
    """Tell whether a host's own mail goes to those that send: a server of the site that does not send itself."""
    return bool(host.duties) and not site.sends(host) and not host.does("mail_client")


def _sources(site: Site, host: Host) -> list[tuple[Host, str]]:
    """Return the loopback address by which amavis on a host knows each other sender, and finds its way back to it."""
    return [(one, f"127.0.{1 + i // 250}.{1 + i % 250}") for i, one in enumerate(site.senders) if one != host]


def _others(hosts: Iterable[Host], host: Host) -> tuple[Host, ...]:
    return tuple(one for one in hosts if one != host)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links: what the site's hosts say to each other, and through which ports.

A program asks a socket on its own host, as if the other program ran there. HAProxy takes it to a host that has it, over
TLS: both ends show certificates of the site's CA, each verifies the other's name, and a port takes only the hosts that
need it. So no other program listens for other hosts, whatever it can do about TLS. A site of one host has no links.

A concern that needs a link says so in its function links(site, host), for both ends. Ports are below 1024, where no
user's program can listen, and assigned to nobody (IANA's registry): 940 to 950 are taken.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ConcernError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

FOLDER = "/run/postamt-links"  # sockets of links that need not lie in Postfix's chroot
CHROOT = "/var/spool/postfix"
DOVECOT_FOLDER = "/run/dovecot"  # there Dovecot listens for the links' other ends
USER = "haproxy"  # as whom the links' worker runs
OWN = 940  # on loopback alone: where a host's links show their certificate to the host itself
DOMAIN = "link.internal"  # below it are names that no certificate for users has, whoever has issued it
# Sockets of Postfix in folder public are for group postdrop, in which amavis and HAProxy are: by it Debian has every
# user's sendmail(1) leave mail, but no user's own program is in it.
POSTDROP = "postdrop"
# In a host's configuration links have these places, others follow by name: a new order would only cost a reload.
_BEGINNINGS = ("lmtp", "quota", "filter", "back", "directory", "provider", "relay")
_ENDS = ("lmtp", "quota", "directory", "filter", "back", "relay")


@dataclasses.dataclass(frozen=True)
class Outgoing:
    """A socket of this host that leads to other hosts.

    bind: an absolute path, or ADDRESS:PORT; owner: who alone may use the path; also: further paths with their owners;
    local: the path of the socket where the same service listens on this host, asked first; to: the other hosts;
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

    target: the path of the socket where the service listens on this host; targets: the one for each caller, by its
    name, where the service has to know who calls; reject: whether a link ends before it begins while nobody listens, so
    that the caller asks another host.
    """

    name: str
    port: int
    callers: tuple[Host, ...]
    target: str = ""
    targets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reject: bool = False


@dataclasses.dataclass(frozen=True)
class Links:
    """What one concern contributes: links that begin on a host, and ports at which it takes them."""

    outgoing: Iterable[Outgoing] = ()
    incoming: Iterable[Incoming] = ()


def outgoing(site: Site, host: Host) -> list[Outgoing]:
    """Return the links that begin on a host: each has a name and a socket of its own."""
    found = [(concern, link) for concern, said in site.asked("links", host) for link in said.outgoing]
    _refuse_twice(host, "name", [(concern, link.name) for concern, link in found])
    _refuse_twice(host, "socket", [(concern, bind) for concern, link in found for bind in (link.bind, *link.also)])
    _refuse_ports(site, host)
    for concern, link in found:
        _refuse_no_path(concern, [link.local])
    return sorted((link for _concern, link in found), key=lambda link: _place(link, _BEGINNINGS))


def incoming(site: Site, host: Host) -> list[Incoming]:
    """Return the ports at which a host takes links; one that nobody calls is not opened."""
    found = [(concern, link) for concern, said in site.asked("links", host) for link in said.incoming]
    _refuse_twice(host, "name", [(concern, link.name) for concern, link in found])
    _refuse_ports(site, host)
    for concern, link in found:
        _refuse_no_path(concern, [link.target, *link.targets.values()])
    called = (link for _concern, link in found if link.callers)
    return sorted(called, key=lambda link: _place(link, _ENDS))


def _refuse_no_path(concern: str, sockets: Iterable[str]) -> None:
    """Refuse a port of loopback: any user of the host could listen there while the service is away."""
    for socket in sockets:
        if socket and not socket.startswith("/"):
            raise ConcernError(f"concern {concern}: a link must end at the path of a socket, not at {socket}")


def _refuse_ports(site: Site, host: Host) -> None:
    """Refuse a port that two want: where links of other hosts come in, or where one of this host begins."""
    taken = [("links", str(OWN))]
    for concern, said in site.asked("links", host):
        taken += [(concern, str(link.port)) for link in said.incoming]
        binds = (link.bind.rpartition(":") for link in said.outgoing)
        taken += [(concern, port) for _address, colon, port in binds if colon and port.isdigit()]
    _refuse_twice(host, "port", taken)


def _place(link: Outgoing | Incoming, order: tuple[str, ...]) -> tuple[int, int, str]:
    kind = link.name.partition("-")[0]
    # those of one kind and port stay as their concern says them
    return (order.index(kind), link.port, "") if kind in order else (len(order), 0, link.name)


def _refuse_twice(host: Host, what: str, said: Iterable[tuple[str, str]]) -> None:
    owner: dict[str, str] = {}
    for concern, value in said:
        if value in owner:
            one, other = sorted((owner[value], concern))
            who = f"concerns {one} and {other} both take" if one != other else f"concern {one} takes twice"
            raise ConcernError(f"link of host {host.name}: {who} {what} {value}")
        owner[value] = concern


def name_of(host: Host) -> str:
    """Return the name by which other hosts know the end of a link.

    A host's own name does not do: exchangers show users a certificate of the site's CA for mail_server_name, which may
    be the name of the store.
    """
    return f"{host.name}.{DOMAIN}"


def reserved(where: str, names: Iterable[str | None]) -> Iterable[Problem]:
    """Yield the names that only ends of links may have: a certificate for users with one of them would open a link."""
    for name in names:
        if f".{name}".endswith(f".{DOMAIN}"):
            yield Problem(where, name, f"must not end in {DOMAIN}: these names are for the links between hosts")


def linked(site: Site, host: Host) -> bool:
    """Tell whether a host has links."""
    return bool(outgoing(site, host) or incoming(site, host))


def packages(site: Site, host: Host) -> list[str]:
    """Return what brings the user as whom links reach a host's programs."""
    return ["haproxy"] if incoming(site, host) else []


def called(site: Site, host: Host, name: str) -> bool:
    """Tell whether other hosts use a link of this name to a host."""
    return any(link.name == name for link in incoming(site, host))


def public(name: str) -> str:
    """Return the path of a service of Postfix that programs of group postdrop may use (master(5), private: n)."""
    return f"{CHROOT}/public/{name}"


def hosts_except(hosts: Iterable[Host], host: Host) -> tuple[Host, ...]:
    """Return hosts without one: a host does not link to itself."""
    return tuple(one for one in hosts if one != host)

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links: what the site's hosts say to each other, and through which ports.

A program asks a socket on its own host, as if the other program ran there. HAProxy takes it to a host that has it, over
TLS: both ends show certificates of the site's CA, each verifies the other's name, and a port takes only the hosts that
need it. So no other program listens for other hosts, whatever it can do about TLS. A site of one host has no links.

Mail on its way through the filter passes Unix sockets only, in folders that belong to those who may use them: any user
of a host may connect to a port of loopback, and take one above 1023 while the program that listens there is away.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose import filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

FOLDER = "/run/postamt-links"  # sockets of links that need not lie in Postfix's chroot
CHROOT = "/var/spool/postfix"
LMTP_SOCKET = "private/store-lmtp"  # relative to the chroot, where the mailboxes are on another host
QUOTA_SOCKET = "private/store-quota"
PROVIDER_SOCKET = f"{FOLDER}/directory-provider"  # the directory that takes changes
DOVECOT_FOLDER = "/run/dovecot"
DOVECOT_LMTP, DOVECOT_QUOTA = "lmtp-links", "quota-links"  # there Dovecot listens for the links' other ends
SLAPD = "/run/slapd/ldapi"
IN_STEP = "/run/postamt-directory/ldapi"  # a link to it on a replica that has what the provider has
USER = "haproxy"  # as whom the links' worker runs

# Below 1024, where no user's program can listen, and assigned to nobody (IANA's registry of ports)
OWN = 940  # on loopback alone: where a host's links show their certificate to the host itself
LMTP, QUOTA, DIRECTORY, BACK, RELAY = 941, 942, 943, 944, 945
HAND_OVER = 949  # on loopback alone: where hosts that do not send mail themselves hand it to those that do
FILTER = {"world": 946, "users": 947, "hosts": 948}  # from whom mail to be filtered is

DOMAIN = "link.internal"  # below it are names that no certificate for users has, whoever has issued it
# Sockets of Postfix, relative to the chroot. Folder public is for group postdrop, in which amavis and HAProxy are: by
# it Debian has every user's sendmail(1) leave mail, but no user's own program is in it.
POSTDROP = "postdrop"
FILTERED = "filtered"  # takes filtered mail
HANDED_OVER = "handed-over"  # takes mail of the site's other hosts
HANDED_OVER_SERVICE = f"{HANDED_OVER}/unix"
# Sockets of amavis: for this host's Postfix in its chroot, for HAProxy elsewhere
AMAVIS_FOLDER = "amavis"
AMAVIS_LINKS = "/var/lib/amavis-links"


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

    target: the socket where the service listens on this host; targets: the one for each caller, by its name, where the
    service has to know who calls; reject: whether a link ends before it begins while nobody listens, so that the caller
    asks another host.
    """

    name: str
    port: int
    callers: tuple[Host, ...]
    target: str = ""
    targets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reject: bool = False


def outgoing(site: Site, host: Host) -> list[Outgoing]:
    """Return the links that begin on a host."""
    found = []
    if needs_store(site, host):
        stores = tuple(site.hosts_with("mail_store"))
        found.append(Outgoing("lmtp", f"{CHROOT}/{LMTP_SOCKET}", LMTP, stores, "postfix"))
        found.append(Outgoing("quota", f"{CHROOT}/{QUOTA_SOCKET}", QUOTA, stores, "postfix"))
    if filter_is_linked(site, host):
        others = _hosts_except(filtering.filter_hosts(site), host)
        for way, port in FILTER.items():
            local = amavis_socket(site, host, host, way) if filtering.filters(site, host) else ""
            socket = f"{CHROOT}/{filter_socket(site, host, way)}"
            found.append(Outgoing(f"filter-{way}", socket, port, others, "postfix", local=local, spread=True))
    if filtering.filters(site, host):
        for caller in _hosts_except(site.senders, host):
            found.append(Outgoing(f"back-{caller.name}", back_socket(host, caller), BACK, (caller,), "amavis"))
    if directory_is_linked(site, host):
        holders = site.hosts_with("mail_directory")
        local = slapd(site, host) if host in holders else ""
        others = _hosts_except(holders, host)
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
    senders = _hosts_except(site.senders, host)
    if host.does("mail_store"):
        found.append(Incoming("lmtp", LMTP, senders, f"{DOVECOT_FOLDER}/{DOVECOT_LMTP}"))
        found.append(Incoming("quota", QUOTA, senders, f"{DOVECOT_FOLDER}/{DOVECOT_QUOTA}"))
    if host.does("mail_directory") and site.lookups.directory:
        asking = _hosts_except((one for one in site.hosts.values() if _calls_directory(site, one, host)), host)
        found.append(Incoming("directory", DIRECTORY, asking, slapd(site, host)))
    if filtering.filters(site, host):
        for way, port in FILTER.items():
            targets = {str(caller.name): amavis_socket(site, host, caller, way) for caller in senders}
            found.append(Incoming(f"filter-{way}", port, senders, targets=targets, reject=True))
    if filter_is_linked(site, host):
        found.append(
            Incoming("back", BACK, _hosts_except(filtering.filter_hosts(site), host), public(FILTERED), reject=True)
        )
    if host.does("mail_submission"):
        handing = tuple(one for one in site.hosts.values() if hands_over(site, one))
        found.append(Incoming("relay", RELAY, handing, public(HANDED_OVER), reject=True))
    return [one for one in found if one.callers]


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
            yield Problem(where, name, f"ends in {DOMAIN}, as only the links between hosts are called")


def linked(site: Site, host: Host) -> bool:
    """Tell whether a host has links."""
    return bool(outgoing(site, host) or incoming(site, host))


def asks_directory(site: Site, host: Host) -> bool:
    """Tell whether programs of a host look accounts up."""
    return site.lookups.directory and (site.sends(host) or host.does("mail_store"))


def _asking(site: Site, host: Host) -> dict[str, str]:
    """Return the programs of a host that look accounts up, each with the user as whom it asks."""
    found = {"postfix": "postfix"} if site.sends(host) else {}
    found |= {"saslauthd": "root"} if host.does("mail_submission") else {}
    return found | ({"dovecot": "dovecot"} if host.does("mail_store") else {})


def is_replica(site: Site, host: Host) -> bool:
    """Tell whether a host's directory follows another one."""
    return site.lookups.directory and host.does("mail_directory") and host != site.provider


def slapd(site: Site, host: Host) -> str:
    """Return where links find a host's own directory: a replica only once it has what the provider has.

    One that was away, and comes back while the provider is away, would deny new accounts and let disabled ones in.
    """
    return IN_STEP if is_replica(site, host) else SLAPD


def _calls_directory(site: Site, caller: Host, host: Host) -> bool:
    """Tell whether a host calls a directory: its programs ask, or its own directory follows this one."""
    return asks_directory(site, caller) or (host == site.provider and caller.does("mail_directory"))


def trusting_services(site: Site, host: Host) -> list[str]:
    """Return the services of Postfix at which a submission host takes mail without a login.

    One is for its own programs, on loopback, where it has no port 25 for everybody, one for links of the site's hosts
    that hand theirs over.
    """
    if not host.does("mail_submission"):
        return []
    own = [] if host.does("mail_mx") else ["127.0.0.1:smtp/inet"]
    return [*own, *([HANDED_OVER_SERVICE] if called(site, host, "relay") else [])]


def packages(site: Site, host: Host) -> list[str]:
    """Return what brings the user as whom links reach a host's programs."""
    return ["haproxy"] if incoming(site, host) else []


def called(site: Site, host: Host, name: str) -> bool:
    """Tell whether other hosts use a link of this name to a host."""
    return any(link.name == name for link in incoming(site, host))


def directory_is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host asks the directory by a link: where another host has one too, or alone."""
    return asks_directory(site, host) and bool(_hosts_except(site.hosts_with("mail_directory"), host))


def directory_socket(program: str) -> str:
    """Return the socket by which a program asks the own or another directory; it is that program's alone."""
    return f"{FOLDER}/directory-{program}"


def directory_uri(site: Site, host: Host, program: str) -> str:
    """Return where a program of a host asks the directory: a link, which brings TLS, or its own with StartTLS.

    libldap looks for the machine's own name in the certificate, whatever that is, where it is asked for localhost.
    """
    path = directory_socket(program).replace("/", "%2F")
    return f"ldapi://{path}" if directory_is_linked(site, host) else "ldap://127.0.0.1"


def directory_needs(site: Site, host: Host, program: str) -> list[str]:
    """Return what has to listen before a program can look accounts up: a socket's path or HOST:PORT."""
    if not site.lookups.directory:
        return []
    return [directory_socket(program)] if directory_is_linked(site, host) else ["127.0.0.1:389"]


def needs_store(site: Site, host: Host) -> bool:
    """Tell whether a host reaches the mailboxes by a link."""
    return site.sends(host) and not host.does("mail_store")


def filter_is_linked(site: Site, host: Host) -> bool:
    """Tell whether a host's Postfix reaches the filter by a link: where another host filters too, or alone."""
    return site.sends(host) and bool(_hosts_except(filtering.filter_hosts(site), host))


def hands_over(site: Site, host: Host) -> bool:
    """Tell whether a host's own mail goes to those that send: a server of the site that does not send itself."""
    return bool(host.duties) and not site.sends(host) and not host.does("mail_client")


def public(name: str) -> str:
    """Return the path of a service of Postfix that programs of group postdrop may use (master(5), private: n)."""
    return f"{CHROOT}/public/{name}"


def filter_socket(site: Site, host: Host, way: str) -> str:
    """Return where a host's Postfix finds the filter, relative to its chroot: amavis, or the link to it."""
    return f"private/filter-{way}" if filter_is_linked(site, host) else f"{AMAVIS_FOLDER}/{way}"


def amavis_socket(site: Site, host: Host, sender: Host, way: str) -> str:
    """Return where amavis on a host takes a sender's mail, which is how it knows whose it is."""
    if sender == host and not filter_is_linked(site, host):
        return f"{CHROOT}/{filter_socket(site, host, way)}"
    return f"{AMAVIS_LINKS}/{way}-{sender.name}"


def back_socket(host: Host, sender: Host) -> str:
    """Return where amavis on a host hands a sender's mail back: Postfix, or the link to the sender's."""
    return public(FILTERED) if sender == host else f"{FOLDER}/back-{sender.name}"


def _hosts_except(hosts: Iterable[Host], host: Host) -> tuple[Host, ...]:
    return tuple(one for one in hosts if one != host)

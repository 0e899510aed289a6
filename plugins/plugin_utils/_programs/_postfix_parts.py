# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a concern may contribute to Postfix, and which slots the lists have that several concerns fill together."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import File, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host

Mail = t.Literal["world", "users", "hosts"]  # from whom it comes: any server, a login, programs of the site's hosts
Value = str | int | bool | list[str] | None
MAILS: tuple[Mail, ...] = t.get_args(Mail)
# What milters are told of mail that the site itself sends (milter_macro_daemon_name): of users, of programs
ORIGINATING, HOSTS = "ORIGINATING", "HOSTS"
DIRECTORY = "directory"  # the table that finds something as long as the directory answers
HOST_ALIASES = "hash:/etc/aliases"  # the host administrator's own; hash is Debian's type for it on both releases

# The order within lists that several concerns may fill: one kind of entry, one slot; * where the order within is free.
SLOTS: dict[str, tuple[str, ...]] = {
    "smtpd_client_restrictions": ("permit", "policy*", "access"),
    "smtpd_helo_restrictions": ("permit", "syntax", "own", "policy*"),
    "smtpd_sender_restrictions": ("syntax", "owner", "permit", "forwarded", "stranger", "access", "policy*", "domain"),
    "smtpd_relay_restrictions": ("networks", "policy*", "authenticated", "destination"),
    "smtpd_recipient_restrictions": ("syntax", "permit", "recipient", "access", "policy*", "quota"),
    "smtpd_data_restrictions": ("pipelining", "bounce", "policy*"),
    "smtpd_end_of_data_restrictions": ("policy*",),
    "smtpd_milters": ("check*", "sign*"),
    "non_smtpd_milters": ("check*", "sign*"),
    "smtp_sasl_password_maps": ("relay",),
    "smtp_tls_policy_maps": ("site*", "relay", "published*"),
    "transport_maps": ("site*", "gateway"),
    "virtual_alias_maps": ("host", "site*", "accounts"),
}
# Where two concerns may each have a reason, the strictest value counts (postconf(5)).
STRICTNESS: dict[str, tuple[Value, ...]] = {
    "smtp_tls_security_level": ("none", "may", "dane", "encrypt", "verify", "secure"),
}


@dataclasses.dataclass(frozen=True)
class Service:
    """One line of master.cf (master(5)); the daemon's command may carry -o options.

    takes: whose mail enters there, as it comes; empty where none does. returns: whose mail comes back there from a
    content filter; empty where none does.
    """

    command: str
    private: str = "-"
    unprivileged: str = "-"
    chroot: bool = True
    wakeup: str = "-"
    maxproc: str = "-"
    takes: Mail | t.Literal[""] = ""
    returns: Mail | t.Literal[""] = ""
    options: Mapping[str, Value] = dataclasses.field(default_factory=dict)


# Options of an smtpd on loopback or at a Unix socket: takes mail from this host's programs and links, and nobody else
TRUSTING: Mapping[str, Value] = {
    "mynetworks": "127.0.0.0/8",
    "smtpd_client_restrictions": ["permit_mynetworks", "reject"],
    "smtpd_relay_restrictions": ["permit_mynetworks", "reject"],
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "",
    "smtpd_tls_security_level": "none",
    "smtpd_sasl_auth_enable": False,
    "smtpd_client_connection_count_limit": 0,  # all of it comes from one address
}


@dataclasses.dataclass(frozen=True)
class Extension:
    """What a concern adds to another's line of master.cf; each option and maxproc has one owner."""

    maxproc: str = ""
    options: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    chroot: bool = True


@dataclasses.dataclass(frozen=True)
class Front:
    """A daemon that takes another's place in master.cf and hands connections on to it, as postscreen(8) does to smtpd.

    service: what stands there instead; behind: where the other one stands now, with its extensions.
    """

    service: Service
    behind: str


@dataclasses.dataclass(frozen=True)
class Milter:
    """A mail filter that Postfix asks over the milter protocol (MILTER_README), on hosts where the concern applies.

    socket: inet:HOST:PORT, or unix:PATH relative to the chroot; slot: of list smtpd_milters; unanswered: what becomes
    of mail while it does not answer (milter_default_action); mail: whose mail it sees. filtered: whether it sees mail
    as a content filter has left it, when it comes back; otherwise it sees mail as it enters, and with
    mail_content_filter: before_queue no header and no body of what comes by SMTP.
    """

    socket: str
    slot: str
    unanswered: t.Literal["accept", "reject", "tempfail", "quarantine"] = "tempfail"
    mail: tuple[Mail, ...] = MAILS
    filtered: bool = False


@dataclasses.dataclass(frozen=True)
class PolicyService:
    """A service that is asked whether to take mail (SMTPD_POLICY_README), on hosts where the concern applies.

    socket: as of a milter; slot: of the stage's restrictions; unanswered: the action while it does not answer
    (access(5)), where DUNNO takes the mail; stage: of the SMTP dialogue, smtpd_STAGE_restrictions; mail: whose mail it
    judges.
    """

    socket: str
    slot: str = "policy"
    unanswered: str = "DUNNO"
    stage: t.Literal["client", "helo", "sender", "relay", "recipient", "data", "end_of_data"] = "recipient"
    mail: tuple[Mail, ...] = ("world", "users")


@dataclasses.dataclass(frozen=True)
class Table:
    """A lookup table in /etc/postfix/tables: pairs for lmdb, else the text of the type's own syntax.

    type: lmdb, pcre, regexp, cidr, ldap, texthash.
    """

    type: str
    content: Mapping[str, str] | str
    secret: bool = False


@dataclasses.dataclass(frozen=True)
class Postfix:
    """What one concern contributes.

    parameters: main.cf; services: master.cf by "name/type"; extensions: to services of other concerns, by their names,
    or by whose mail they take; fronts: daemons before them; tables by file name, named in parameters by table(); lists:
    parameter -> slot -> entries (see SLOTS); a list whose name starts with mua_ is one for users' ports and has the
    slots of its smtpd_ twin; milters and policies: who is asked about mail.
    """

    parameters: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    services: Mapping[str, Service] = dataclasses.field(default_factory=dict)
    extensions: Mapping[str, Extension] = dataclasses.field(default_factory=dict)
    fronts: Mapping[str, Front] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Table] = dataclasses.field(default_factory=dict)
    lists: Mapping[str, Mapping[str, list[str]]] = dataclasses.field(default_factory=dict)
    milters: Iterable[Milter] = ()
    policies: Iterable[PolicyService] = ()
    files: Iterable[File] = ()
    packages: Iterable[str] = ()
    checks: Iterable[HealthCheck] = ()
    secrets: Iterable[str] = ()  # what no log, diff or result may show


def tls_for_all_mail(host: Host) -> dict[str, Value]:
    """Return what keeps a host's way out verified, and its password from a false server, whatever a message says.

    From 3.10 on, Postfix verifies no server for a message with TLS-Required: No (RFC 8689), and yet logs in there.
    That header is for policies of receivers; this way is the administrator's.
    """
    return {"tls_required_enable": False} if host.version("postfix") >= (3, 10) else {}


def table(name: str, kind: str) -> str:
    """Return how a parameter names a table of this collection, such as lmdb:$config_directory/tables/relay."""
    prefix = "proxy:ldap" if kind == "ldap" else kind
    return f"{prefix}:$config_directory/tables/{name}"


def text_of(value: Value) -> str:
    """Return a value as main.cf wants it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)

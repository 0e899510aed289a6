# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Content filter: amavis looks into mail before Postfix queues it, or afterwards, by as many processes as fit."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT, POSTDROP, Links
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory, sentence
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Directory, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _sockets as sockets
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter._sizing import PROCESS, sizing
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import LOOPBACK, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.topology import nobody
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    TRUSTING,
    Extension,
    Mail,
    Postfix,
    Service,
    Value,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import TEST, TEST_CLIENT, Amavis, Perl, perl

RUNS = ("amavis",)  # it runs where this concern contributes to it
Variables = filtering.Variables

_BANKS: dict[Mail, str] = {"world": "", "users": "USERS", "hosts": "HOST"}  # amavis's policy banks, by whose mail it is
# What amavis opens archives with
_DECODERS = (
    "arj", "binutils", "bzip2", "cabextract", "cpio", "lz4", "lzop", "p7zip-full", "rpm2cpio", "unrar-free", "xz-utils",
    "zstd",
)  # fmt: skip

# Kinds of archives by what file(1) calls them: amavis has the words of an older one, and does not know the last.
_KINDS = {"XZ compressed": "xz", "LZMA compressed": "lzma", r"Windows imaging \(WIM\)": "wim"}


def check(site: Site) -> Iterator[Problem]:
    if filtering.is_on(site) and site.is_empty("mail_filter"):
        yield nobody("mail_filter")


def elastic_memory(site: Site, host: Host) -> Memory | None:
    if not filtering.filters(site, host):
        return None
    processes = sizing(site, host).processes
    what = f"{processes} amavis processes of {PROCESS // MB} MB"
    return Memory(processes * PROCESS, what, "content filter")


def links(site: Site, host: Host) -> Links:
    return sockets.links(site, host)


# --- Postfix


def postfix(site: Site, host: Host) -> Postfix | None:
    if not filtering.filter_hosts(site):
        return None
    size = sizing(site, host)
    before = filtering.before_queue(site)

    def queued(way: Mail) -> dict[str, Value]:
        # Addresses are rewritten once, when mail comes back: policies go by the recipient as it was written.
        amavis = f"amavis:unix:{sockets.filter_socket(site, host, way)}"
        return {"content_filter": amavis, "receive_override_options": "no_address_mappings"}

    def through(way: Mail) -> dict[str, Value]:
        if not before:
            return queued(way)
        # Postfix takes the whole message before it connects, so that slow clients keep no amavis process busy.
        amavis = f"unix:{sockets.filter_socket(site, host, way)}"
        return {"smtpd_proxy_filter": amavis, "smtpd_proxy_options": "speed_adjust"}

    # Mail of programs has nobody in front of it who could be told in the SMTP dialogue: it is filtered after the queue.
    return Postfix(
        services={
            "amavis/unix": Service(
                "lmtp",  # the client of Postfix that knows Unix sockets
                maxproc=str(size.processes),
                options={
                    "lmtp_send_xforward_command": True,
                    "lmtp_data_done_timeout": "1200s",
                    "lmtp_tls_security_level": "none",
                    "lmtp_tls_policy_maps": "",
                    "lmtp_sasl_auth_enable": False,
                    "lmtp_connection_cache_on_demand": False,  # an idle connection keeps a process of amavis busy
                    "max_use": 20,
                },
            ),
            **{
                f"{name}/unix": Service("smtpd", private="n", returns=way, options=_back(before))
                for way, name in sockets.FILTERED.items()
            },
        },
        extensions={
            "world": Extension(str(size.connections), through("world")),
            "users": Extension(options=through("users")),
            "hosts": Extension(options=queued("hosts")),
        },
    )


def _back(before: bool) -> dict[str, Value]:
    """Return the options of the smtpd that takes filtered mail, without asking everything again.

    At a Unix socket each client is 127.0.0.1 for smtpd; the folder says who may be one.
    """
    once = ["no_unknown_recipient_checks"]
    return {
        **TRUSTING,
        "syslog_name": "postfix/filtered",
        "content_filter": "",
        "smtpd_proxy_filter": "",
        # header_checks have had their turn where mail has been in the queue already
        "receive_override_options": once if before else [*once, "no_header_body_checks"],
        "smtpd_milters": "",  # but those that see filtered mail (Milter.filtered)
        "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
        "smtpd_recipient_restrictions": ["permit_mynetworks", "reject"],
        "smtpd_data_restrictions": "",
        "smtpd_end_of_data_restrictions": "",
        "smtpd_client_auth_rate_limit": 0,
        "smtpd_recipient_limit": 50000,
        "smtpd_error_sleep_time": 0,
        "smtpd_soft_error_limit": 1001,
        "smtpd_hard_error_limit": 1000,
        "message_size_limit": 0,  # the limit was for what came; the filter adds lines
    }


# --- amavis


def amavis(site: Site, host: Host) -> Amavis | None:
    if not filtering.filters(site, host):
        return None
    home = sockets.back_socket(host, host if site.sends(host) else site.senders[0], "world")
    kinds = ", ".join(f"[qr'^{text}' => '{kind}']" for text, kind in _KINDS.items())
    settings: dict[str, t.Any] = {
        "$myhostname": str(host.name),
        "$mydomain": str(site.domains[0]),
        "@local_domains_maps": [[str(name) for name in site.domains]],
        "$recipient_delimiter": "+",
        "$max_servers": sizing(site, host).processes,
        "$max_requests": 50,
        "$MAX_EXPANSION_QUOTA": sizing(site, host).largest,
        "$child_timeout": 300,
        "$enable_db": False,
        "$inet_socket_port": [],  # amavis's default is 10024
        "$unix_socket_mode": Perl("0660"),
        "@client_ipaddr_policy": [[TEST_CLIENT], TEST],
        # For what comes from no Postfix: mail that is released from the quarantine
        "$forward_method": f"smtp:{home}",
        "$notify_method": f"smtp:{home}",
        "$X_HEADER_LINE": f"amavis at {host.name}",
        "$remove_existing_x_scanned_headers": True,
        "$remove_existing_spam_headers": True,
        "$undecipherable_subject_tag": "",
        "@map_full_type_to_short_type_maps": [Perl(f"new_RE({kinds})"), Perl(r"\$map_full_type_to_short_type_re")],
        "@decoders": [Perl("@decoders"), ["wim", Perl(r"\&Amavis::Unpackers::do_7zip"), ["7zz", "7z"]]],
    }
    # Users' mail is searched for viruses and banned files, and is no spam for coming from a dial-up line.
    bank: dict[str, t.Any] = {
        "originating": True,
        "bypass_spam_checks_maps": [True],
        "bypass_header_checks_maps": [True],
    }
    settings["$policy_bank{'USERS'}"] = {**bank, "client_ipaddr_policy": []}
    settings["$policy_bank{'HOST'}"] = bank
    listening: list[str] = []
    for sender in site.senders:
        # Mail between hosts of the site is told by its address, which Postfix says and nobody else can (XFORWARD). Mail
        # of the host's own programs comes back as such; other hosts have no need of port 25 for theirs.
        programs = f"hosts-{sender.name}"
        own = {"client_ipaddr_policy": [[TEST_CLIENT], TEST, [*LOOPBACK], programs, [*site.own_addresses], "HOST"]}
        for way, base in _BANKS.items():
            known = own if way == "world" else {}
            socket, name = sockets.amavis_socket(site, host, sender, way), f"{way}-{sender.name}"
            settings[f"$interface_policy{{'{socket}'}}"] = name
            settings[f"$policy_bank{{'{name}'}}"] = _bank(base, f"smtp:{sockets.back_socket(host, sender, way)}", known)
            listening.append(socket)
    settings["@listen_sockets"] = listening
    in_chroot = any(socket.startswith(CHROOT) for socket in listening)
    for_links = any(socket.startswith(sockets.AMAVIS_LINKS) for socket in listening)
    # A socket takes its group from the folder.
    folders = {
        Directory(f"{CHROOT}/{sockets.AMAVIS_FOLDER}", "2750", "amavis", "postfix"): in_chroot,
        Directory(sockets.AMAVIS_LINKS, "2750", "amavis", POSTDROP): for_links,
    }
    return Amavis(
        settings=settings,
        groups=[POSTDROP],
        directories=[folder for folder, used in folders.items() if used],
        packages=[
            *_DECODERS,
            "libfile-libmagic-perl",  # which spares a process of file(1) for each part
            "postfix",
        ],
        checks=[HealthCheck("smtp_greeting", {"path": socket}) for socket in listening],
        notes=[sentence(site, host)],
    )


def _bank(base: str, back: str, known: dict[str, t.Any]) -> Perl:
    """Return a socket's policy bank: what holds for a way of mail, which is written before it, and the way back.

    known: what chooses another bank by the client's address.
    """
    inherited = f"%{{$policy_bank{{'{base}'}}}}, " if base else ""
    own = {"protocol": "SMTP", "forward_method": back, "notify_method": back, **known}
    return Perl(f"{{{inherited}{perl(own).strip('{}')}}}")

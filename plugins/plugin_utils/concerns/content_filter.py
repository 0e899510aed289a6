# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Content filter: amavis looks into mail before Postfix queues it, or afterwards, by as many processes as fit."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils import links
from ansible_collections.postamt.mail.plugins.plugin_utils.plan import Question
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.amavis import Amavis
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.postfix import (
    TRUSTING,
    Extension,
    Postfix,
    Service,
    Value,
)
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import Problem
from ansible_collections.postamt.mail.plugins.plugin_utils.site import Host, Site
from ansible_collections.postamt.mail.plugins.plugin_utils.sizing import MB, sizing

WORLD, USERS, HOST = 10024, 10026, 10027  # amavis's ports, by who sends: each has its policy bank
BACK = f"127.0.0.1:{links.FILTERED}"  # where Postfix takes filtered mail

# What amavis opens archives with
_DECODERS = ("arj", "binutils", "cabextract", "cpio", "lz4", "lzop", "p7zip-full", "rpm2cpio", "unrar-free", "xz-utils")


def check(site: Site) -> Iterator[Problem]:
    for host in filter(site.filters, site.hosts.values()):
        size = sizing(site, host)
        if not size.fits:
            allowed = (
                "set mail_antivirus: false, or mail_clamav_server: ADDRESS where clamd of another host does it, or add "
                f"{(size.needed - size.memory - size.swap) // MB + 1} MB of memory or swap"
            )
            yield Problem(f"memory of host {host.name}", None, f"is too little for the {size.sentence()}; {allowed}")
    wanted = site.core.mail_filter_processes
    if wanted is not None and wanted < 1:
        yield Problem("mail_filter_processes", wanted, "must be at least 1")


# --- Postfix


def postfix(site: Site, host: Host) -> Postfix | None:
    if not site.filter_hosts or not site.sends(host):
        return None
    size = sizing(site, host)
    amavis = links.FILTERS if links.filter_is_linked(site, host) else "127.0.0.1"
    before = site.core.mail_content_filter == "before_queue"

    def queued(port: int) -> dict[str, Value]:
        # Addresses are rewritten once, when mail comes back: policies go by the recipient as it was written.
        return {"content_filter": f"amavis:[{amavis}]:{port}", "receive_override_options": "no_address_mappings"}

    def through(port: int) -> dict[str, Value]:
        if not before:
            return queued(port)
        # Postfix takes the whole message before it connects, so that slow clients keep no amavis process busy.
        return {"smtpd_proxy_filter": f"{amavis}:{port}", "smtpd_proxy_options": "speed_adjust"}

    # Mail of programs has nobody in front of it who could be told in the SMTP dialogue: it is filtered after the queue.
    own = ["pickup/unix", *links.trusting_services(site, host)]
    extensions = dict.fromkeys(own, Extension(options=queued(HOST)))
    if host.does("mail_mx"):
        extensions["smtp/inet"] = Extension(str(size.connections), through(WORLD))
    if host.does("mail_submission"):
        extensions["submission/inet"] = extensions["submissions/inet"] = Extension(options=through(USERS))
    return Postfix(
        services={
            "amavis/unix": Service(
                "smtp",
                maxproc=str(size.processes),
                options={
                    "smtp_send_xforward_command": True,
                    "smtp_data_done_timeout": "1200s",
                    "smtp_tls_security_level": "none",
                    "smtp_tls_policy_maps": "",
                    "smtp_sasl_auth_enable": False,
                    "smtp_connection_cache_on_demand": False,  # an idle connection keeps a process of amavis busy
                    "smtp_dns_support_level": "disabled",
                    "max_use": 20,
                },
            ),
            f"{BACK}/inet": Service("smtpd", private="n", options=_back(before)),
        },
        extensions=extensions,
    )


def _back(before: bool) -> dict[str, Value]:
    """Return the options of the port that takes filtered mail from this host, without asking everything again."""
    once = ["no_unknown_recipient_checks", "no_milters"]
    return {
        **TRUSTING,
        "syslog_name": "postfix/filtered",
        "content_filter": "",
        "smtpd_proxy_filter": "",
        # header_checks have had their turn where mail has been in the queue already
        "receive_override_options": once if before else [*once, "no_header_body_checks"],
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
    if not site.filters(host):
        return None
    # To whom amavis got it from: each sender that is another host has an address of its own here.
    sender = "*" if links.called(site, host, f"filter-{WORLD}") else "[127.0.0.1]"
    back = f"smtp:{sender}:{links.FILTERED}"
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
        "$inet_socket_bind": "127.0.0.1",
        "$inet_socket_port": [WORLD, USERS, HOST],
        "@inet_acl": ["127.0.0.0/8"],
        # Mail between hosts of the site is told by its address, which Postfix says and nobody else can (XFORWARD).
        "@client_ipaddr_policy": [[*site.own_addresses], "HOST"],
        f"$interface_policy{{'{USERS}'}}": "USERS",
        f"$interface_policy{{'{HOST}'}}": "HOST",
        "$forward_method": back,
        "$notify_method": back,
        "$X_HEADER_LINE": f"amavis at {host.name}",
        "$remove_existing_x_scanned_headers": True,
        "$remove_existing_spam_headers": True,
        "$undecipherable_subject_tag": "",
    }
    # Users' mail is searched for viruses and banned files, and is no spam for coming from a dial-up line.
    bank: dict[str, t.Any] = {
        "originating": True,
        "bypass_spam_checks_maps": [True],
        "bypass_header_checks_maps": [True],
    }
    settings["$policy_bank{'USERS'}"] = {**bank, "client_ipaddr_policy": []}
    settings["$policy_bank{'HOST'}"] = bank
    return Amavis(
        settings=settings,
        packages=[*_DECODERS, "libfile-libmagic-perl"],  # which spares a process of file(1) for each part
        questions=[Question("smtp_greeting", {"port": port, "address": "127.0.0.1"}) for port in (WORLD, USERS, HOST)],
    )

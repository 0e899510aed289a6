# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Forwarded mail (SRS): what the site forwards to other servers gets an envelope sender of the site.

So the receiver's SPF check finds a sender for whom the site may send. A notice to that sender comes back to the site,
which hands it on to the stranger. Mail for mailboxes of the site keeps its sender.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.module_utils._programs.postsrsd import FORWARD, REVERSE
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import text as text_record
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.smtp.gateway import Variables as Gateway
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    TRUSTING,
    Postfix,
    Service,
    Table,
    table,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.postsrsd import Postsrsd

RUNS = ("postsrsd",)
_SECRET = "srs"
_SIZE = 5 * MB  # a process of 80 kB for each of Postfix that has asked it
_PORT = 958  # on loopback alone: where Postfix hands itself what needs another sender
_REWRITE = f"tcp:127.0.0.1:{FORWARD}"
_ORIGINAL = f"tcp:127.0.0.1:{REVERSE}"
# Addresses that can be rewritten. Quoted ones leave as they are: nearly nobody has one.
_PLAIN = r"[!#$%&'*+\/=?^_`{|}~a-z0-9.-]{1,128}@[a-z0-9_.-]{1,255}"


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether forwarded mail gets a sender of the site."""

    mail_srs: bool = var(
        "Whether mail of strangers that the site forwards to other servers gets an envelope sender of the site (SRS), "
        "so that a receiver who checks SPF takes it.", True,
    )  # fmt: skip
    mail_srs_domain: Domain | None = var(
        "Domain of these senders: the first of mail_domains by default. Another one must be used for nothing else, and "
        "needs its records in the DNS first.", None,
        example="srs.example.org",
    )  # fmt: skip
    mail_srs_exempt: list[Domain] = var(
        "Further domains whose envelope senders stay as they are, since their SPF records name the site's hosts.", [],
        example="[shop.example]",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    domain = site.of(Variables).mail_srs_domain
    names = {str(site.server_name), *(str(host.name) for host in site.hosts.values())}
    if domain in site.of(Gateway).mail_gateway:
        yield Problem("mail_srs_domain", domain, "must not be one of mail_gateway, whose mail goes to another server")
    if domain and str(domain) in names:
        yield Problem("mail_srs_domain", domain, "must not be the name of a host: that receives mail for its own users")


def applies(site: Site, host: Host) -> bool:
    return site.of(Variables).mail_srs and site.sends(host)


def secrets(site: Site) -> list[str]:
    return [_SECRET] if site.of(Variables).mail_srs and site.senders else []


def postsrsd(site: Site, host: Host) -> Postsrsd:
    return Postsrsd(_domain(site), site.secrets.get(_SECRET))


def postfix(site: Site, host: Host) -> Postfix:
    """Hand what leaves with a stranger's sender to a second cleanup(8), which asks PostSRSd for another sender.

    Mail for mailboxes and gateways has a transport of its own, so it never takes this way.
    """
    domain = _domain(site)
    # Nothing but addresses of this form is looked up, so only they depend on PostSRSd.
    known = f"{table('srs_recipients', 'pcre')},{_ORIGINAL}"
    lists = {"virtual_alias_maps": {"site": [f"pipemap:{{{known}}}"]}}
    tables = {
        "srs_senders": Table("pcre", _senders(site)),
        "srs_recipients": Table("pcre", f"/^(SRS[01]=[^@]+@{_pattern(domain)})$/ $1\n"),
    }
    if host.has("mail_mx"):
        # A forward may come back. Others may not use the domain.
        lists["smtpd_sender_restrictions"] = {"forwarded": [f"check_sender_access pipemap:{{{known},static:OK}}"]}
    parameters: dict[str, list[str]] = {"sender_dependent_default_transport_maps": [table("srs_senders", "pcre")]}
    if _is_own(site):
        parameters["virtual_alias_domains"] = ["$virtual_alias_maps", domain]
        if host.has("mail_mx"):
            tables["srs_domain"] = Table("lmdb", {domain: "550 5.1.7 This sender is unknown here"})
            lists["smtpd_sender_restrictions"]["forwarded"].append(f"check_sender_access {table('srs_domain', 'lmdb')}")
    return Postfix(
        parameters={**parameters},
        lists=lists,
        tables=tables,
        services={
            "srs/unix": _client(site),
            f"127.0.0.1:{_PORT}/inet": _listener(site),
            "srs-cleanup/unix": _CLEANUP,
        },
        checks=[HealthCheck("tls", {"port": _PORT, "address": "127.0.0.1"})],
    )


def memory(site: Site, host: Host) -> Memory:
    return Memory(_SIZE, f"PostSRSd {_SIZE // MB} MB", "senders of forwarded mail")


def dns(site: Site, domain: str) -> Iterator[Record]:
    """Return who receives and sends mail for a domain that is used for these senders alone."""
    own = _domain(site)
    if _is_own(site) and own.endswith(f".{domain}"):
        for host in site.hosts_with("mail_mx"):
            yield Record(own, "MX", f"10 {host.name}.")
        yield text_record(own, f"v=spf1 redirect={site.domains[0]}")


def dns_warnings(site: Site) -> Iterator[str]:
    own = _domain(site)
    if _is_own(site) and not any(own.endswith(f".{domain}") for domain in site.domains):
        yield (
            f"no zone file has the records of {own} (mail_srs_domain), which is below none of mail_domains: publish an "
            f"MX record for each exchanger, and the SPF record v=spf1 redirect={site.domains[0]}"
        )


def _domain(site: Site) -> str:
    return str(site.of(Variables).mail_srs_domain or site.domains[0])


def _is_own(site: Site) -> bool:
    """Tell whether the domain is for these senders alone."""
    return site.of(Variables).mail_srs and bool(site.senders) and _domain(site) not in map(str, site.domains)


def _pattern(name: str) -> str:
    return re.escape(name).replace("/", r"\/")


def _senders(site: Site) -> str:
    """Return which senders are the site's own and stay, and that all others are rewritten (pcre_table(5))."""
    said = site.of(Variables)
    own = {*site.domains, *site.of(Gateway).mail_gateway, *said.mail_srs_exempt, _domain(site), site.server_name}
    own |= {host.name for host in site.hosts.values()}
    lines = [f"/@{_pattern(name)}$/ DUNNO" for name in sorted(map(str, own))]
    return "\n".join([*lines, f"/^{_PLAIN}$/ srs:[127.0.0.1]:{_PORT}", ""])


# Any user of the host may connect to a port of loopback. So both ends show the host's own certificate there.


def _client(site: Site) -> Service:
    shown = site.internal_certificate
    return Service(
        "smtp",
        options={
            "syslog_name": "postfix/srs",
            "smtp_tls_security_level": "encrypt",
            "smtp_tls_wrappermode": True,
            "smtp_tls_policy_maps": "",
            "smtp_tls_chain_files": [shown.key, shown.chain],
            "smtp_tls_loglevel": 0,
            "smtp_sasl_auth_enable": False,
            "smtp_bind_address": "127.0.0.1",
            "smtp_fallback_relay": "",
            "smtp_generic_maps": "",
            "smtp_header_checks": "",
            "smtp_discard_ehlo_keywords": "",
            "smtp_line_length_limit": 0,
        },
    )


def _listener(site: Site) -> Service:
    shown = site.internal_certificate
    return Service(
        "smtpd",
        private="n",
        options={
            **TRUSTING,
            "syslog_name": "postfix/srs",
            "cleanup_service_name": "srs-cleanup",
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_wrappermode": True,
            "smtpd_tls_req_ccert": True,
            "smtpd_tls_chain_files": [shown.key, shown.chain],
            "smtpd_tls_CAfile": CA_FILE,
            "tls_append_default_CA": False,
            "smtpd_tls_loglevel": 0,
            "smtpd_tls_received_header": False,
            "smtpd_client_restrictions": ["permit_tls_all_clientcerts", "reject"],
            # It is asked here as well: what cannot be rewritten now waits, and what never can does not go in circles.
            "smtpd_recipient_restrictions": [f"check_sender_access pipemap:{{{_REWRITE},static:OK}}", "reject"],
            "smtpd_data_restrictions": "",
            "smtpd_end_of_data_restrictions": "",
            "smtpd_discard_ehlo_keywords": "",
            "smtpd_milters": "",
            "content_filter": "",
            "smtpd_proxy_filter": "",
            "receive_override_options": ["no_unknown_recipient_checks", "no_header_body_checks", "no_milters"],
            "local_header_rewrite_clients": "",  # signatures of the message stay right
            "message_size_limit": 0,  # the limit was for what came; each hop adds a line
        },
    )


_CLEANUP = Service(
    "cleanup",
    private="n",
    maxproc="0",
    options={
        "sender_canonical_maps": _REWRITE,
        "sender_canonical_classes": "envelope_sender",
        # All this has been done when the message came.
        **dict.fromkeys(
            ("canonical_maps", "recipient_canonical_maps", "virtual_alias_maps", "masquerade_domains", "always_bcc",
             "sender_bcc_maps", "recipient_bcc_maps"), "",
        ),
        "message_size_limit": 0,
    },
)  # fmt: skip

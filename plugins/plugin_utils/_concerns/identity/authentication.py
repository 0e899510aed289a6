# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of incoming mail (SPF, DKIM, DMARC, ARC): whether mail of other servers comes from whom it says.

Rspamd judges what strangers send to port 25, and nothing else. One field Authentication-Results says what it found.
What fails goes to the folder Junk or is refused, as the domain in From asks for, or as the site wants it.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import Directory, File, HealthCheck
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter.content_filter import Variables as Filter
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._authentication_lua import LUA
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.dkim import Variables as Signatures
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    HOSTS,
    ORIGINATING,
    Milter,
    Postfix,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.rspamd import (
    FOLDER,
    MEMORY,
    SOCKET,
    Rspamd,
    key_path,
)

Action = t.Literal["as_published", "mark", "junk", "refuse"]
JUNK = "X-Junk-Reason"  # the field by which Dovecot files a message in Junk; what comes with one loses it
_MODULE = f"{FOLDER}/postamt_authentication.lua"
_SCRIPT = "/etc/dovecot/sieve/unconfirmed.sieve"
_PLUGINS = "/usr/share/rspamd/plugins"
# Debian 13 has the list in a package of its own, which Rspamd's needs; Debian 12 in Rspamd's
_SUFFIXES = ("/usr/share/publicsuffix/public_suffix_list.dat", "/usr/share/rspamd/effective_tld_names.dat")
_SIGNATURES = 5  # of one message that are verified, Rspamd's default; each costs a question to the DNS
_STRANGER = "192.0.2.1"  # of the health check; an address for documentation (RFC 5737)


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether incoming mail is checked, and what becomes of mail that fails."""

    mail_authentication: bool = var(
        "Whether mail of other servers is checked (SPF, DKIM, DMARC, ARC). The result is in the field "
        "Authentication-Results (RFC 8601).", True,
    )  # fmt: skip
    mail_dmarc_failures: t.Literal["as_published", "junk", "mark"] = var(
        "What becomes of mail that fails DMARC. as_published: what the policy of the domain in From says: refused "
        "(p=reject), filed in the folder Junk (p=quarantine), delivered (p=none). junk: nothing is refused, and goes "
        "to Junk instead. mark: all is delivered.", "as_published",
    )  # fmt: skip
    mail_dmarc_own_domains: t.Literal["as_published", "junk", "refuse"] = var(
        "What becomes at least of mail that strangers send with one of mail_domains in From, and that neither SPF nor "
        "DKIM confirm; also if the DNS has no policy. A stricter policy in the DNS counts.", "junk",
    )  # fmt: skip
    mail_dmarc_overrides: dict[Domain, Action] = var(
        "What becomes of mail that is not confirmed, by the domain in From, with all names below it: mark delivers it, "
        "junk files it in Junk, refuse refuses it, each also if the domain has no policy.", {},
        example="{lists.example.com: mark, bank.example: refuse}",
    )  # fmt: skip
    mail_dmarc_dns_errors: t.Literal["accept", "defer"] = var(
        "What becomes of mail that cannot be judged because the DNS does not answer. accept: it is delivered, and the "
        "field says temperror. defer: the sender is asked to try again (451).", "accept",
    )  # fmt: skip
    mail_arc: bool = var(
        "Whether incoming mail gets a seal (ARC, RFC 8617) with the RSA key of the recipient's domain. Those to whom "
        "a forward goes can see by it that the message was right when it came here. Needs mail_dkim.", True,
    )  # fmt: skip
    mail_arc_trusted: list[Domain] = var(
        "Domains of forwarders and mailing lists whose seals (ARC) are believed: mail that they sealed last does not "
        "fail DMARC if it passed when it came to them.", [],
        example="[lists.example.com]",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    if said.mail_arc_trusted and not said.mail_authentication:
        yield Problem("mail_arc_trusted", None, "needs mail_authentication")
    if said.mail_dmarc_overrides and not said.mail_authentication:
        yield Problem("mail_dmarc_overrides", None, "needs mail_authentication")


def postfix(site: Site, host: Host) -> Postfix | None:
    if not _applies(site, host):
        return None
    socket = f"unix:{SOCKET.removeprefix(f'{CHROOT}/')}"
    milters = [Milter(socket, "sign", "tempfail", ("users", "hosts"), filtered=True)]
    if host.has("mail_mx"):
        # Where amavis filters before the queue, a milter at port 25 sees no message: it judges what amavis hands back.
        milters.append(Milter(socket, "check", "tempfail", ("world",), filtered=_behind(site)))
    return Postfix(milters=milters)


def rspamd(site: Site, host: Host) -> Rspamd | None:
    if not _applies(site, host):
        return None
    said = site.of(Variables)
    sealing = said.mail_arc and site.of(Signatures).mail_dkim
    settings: dict[str, t.Any] = {
        "authserv_id": str(site.server_name),
        "hostname": str(host.name),
        "filtered": _behind(site),
        "own_daemons": [ORIGINATING, HOSTS],
        "own_addresses": [address for one in site.hosts.values() for address in one.addresses],
        "own_domains": [str(domain) for domain in site.domains],
        "suffixes": [*_SUFFIXES],
        "signatures": _SIGNATURES,
        "junk_field": JUNK,
        "failures": said.mail_dmarc_failures,
        "own_failures": said.mail_dmarc_own_domains,
        "overrides": {str(domain): action for domain, action in said.mail_dmarc_overrides.items()},
        "dns_errors": said.mail_dmarc_dns_errors,
        "arc_trusted": [str(domain) for domain in said.mail_arc_trusted],
    }
    return Rspamd(
        sections={
            "postamt_authentication": settings,
            "dkim": {"max_sigs": _SIGNATURES},
            "spf": {},
            "dmarc": {},
            "arc": _seals(site) if sealing else {"sign_inbound": False, "sign_local": False, "domain": {}},
        },
        modules=[_MODULE, *(f"{_PLUGINS}/{name}.lua" for name in ("arc", "dmarc", "spf"))],
        files=[File(_MODULE, LUA)],
        checks=[_judges(site, host)] if host.has("mail_mx") else [],
    )


def dovecot(site: Site, host: Host) -> Dovecot | None:
    if not site.of(Variables).mail_authentication:
        return None
    # The content filter has a script of its own, which comes first.
    name = "sieve_before" if site.of(Filter).mail_content_filter == "off" else "sieve_before2"
    return Dovecot(
        v23={"plugin": {name: _SCRIPT}},
        v24={"sieve_script unconfirmed": {"type": "before", "driver": "file", "path": _SCRIPT}},
        directories=[Directory("/etc/dovecot/sieve")],
        files=[File(_SCRIPT, _SIEVE, build="sieve")],
    )


def memory(site: Site, host: Host) -> Memory | None:
    return MEMORY if _applies(site, host) else None


def _applies(site: Site, host: Host) -> bool:
    """Tell whether a host has part in it: fields that only the checks may write are taken from users' mail as well."""
    return site.of(Variables).mail_authentication and site.sends(host)


def _behind(site: Site) -> bool:
    return site.of(Filter).mail_content_filter == "before_queue"


def _seals(site: Site) -> dict[str, t.Any]:
    keys = {domain: site.dkim_keys[domain].signing.keys for domain in site.domains}
    return {
        "sign_inbound": True,
        "sign_local": True,  # what comes back from a filter comes from the host itself
        "sign_authenticated": False,
        "use_domain": "recipient",
        "use_esld": False,
        "try_fallback": False,
        "allow_hdrfrom_mismatch": True,
        "allow_hdrfrom_multiple": True,
        "allow_username_mismatch": True,
        "domain": {
            str(domain): {"selector": key.selector, "path": key_path(domain, key.selector)}
            for domain, found in keys.items()
            for key in found
            if key.algorithm == "rsa"  # RFC 8617 knows no other
        },
    }


def _judges(site: Site, host: Host) -> HealthCheck:
    line = f"from probe.invalid (unknown [{_STRANGER}]) by {host.name} (Postfix) with ESMTP id probe; {_DATE}"
    return HealthCheck(
        "milter_judges",
        {
            "path": SOCKET,
            "sender": "health-check@example.invalid",
            "recipient": f"postmaster@{site.domains[0]}",
            "client": "127.0.0.1" if _behind(site) else _STRANGER,
            "received": line if _behind(site) else "",
            "name": str(host.name),
        },
    )


_DATE = "Thu, 1 Jan 1970 00:00:00 +0000"
_SIEVE = f"""\
require ["fileinto", "mailbox"];
# Rspamd takes such lines of others away, and adds its own
if exists "{JUNK}" {{
    fileinto :create "Junk";
    stop;
}}
"""

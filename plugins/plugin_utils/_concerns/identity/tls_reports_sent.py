# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS reports sent: domains that want to know are told once a day how TLS connections to their servers went (RFC 8460).

Postfix says of each connection how it went, from version 3.10 (Debian 13) on. The program that counts and writes the
reports is no package of Debian's, so this is off until the administrator brings it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import CHROOT
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._validating import sends_directly
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity.dkim import Variables as Dkim
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, nearest, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Recipient
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Extension, Postfix
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.tlsrpt_reporter import SOCKET, TlsrptReporter, able

RUNS = ("tlsrpt_reporter",)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*@[^@]+")  # it also stands in a command of sendmail's
_SIZE = 60 * MB  # tlsrpt-collectd 30 MB, and as much for a moment where reports are written


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether reports are sent, and from whom they come."""

    mail_tls_reporter: str | None = var(
        "File of tlsrpt-reporter on the controller, relative to the folder that holds the inventory, and in no folder "
        "that Ansible reads. With it, hosts that send mail to the internet mail TLS reports (RFC 8460) to the domains "
        "that want them; this takes Debian 13. Get it by pip download --no-deps tlsrpt-reporter==0.6.0; it is not in "
        "Debian, so by default no reports are sent.", None,
        example="files/tlsrpt_reporter-0.6.0-py3-none-any.whl",
    )  # fmt: skip
    mail_tls_reporter_from: Recipient | None = var(
        "Sender of these reports, in a domain of the site. Questions, and notices of reports that cannot be delivered, "
        "come to this address. postmaster of the first of mail_domains by default.", None,
        example="tls-reporter@example.org",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    sender = said.mail_tls_reporter_from
    if said.mail_tls_reporter is not None and not said.mail_tls_reporter.strip():
        yield Problem("mail_tls_reporter", said.mail_tls_reporter, "must name a file on the controller")
    if said.mail_tls_reporter and not site.of(Dkim).mail_dkim:
        allowed = "must not be set with mail_dkim: false, since a report without a signature is ignored (RFC 8460, 3)"
        yield Problem("mail_tls_reporter", said.mail_tls_reporter, allowed)
    if sender and not _PLAIN.fullmatch(sender):
        allowed = "must have only letters, digits and . _ + = - before the @, and begin with a letter or digit"
        yield Problem("mail_tls_reporter_from", sender, allowed)
    if sender and sender.rpartition("@")[2] not in site.domains:
        known = nearest(sender.rpartition("@")[2], site.domains)
        allowed = f"must be an address in one of mail_domains, so that reports are signed in its name{known}"
        yield Problem("mail_tls_reporter_from", sender, allowed)


def applies(site: Site, host: Host) -> bool:
    return bool(site.of(Variables).mail_tls_reporter) and sends_directly(site, host)


def tlsrpt_reporter(site: Site, host: Host) -> TlsrptReporter:
    said = site.of(Variables)
    return TlsrptReporter(
        str(said.mail_tls_reporter), str(said.mail_tls_reporter_from or f"postmaster@{site.domains[0]}")
    )


def postfix(site: Site, host: Host) -> Postfix | None:
    if not able(host):
        return None
    return Postfix(
        parameters={"smtp_tlsrpt_enable": True, "smtp_tlsrpt_socket_name": SOCKET.removeprefix(f"{CHROOT}/")},
        # The administrator has named these servers, and knows how they do.
        extensions={"relay/unix": Extension(options={"smtp_tlsrpt_enable": False})},
    )


def memory(site: Site, host: Host) -> Memory | None:
    if not able(host):
        return None
    return Memory(_SIZE, f"tlsrpt-reporter {_SIZE // MB} MB", "TLS reports", instead="remove mail_tls_reporter")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postfix's own daemons: the processes behind every mail server, chrooted where they can be, and its name."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import Postfix, Service

RUNS = ("postfix",)  # it runs where this concern contributes to it
EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too

# As Debian ships them; local, virtual, proxymap, qmgr and postlogd need what lies outside the chroot.
_SERVICES = {
    "pickup/unix": Service("pickup", private="n", takes="hosts", wakeup="60", maxproc="1"),
    "cleanup/unix": Service("cleanup", private="n", maxproc="0"),
    "qmgr/unix": Service("qmgr", private="n", chroot=False, wakeup="300", maxproc="1"),
    "tlsmgr/unix": Service("tlsmgr", wakeup="1000?", maxproc="1"),
    "rewrite/unix": Service("trivial-rewrite"),
    "bounce/unix": Service("bounce", maxproc="0"),
    "defer/unix": Service("bounce", maxproc="0"),
    "trace/unix": Service("bounce", maxproc="0"),
    "verify/unix": Service("verify", maxproc="1"),
    "flush/unix": Service("flush", private="n", wakeup="1000?", maxproc="0"),
    "proxymap/unix": Service("proxymap", chroot=False),
    "proxywrite/unix": Service("proxymap", chroot=False, maxproc="1"),
    "smtp/unix": Service("smtp"),
    "relay/unix": Service("smtp", options={"syslog_name": "postfix/relay"}),
    "showq/unix": Service("showq", private="n"),
    "error/unix": Service("error"),
    "retry/unix": Service("error"),
    "discard/unix": Service("discard"),
    "local/unix": Service("local", unprivileged="n", chroot=False),
    "virtual/unix": Service("virtual", unprivileged="n", chroot=False),
    "lmtp/unix": Service("lmtp"),
    "anvil/unix": Service("anvil", maxproc="1"),
    "scache/unix": Service("scache", maxproc="1"),
    "postlog/unix-dgram": Service("postlogd", private="n", chroot=False, maxproc="1"),
}


def applies(site: Site, host: Host) -> bool:
    return bool(host.functions)


def postfix(site: Site, host: Host) -> Postfix:
    return Postfix(
        parameters={
            "compatibility_level": "3.9" if host.version("postfix") >= (3, 9) else "3.6",
            "myhostname": host.name,
            "myorigin": "$myhostname",
            "inet_interfaces": "all" if site.sends(host) else "loopback-only",
            "inet_protocols": "all" if host.look.ipv6 else "ipv4",
            "mynetworks": ["127.0.0.0/8", "[::ffff:127.0.0.0]/104", "[::1]/128"],
            "smtpd_banner": "$myhostname ESMTP",
            "biff": False,
            "disable_vrfy_command": True,
            "virtual_mailbox_limit": 0,
            # A domain that is named means itself: its subdomains may be other people's.
            "parent_domain_matches_subdomains": "",
            # No later hop of this stack (Dovecot's LMTP) takes SMTPUTF8 (RFC 6531), so it is not offered.
            "smtputf8_enable": False,
        },
        services=_SERVICES,
    )

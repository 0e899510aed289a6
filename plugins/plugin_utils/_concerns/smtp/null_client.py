# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Null client: a server that neither receives nor sends mail of its own hands what its programs write to one that does.

Servers of other kinds (group mail_client) log in at the submission hosts; the site's own hand it over by a link.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.links import (
    Incoming,
    Links,
    Outgoing,
    called,
    public,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import CLIENT, Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import CA_FILE, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs._postfix_parts import (
    TRUSTING,
    Extension,
    Postfix,
    Service,
    Table,
    table,
    tls_for_all_mail,
)

EVERYWHERE = ("postfix",)  # hosts that hand their mail on have it too


_HAND_OVER = 949  # on loopback alone: where hosts that do not send mail themselves hand it to those that do
_PORT = 945
_SOCKET = "handed-over"  # where Postfix takes it


def links(site: Site, host: Host) -> Links:
    senders = tuple(site.hosts_with("mail_submission"))
    handing = tuple(filter(site.hands_over, site.hosts.values())) if host in senders else ()
    relay = Outgoing("relay", f"127.0.0.1:{_HAND_OVER}", _PORT, senders, spread=True)
    return Links(
        [relay] if site.hands_over(host) else [], [Incoming("relay", _PORT, handing, public(_SOCKET), reject=True)]
    )


def postfix(site: Site, host: Host) -> Postfix | None:
    """Set up a loopback-only Postfix without mailboxes (Postfix's STANDARD_CONFIGURATION_README), or let clients in."""
    if host.has("mail_submission"):
        # Where there is no port 25 for everybody, the host's own programs have it on loopback.
        services = {} if host.has("mail_mx") else {"127.0.0.1:smtp/inet": _TRUSTING}
        tables = _senders(site)
        if called(site, host, "relay"):
            services[f"{_SOCKET}/unix"] = _HANDED_OVER
            handing = [one.name for one in site.hosts.values() if site.hands_over(one)]
            tables["handed_over"] = Table("lmdb", dict.fromkeys(map(str, [*handing, *site.domains, "<>"]), "OK"))
        return Postfix(services=services, tables=tables)
    if site.sends(host):
        return None
    hop = _login(site, host) if host.has(CLIENT) else _link()
    own = [str(host.name), "localhost", f"localhost.{host.name.partition('.')[2]}"]
    reader = site.postmaster
    return Postfix(
        parameters={
            **hop.parameters,
            "mydestination": "",
            "local_transport": "error:no mailboxes on this host",
            "local_recipient_maps": "",
        },
        # What is for users of the host, root and cron's included, a person reads.
        lists={**hop.lists, "virtual_alias_maps": {"host": [table("own_mail", "lmdb")]}},
        services={"smtp/inet": Service("smtpd", private="n", takes="hosts")},
        extensions=hop.extensions,
        tables={**hop.tables, "own_mail": Table("lmdb", {f"@{name}": str(reader) for name in own} if reader else {})},
        packages=hop.packages,
        secrets=hop.secrets,
    )


def _link() -> Postfix:
    return Postfix(parameters={"relayhost": f"[127.0.0.1]:{_HAND_OVER}", "smtp_tls_security_level": "none"})


def _login(site: Site, host: Host) -> Postfix:
    """Return the way to the submission hosts: TLS with their names verified, and a login."""
    hops = [f"[{one.name}]:587" for one in site.hosts_with("mail_submission")]
    password = site.client_password(host)
    return Postfix(
        parameters={
            "relayhost": hops,
            "smtp_tls_security_level": "secure",
            **tls_for_all_mail(host),
            "smtp_tls_secure_cert_match": ["nexthop", str(site.server_name)],
            "smtp_tls_mandatory_protocols": ">=TLSv1.2",
            # The site's CA, and those that the host trusts, whoever has issued the public certificate.
            "smtp_tls_CAfile": CA_FILE,
            "tls_append_default_CA": True,
            "smtp_sasl_auth_enable": True,
            "smtp_sasl_tls_security_options": "noanonymous",
        },
        lists={"smtp_sasl_password_maps": {"relay": [table("submission_login", "lmdb")]}},
        extensions={"smtp/unix": Extension(chroot=False)},  # /etc/ssl/certs is outside
        tables={"submission_login": Table("lmdb", dict.fromkeys(hops, f"{host.name}:{password}"), secret=True)},
        packages=["libsasl2-modules"],
        secrets=[password],
    )


_TRUSTING = Service(
    "smtpd",
    private="n",
    takes="hosts",
    options={
        **TRUSTING,
        "syslog_name": "postfix/hosts",
        "smtpd_recipient_restrictions": ["reject_non_fqdn_recipient", "reject_unlisted_recipient"],
    },
)

# Links of several hosts end there: the sender is one of theirs, or an account.
_HANDED_OVER = dataclasses.replace(
    _TRUSTING,
    options={
        **_TRUSTING.options,
        "smtpd_sender_restrictions": [
            "reject_unlisted_sender",
            f"check_sender_access {table('handed_over', 'lmdb')}",
            "reject",
        ],
        "parent_domain_matches_subdomains": "",
    },
)


def _senders(site: Site) -> dict[str, Table]:
    """Let each client use the addresses of its host, and those of the site that it lists."""
    owners: dict[str, set[str]] = {}
    for client in site.clients:
        for used in (f"@{client.name}", *client.client_senders):
            owners.setdefault(str(used), set()).add(str(client.name))
    for account in site.accounts if owners else ():
        for address in (account.address, *account.aliases):
            if address in owners:
                owners[str(address)].add(str(account.address))
    pairs = {used: ", ".join(sorted(logins)) for used, logins in owners.items()}
    return {"client_senders": Table("lmdb", pairs)} if pairs else {}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's own policy (MTA-STS): other servers send mail to the site only if its exchangers have valid certificates.

Each domain of the site has the same policy, at https://mta-sts.DOMAIN/.well-known/mta-sts.txt (RFC 8461).
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record, address, published, text
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.acme import Variables as Acme
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.certificates import Variables as Files
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import KeyPair, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.mta_sts_server import PATH, MtaStsServer

RUNS = ("mta_sts_server",)
CERTIFICATE, _PUBLIC = "mta-sts", "public"  # by their names in mail_acme and mail_certificates
_SIZE = 25 * MB
_LONGEST = 253 - len("_mta-sts.")  # of a domain, so that its records have names


@dataclasses.dataclass(frozen=True)
class Variables:
    """Whether the site has a policy, and who serves it."""

    mail_mta_sts_policy: t.Literal["none", "testing", "enforce"] | None = var(
        "Policy of the site's domains (MTA-STS, RFC 8461). enforce: other servers that look at policies send mail only "
        "if the exchanger's certificate is valid. testing: they send anyway, and report what would have failed. none: "
        "an earlier policy is withdrawn. By default the domains have no policy.", None,
    )  # fmt: skip
    mail_mta_sts_max_age: int = var(
        "Seconds for which other servers remember the policy.", 604800, within=range(86400, 31557601)
    )
    mail_mta_sts_serve: bool = var(
        "Whether the mail exchangers serve the policy at their port 443, which nothing else may use. false: another "
        "web server of yours does, and the names mta-sts.DOMAIN are yours to publish.", True,
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    """Yield what would keep other servers from the policy, or from sending mail by it."""
    said = site.of(Variables)
    mode = said.mail_mta_sts_policy
    if mode is None:
        return
    for domain in site.domains:
        if len(domain) > _LONGEST:
            allowed = f"must have at most {_LONGEST} characters, or mail_mta_sts_policy must not be set"
            yield Problem("mail_domains", domain, f"leaves no room for the names of MTA-STS: {allowed}")
    if said.mail_mta_sts_serve:
        wanted = [f"mta-sts.{domain}" for domain in site.domains]
        yield from _lacking(site, CERTIFICATE, wanted, mode, "or set mail_mta_sts_serve: false")
        acme = site.of(Acme).mail_acme.get(CERTIFICATE)
        several = sum(map(site.shows_public, site.hosts.values())) > 1
        if acme and acme.challenge == "http-01" and several:
            allowed = "must be dns-01, since several hosts need the certificate, and http-01 asks any of them"
            yield Problem(f"mail_acme.{CERTIFICATE}.challenge", acme.challenge, allowed)
    if mode == "enforce":
        wanted = [str(host.name) for host in site.hosts_with("mail_mx")]
        yield from _lacking(site, _PUBLIC, wanted, mode, "or set mail_mta_sts_policy: testing")


def _lacking(site: Site, name: str, wanted: Sequence[str], mode: str, instead: str) -> Iterator[Problem]:
    """Yield that a certificate is not there, that it is of the site's own CA, or which names it lacks."""
    acme, file = site.of(Acme).mail_acme.get(name), site.of(Files).mail_certificates.get(name)
    if not acme and not file and name == CERTIFICATE:
        allowed = f"needs certificate {name} in mail_acme or mail_certificates, for {_few(wanted)}; {instead}"
        yield Problem("mail_mta_sts_policy", mode, allowed)
        return
    if mode == "enforce" and not acme and not (file and (file.certificate or file.hook)):
        allowed = (
            f"needs certificate {name} from an authority that the world trusts, and not of the site's own CA: set "
            f"mail_acme.{name} or mail_certificates.{name}; {instead}"
        )
        yield Problem("mail_mta_sts_policy", mode, allowed)
        return
    names = {str(one) for one in (acme.names if acme else file.names if file else ())} or {str(site.server_name)}
    if missing := [one for one in wanted if one not in names]:
        where = f"mail_acme.{name}.names" if acme else f"mail_certificates.{name}.names"
        yield Problem(where, None, f"must have {_few(missing)}, for mail_mta_sts_policy: {mode}; {instead}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _policy(site: Site) -> str:
    """Return the text that other servers fetch (RFC 8461, 3.2)."""
    said = site.of(Variables)
    servers = [f"mx: {host.name}" for host in site.hosts_with("mail_mx")]
    lines = ["version: STSv1", f"mode: {said.mail_mta_sts_policy}", *servers, f"max_age: {said.mail_mta_sts_max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


def dns(site: Site, domain: str) -> Iterator[Record]:
    """Return the record by which others notice a new policy, and where it is served."""
    said = site.of(Variables)
    if said.mail_mta_sts_policy is None:
        return
    version = hashlib.sha256(_policy(site).encode()).hexdigest()[:20]
    yield text(f"_mta-sts.{domain}", f"v=STSv1; id={version}")
    for host in filter(lambda one: applies(site, one), site.hosts.values()):
        yield from (address(f"mta-sts.{domain}", one) for one in published(host))


def dns_warnings(site: Site) -> Iterator[str]:
    """Yield what another web server has to serve."""
    said = site.of(Variables)
    if said.mail_mta_sts_policy is not None and not said.mail_mta_sts_serve:
        lines = " / ".join(_policy(site).splitlines())
        yield (
            f"your web server has to serve the MTA-STS policy at https://mta-sts.DOMAIN{PATH} for each domain, as "
            f"text/plain, in these lines: {lines}"
        )


def applies(site: Site, host: Host) -> bool:
    said = site.of(Variables)
    return said.mail_mta_sts_policy is not None and said.mail_mta_sts_serve and host.has("mail_mx")


def mta_sts_server(site: Site, host: Host) -> MtaStsServer:
    return MtaStsServer(_policy(site), f"mta-sts.{site.domains[0]}", KeyPair.called(CERTIFICATE))


def memory(site: Site, host: Host) -> Memory:
    return Memory(
        _SIZE, f"HAProxy of the MTA-STS policy {_SIZE // MB} MB", "policy", instead="set mail_mta_sts_serve: false"
    )

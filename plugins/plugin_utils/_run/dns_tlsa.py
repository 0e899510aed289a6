# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLSA records in the DNS, compared with the certificates that exchangers show, whoever has published the records."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.identity._exchanger_keys import Variables, coming
from ansible_collections.postamt.mail.plugins.plugin_utils._model import exchangers
from ansible_collections.postamt.mail.plugins.plugin_utils._model.exchangers import Known
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer
from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_rows import Finding
from ansible_collections.postamt.mail.plugins.plugin_utils._run.spf import Ask

_ROOT = "."
_WAYS = {
    True: "publish the right ones instead of those that are there",
    False: "remove them, or set mail_tlsa: true, so that the zones have the right ones",
}


def questions(site: Site) -> Iterator[tuple[str, str]]:
    """Yield what is asked of each exchanger, also where the site has no such records: others may have made some."""
    for host in site.hosts_with("mail_mx"):
        yield exchangers.owner(str(host.name)), "TLSA"
    yield _ROOT, "NS"


def findings(site: Site, ask: Ask) -> list[Finding]:
    """Return what is to be said of all exchangers."""
    found = [one for host in site.hosts_with("mail_mx") for one in _of_host(site, host, ask)]
    return [*found, *_unsigned(site, ask)]


def _of_host(site: Site, host: Host, ask: Ask) -> Iterator[Finding]:
    answer = ask(exchangers.owner(str(host.name)), "TLSA")
    if answer.status == "unknown":
        if not site.of(Variables).mail_tlsa:
            why = f"nobody could say whether {host.name} has TLSA records ({answer.why})"
            yield Finding(f"{why}: servers that use DANE send no mail to it while they get no answer", serious=False)
        return
    records = _usable(answer)
    if not records:
        return
    shown = site.port_25.get(host.inventory_name)
    if shown is None:
        yield Finding(f"not all keys of {host.name} are known, so its TLSA records could not be checked", serious=False)
        return
    strange = sorted({one.key_digest for one in shown if not any(map(one.fits, records))})
    if len(strange) == len({one.key_digest for one in shown}):
        keys = f"the key there (SHA-256 {', '.join(strange)})" if strange else "a certificate: port 25 shows none"
        yield Finding(
            f"no TLSA record of {host.name} in the DNS fits {keys}. Servers that use DANE send it no mail: "
            f"{_WAYS[site.of(Variables).mail_tlsa]}"
        )
        return
    for digest in strange:
        yield Finding(
            f"{host.name} also shows a certificate whose key (SHA-256 {digest}) no TLSA record in the DNS fits. "
            "Servers that use DANE and get this certificate send no mail: publish its record"
        )
    for record in records:
        if not any(one.fits(record) for one in shown) and exchangers.digest_of(record) not in coming(site):
            text = f"{host.name} also has the TLSA record {record}, which fits no certificate that it shows"
            yield Finding(f"{text}: remove it if its key is a former one", serious=False)


def _usable(answer: Answer) -> list[str]:
    return [one for one in map(exchangers.canonical, answer.values) if exchangers.is_usable(one)]


def _unsigned(site: Site, ask: Ask) -> Iterator[Finding]:
    """Yield where records have no effect, and where they could have one."""
    hosts = site.hosts_with("mail_mx")
    answers = {str(host.name): ask(exchangers.owner(str(host.name)), "TLSA") for host in hosts}
    with_records = [name for name, answer in answers.items() if answer.status == "found" and _usable(answer)]
    wanted = sorted({*with_records, *(answers if site.of(Variables).mail_tlsa else ())})
    signed = [name for name in answers if answers[name].secure or _is_signed(name, ask)]
    if not wanted:
        if signed:
            yield Finding(
                f"the zone of {', '.join(signed)} is signed (DNSSEC): with mail_tlsa: true other servers can verify "
                "that they talk to the right server",
                serious=False,
            )
        return
    unsigned = [name for name in wanted if name not in signed and answers[name].status != "unknown"]
    if not unsigned:
        answers = {str(domain): ask(str(domain), "MX") for domain in site.domains}
        open_ = [domain for domain, answer in answers.items() if answer.status == "found" and not answer.secure]
        if open_:
            yield Finding(
                f"the MX record of {', '.join(open_)} is not signed (DNSSEC), so somebody may lead mail to another "
                "server although the exchangers have TLSA records: sign the zone",
                serious=False,
            )
    elif ask(_ROOT, "NS").secure:
        yield Finding(
            f"the TLSA records of {', '.join(unsigned)} have no effect, since the zone is not signed (DNSSEC): sign it",
            serious=False,
        )
    else:
        yield Finding(
            f"it is not known whether the zone of {', '.join(unsigned)} is signed, since the resolver that was asked "
            "does not validate (DNSSEC). TLSA records have an effect in a signed zone only: name a resolver that "
            "validates, with -e dns_resolvers=ADDRESS",
            serious=False,
        )


def _is_signed(name: str, ask: Ask) -> bool:
    return any(ask(name, kind).secure for kind in ("A", "AAAA"))


def next_keys(site: Site, now: float) -> list[str]:
    """Return for each key that comes next whether a host may take it, in sentences."""
    found = []
    for host in site.hosts_with("mail_mx"):
        known = site.tlsa.get(str(host.name), Known())
        served = {one.key_digest for one in site.port_25.get(host.inventory_name, ())}
        for digest in coming(site):
            since = known.usable_from(digest)
            if digest in served:
                said = f"{host.name} shows it: remove it from mail_tlsa_next"
            elif since is None:
                said = f"the DNS has no TLSA record of it for {host.name} yet: publish it, and run this again"
            elif now < since:
                day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since))
                said = f"resolvers may still know older TLSA records of {host.name}: wait until {day}"
            else:
                said = f"{host.name} may use it: run postamt.mail.site"
            found.append(f"next key {digest}: {said}")
    return found

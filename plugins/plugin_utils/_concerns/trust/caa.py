# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CAA: which CAs may issue certificates for the hosts' names (RFC 8659).

A record that is wrong keeps a certificate from being renewed. So by default there is one only where all certificates of
a name are known to come from Let's Encrypt, and never one at a domain: its web server's certificates are others.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.dns_records import Record
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.acme import Variables as Acme
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.trust.certificates import Variables as Certificates
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Domain

_LETS_ENCRYPT = "letsencrypt.org"


@dataclasses.dataclass(frozen=True)
class Variables:
    mail_caa: list[Domain] | None = var(
        "CAs that may issue certificates for the names of hosts that users and other servers see, by the names that "
        "the CAs use in CAA records; [] for no record. By default letsencrypt.org, where mail_acme obtains a name's "
        "certificates from there and none comes from elsewhere.", None, example="[letsencrypt.org, sectigo.com]",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables).mail_caa
    if said and _LETS_ENCRYPT not in said and any(map(_is_lets_encrypt, site.of(Acme).mail_acme.values())):
        allowed = f"must also name {_LETS_ENCRYPT}: certificates of mail_acme come from there"
        yield Problem("mail_caa", list(said), allowed)


def dns(site: Site, domain: str) -> Iterator[Record]:
    said = site.of(Variables).mail_caa
    names = {str(host.name) for host in site.hosts.values() if site.shows_public(host)} | {str(site.server_name)}
    for name in sorted(names - set(map(str, site.domains))):
        if not name.endswith(f".{domain}"):
            continue
        for authority in said if said is not None else [_LETS_ENCRYPT] if _only_lets_encrypt(site, name) else []:
            yield Record(name, "CAA", f'0 issue "{authority}"')


def _only_lets_encrypt(site: Site, name: str) -> bool:
    """Tell whether a name's certificates that a public CA may have issued are all known to be Let's Encrypt's."""
    found = []
    acme = site.of(Acme).mail_acme
    for item in acme.values():
        if name in (item.names or [site.server_name]):
            found.append(_is_lets_encrypt(item))
    for called, other in site.of(Certificates).mail_certificates.items():
        if called not in acme and (other.certificate or other.hook) and (not other.names or name in other.names):
            found.append(False)  # files that lack names here may cover any
    return bool(found) and all(found)


def _is_lets_encrypt(item: object) -> bool:
    host = urlsplit(str(getattr(item, "server", ""))).hostname or ""
    return bool(re.fullmatch(rf"(.+\.)?{re.escape(_LETS_ENCRYPT)}", host))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the DNS answers today, asked of the controller's resolvers or of named ones; an answer is somebody else's text.

"It has none" and "nobody could say" are two things: no decision is made on the second.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable

Status = t.Literal["found", "none", "unknown"]
PATIENCE = 5.0  # seconds for one question, all resolvers and repetitions together
_MOST_VALUES, _LONGEST = 100, 4096  # of an answer: more is no mail record


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was said of one name and type.

    status: found; none where the name or the type does not exist; unknown where nobody could say. values: as a zone
    file has them, but texts (TXT) joined and without quotes; sorted. ttl: seconds for which it may be kept. why: what
    was wrong where it is unknown. secure: whether the resolver has verified it (DNSSEC). alias: the name that was found
    instead (CNAME).
    """

    name: str
    kind: str
    status: Status
    values: tuple[str, ...] = ()
    ttl: int = 0
    why: str = ""
    secure: bool = False
    alias: str = ""


def ask(name: str, kind: str, resolvers: Iterable[str] = (), patience: float = PATIENCE) -> Answer:
    """Ask for the records of a type; resolvers: ADDRESS or ADDRESS#PORT, by default those of /etc/resolv.conf.

    Raises ImportError where dnspython is missing on the controller.
    """
    import dns.exception
    import dns.flags
    import dns.resolver

    try:
        answer = _resolver(list(resolvers), patience).resolve(f"{name.rstrip('.')}.", kind, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return Answer(name, kind, "none")
    except dns.resolver.LifetimeTimeout:
        return Answer(name, kind, "unknown", why=f"no answer within {patience:g} seconds")
    except dns.resolver.NoNameservers as error:
        return Answer(name, kind, "unknown", why=_reason(error))
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Answer(name, kind, "unknown", why=str(error)[:200] or type(error).__name__)
    alias = str(answer.canonical_name).rstrip(".").lower()
    secure = bool(answer.response.flags & dns.flags.AD)
    alias = "" if alias == name.rstrip(".").lower() else alias
    if answer.rrset is None:
        return Answer(name, kind, "none", secure=secure, alias=alias)
    values = sorted(_text(record)[:_LONGEST] for record in list(answer.rrset)[:_MOST_VALUES])
    return Answer(name, kind, "found", tuple(values), answer.rrset.ttl, secure=secure, alias=alias)


def _resolver(resolvers: list[str], patience: float) -> t.Any:
    import dns.flags
    import dns.nameserver
    import dns.resolver

    found = dns.resolver.Resolver(configure=not resolvers)
    if resolvers:
        found.nameservers = [
            dns.nameserver.Do53Nameserver(address, int(port or 53))
            for address, _sign, port in (one.partition("#") for one in resolvers)
        ]
    found.lifetime, found.timeout = patience, patience / 2
    found.use_edns(0, dns.flags.DO, 1232)
    found.flags = dns.flags.RD | dns.flags.AD
    return found


def _text(record: t.Any) -> str:
    if record.rdtype == 16:  # TXT: readers join its strings (RFC 7208 3.3, RFC 6376 3.6.2.2)
        return b"".join(record.strings).decode("ascii", "backslashreplace")
    return str(record.to_text())


def _reason(error: t.Any) -> str:
    """Return what the servers said, such as SERVFAIL; the exception's own text names each of them."""
    said = [str(item[-2] if len(item) > 4 else item[-1]) for item in error.kwargs.get("errors", ())]
    return ", ".join(dict.fromkeys(text[:100] for text in said)) or "no server answered"

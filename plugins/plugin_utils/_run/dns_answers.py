# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the DNS answers today, asked of the controller's resolvers or of named ones; an answer is somebody else's text.

"It has none" and "nobody could say" are two things: no decision is made on the second.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import time
import typing as t
from collections.abc import Callable, Iterable

Status = t.Literal["found", "none", "unknown"]
T = t.TypeVar("T")
PATIENCE = 5.0  # seconds for one question, all resolvers and repetitions together
_MOST_VALUES, _LONGEST = 100, 4096  # of an answer: more is no mail record
_AT_ONCE = 24  # questions
_ALL = 45.0  # seconds for all questions of a run
_SILENT = "no answer within"
# Control characters, and what is no ASCII: names and texts are shown on terminals and written to files.
_UNSEEN = re.compile(r"[^ -~]")
_ESCAPED = re.compile(r"\\(\d{3})")


class DnsError(Exception):
    """The DNS cannot be asked or changed; the text says in one sentence why."""


def need_dnspython() -> None:
    """Raise DnsError where the package is missing, or is too old."""
    try:
        import dns.nameserver  # noqa: F401  # since 2.4
    except ImportError:
        raise DnsError("this needs the Python package dnspython (2.4 or newer) on the controller") from None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was said of one name and type.

    status: found; none where the name or the type does not exist; unknown where nobody could say. values: as a zone
    file has them, but texts (TXT) joined and without quotes (meant() reads them); sorted. ttl: seconds for which it may
    be kept. why: what was wrong where it is unknown. secure: whether the resolver has verified it (DNSSEC). alias: the
    name that was found instead (CNAME).
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
    except dns.resolver.NXDOMAIN as error:  # perhaps of a name to which an alias leads
        return Answer(name, kind, "none", alias=_alias(name, error.canonical_name))
    except dns.resolver.LifetimeTimeout:
        return Answer(name, kind, "unknown", why=f"{_SILENT} {patience:.2g} seconds")
    except dns.resolver.NoNameservers as error:
        return Answer(name, kind, "unknown", why=_reason(error))
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Answer(name, kind, "unknown", why=shown(str(error))[:200] or type(error).__name__)
    alias = _alias(name, answer.canonical_name)
    secure = bool(answer.response.flags & dns.flags.AD)
    if answer.rrset is None:
        return Answer(name, kind, "none", secure=secure, alias=alias)
    if len(answer.rrset) > _MOST_VALUES:  # which of them count, nobody could say
        return Answer(name, kind, "unknown", why=f"more than {_MOST_VALUES} records", secure=secure, alias=alias)
    values = sorted(text_of(record)[:_LONGEST] for record in answer.rrset)
    return Answer(name, kind, "found", tuple(values), answer.rrset.ttl, secure=secure, alias=alias)


def _alias(name: str, found: t.Any) -> str:
    """Return the name of which another one is an alias; found: the last one that was asked for."""
    alias = shown(str(found)).rstrip(".").lower()
    return "" if alias == name.rstrip(".").lower() else alias


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


def text_of(record: t.Any) -> str:
    """Return a record's data as answers here have it."""
    if record.rdtype == 16:  # TXT: readers join its strings (RFC 7208 3.3, RFC 6376 3.6.2.2)
        return shown(b"".join(record.strings).decode("latin-1").replace("\\", "\\092"))
    return shown(str(record.to_text()))


def shown(text: str) -> str:
    """Return text with what no terminal may get as zone files have it: \\027."""
    return _UNSEEN.sub(lambda found: f"\\{ord(found[0]):03d}", text)


def meant(text: str) -> str:
    """Return a text (TXT) of an answer with all that no terminal may get, to be compared and not to be shown."""
    return _ESCAPED.sub(lambda found: chr(int(found[1])), text)


def _reason(error: t.Any) -> str:
    """Return what the servers said, such as SERVFAIL; the exception's own text names each of them."""
    said = [str(item[-2] if len(item) > 4 else item[-1]) for item in error.kwargs.get("errors", ())]
    return ", ".join(dict.fromkeys(shown(text)[:100] for text in said)) or "no server answered"


class Questions:
    """All questions of a run: each is asked once, many at the same time, and all of them within a limit of time.

    resolvers: see ask(). Resolvers that are silent at first are not asked again, so that they cost seconds in all.
    """

    def __init__(self, resolvers: Iterable[str] = (), limit: float = _ALL, patience: float = PATIENCE) -> None:
        need_dnspython()
        self._until = time.monotonic() + limit
        self._patience = patience
        self._known: dict[tuple[str, str], Answer] = {}
        self._why = ""  # nobody is there to be asked
        self._resolvers = self._awake(list(resolvers) or _configured())

    def each(self, function: Callable[[t.Any], T], items: Iterable[t.Any]) -> list[T]:
        """Return what a function says of each item, many at once; the function may use answer() alone."""
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(function, items))

    def fetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Ask what will be needed, all at once: pairs of a name and a type."""
        self.each(lambda pair: self.answer(*pair), dict.fromkeys(wanted))

    def answer(self, name: str, kind: str) -> Answer:
        key = (name.rstrip(".").lower(), kind)
        if key not in self._known:
            self._known[key] = self._asked(*key)
        return self._known[key]

    def _asked(self, name: str, kind: str) -> Answer:
        left = self._until - time.monotonic()
        if self._why or left < 0.1:
            return Answer(name, kind, "unknown", why=self._why or "the time for all questions was over")
        return ask(name, kind, self._resolvers, min(self._patience, left))

    def _awake(self, resolvers: list[str]) -> list[str]:
        found = self.each(lambda one: ask(".", "NS", [one], self._patience), resolvers)
        awake = [one for one, answer in zip(resolvers, found, strict=True) if not answer.why.startswith(_SILENT)]
        if not resolvers:
            self._why = "the controller has no resolver"
        elif not awake:
            self._why = f"no answer from {', '.join(resolvers)}"
        return awake


def _configured() -> list[str]:
    """Return the resolvers of /etc/resolv.conf."""
    import dns.resolver

    try:
        return [str(server) for server in dns.resolver.Resolver().nameservers]
    except (dns.resolver.NoResolverConfiguration, OSError):
        return []

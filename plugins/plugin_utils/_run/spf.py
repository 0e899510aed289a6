# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SPF (RFC 7208): what a record comes to once all look-ups are made, and whether it lets an address send.

Records are other people's text and may include each other without end: look-ups, depth and terms are bounded.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
from collections.abc import Callable, Iterable

from ansible_collections.postamt.mail.plugins.plugin_utils._run.dns_answers import Answer

Ask = Callable[[str, str], Answer]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_LOOKUPS, MOST_VOID = 10, 2  # 4.6.4
_MOST_EXCHANGERS = 10
_QUESTIONS, _DEPTH, _TERMS = 80, 12, 100  # where this program stops
_QUALIFIERS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([-+~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.*))?", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Term:
    """One mechanism: to which addresses it applies, itself or by the policy inside of it."""

    says: str
    networks: tuple[Network, ...] = ()
    inside: Policy | None = None
    everyone: bool = False


@dataclasses.dataclass(frozen=True)
class Policy:
    terms: tuple[Term, ...] = ()
    redirect: Policy | None = None

    def says(self, address: str) -> str:
        """Return pass, fail, softfail or neutral for an address; what depends on the message applies to none."""
        one = ipaddress.ip_address(address)
        for term in self.terms:
            within = any(one.version == network.version and one in network for network in term.networks)
            if term.everyone or within or (term.inside and term.inside.says(address) == "pass"):
                return term.says
        return self.redirect.says(address) if self.redirect else "neutral"


def is_spf(text: str) -> bool:
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def end(text: str) -> str:
    """Return what a record says of everyone else, such as -all; nothing where another record says it."""
    words = text.lower().split()
    said = next((word for word in words if re.fullmatch("[-+~?]?all", word)), "")
    return said or ("" if any(word.startswith("redirect=") for word in words) else "?all")


class Walk:
    """One record with all that it leads to.

    lookups: how many terms ask the DNS, all of them together. void: how many names gave nothing. wrong: sentences on
    what makes it invalid. unknown: why it could not be followed. names: all that it includes.
    """

    def __init__(self, domain: str, text: str, ask: Ask) -> None:
        self.lookups = self.void = 0
        self.wrong: list[str] = []
        self.unknown = ""
        self.names: set[str] = set()
        self._ask = ask
        self._left = _QUESTIONS
        self.policy = self._follow(domain.lower(), text, ())

    @property
    def cut(self) -> bool:
        """Tell whether it leads on beyond what this program follows."""
        return self._left <= 0

    def _follow(self, domain: str, text: str, above: tuple[str, ...]) -> Policy:
        terms, redirect = [], ""
        for word in text.split()[1 : _TERMS + 1]:
            found = _TERM.fullmatch(word)
            modifier = _MODIFIER.fullmatch(word)
            if found:
                terms.append(self._term(found, domain, (*above, domain)))
            elif modifier and modifier[1].lower() == "redirect":
                redirect = modifier[2].lower().rstrip(".")
            elif not modifier:
                self._say(f"the SPF record of {domain} has the word {word[:60]}, which means nothing")
        if not redirect or any(term.everyone for term in terms):
            return Policy(tuple(terms))
        return Policy(tuple(terms), self._other(redirect, domain, (*above, domain)))

    def _term(self, found: re.Match[str], domain: str, above: tuple[str, ...]) -> Term:
        says, name = _QUALIFIERS[found[1] or "+"], found[2].lower()
        rest = found[4] or ""
        if name == "all":
            return Term(says, everyone=True)
        if name in ("ip4", "ip6"):
            return Term(says, self._networks([rest]))
        if name == "include":
            target = rest.lower().rstrip(".")
            self.names.add(target)
            return Term(says, inside=self._other(target, domain, above))
        target, lengths = _target(found, domain)
        if name in ("ptr", "exists") or "%" in target:  # depends on the message
            self.lookups += 1
            return Term(says)
        self.lookups += 1
        hosts = [target] if name == "a" else self._exchangers(target)
        return Term(says, self._networks(self._addresses(hosts, lengths, void=name == "a")))

    def _other(self, target: str, domain: str, above: tuple[str, ...]) -> Policy:
        """Return the policy of another name (include, redirect)."""
        self.lookups += 1
        if "%" in target:
            return Policy()
        if target in above:
            self._say(f"the SPF record of {target} includes itself")
            return Policy()
        answer = self._asked(target, "TXT") if len(above) < _DEPTH else None
        if answer is None or answer.status == "unknown":
            return Policy()
        texts = [text for text in answer.values if is_spf(text)]
        if answer.status == "none":
            self.void += 1
        if len(texts) != 1:
            count = "no SPF record" if not texts else "more than one SPF record"
            self._say(f"the SPF record of {domain} includes {target[:100]}, which has {count}")
            return Policy()
        return self._follow(target, texts[0], above)

    def _exchangers(self, domain: str) -> list[str]:
        answer = self._asked(domain, "MX")
        if answer and answer.status == "none":
            self.void += 1
        hosts = [value.split()[-1].rstrip(".") for value in answer.values] if answer else []
        if len(hosts) > _MOST_EXCHANGERS:
            self._say(f"{domain} has more than {_MOST_EXCHANGERS} MX hosts, which its SPF record names")
        return [host for host in hosts if host][:_MOST_EXCHANGERS]

    def _addresses(self, hosts: Iterable[str], lengths: tuple[str, str], void: bool) -> list[str]:
        found: list[str] = []
        for host in hosts:
            answers = [self._asked(host, kind) for kind in ("A", "AAAA")]
            for answer, length in zip(answers, lengths, strict=True):
                found += [f"{value}{length}" for value in (answer.values if answer else ())]
            if void and all(answer and answer.status == "none" for answer in answers):
                self.void += 1
        return found

    def _asked(self, name: str, kind: str) -> Answer | None:
        self._left -= 1
        if self._left < 0:
            return None
        answer = self._ask(name, kind)
        if answer.status == "unknown":
            self.unknown = self.unknown or f"{name[:100]} {kind}: {answer.why}"
        return answer

    def _networks(self, texts: Iterable[str]) -> tuple[Network, ...]:
        found = []
        for text in texts:
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                self._say(f"an SPF record has the address {text[:60]}, which is none")
        return tuple(found)

    def _say(self, sentence: str) -> None:
        if sentence not in self.wrong and len(self.wrong) < 3:
            self.wrong.append(sentence)


def _target(found: re.Match[str], domain: str) -> tuple[str, tuple[str, str]]:
    """Return the name that a or mx asks for, and the lengths of its networks: a:mail.example.org/28//64."""
    text = f"{found[3] or ''}{found[4] or ''}"
    name, slash, lengths = text.partition("/")
    four, double, six = f"{slash}{lengths}".partition("//")
    target = name.removeprefix(":").lower().rstrip(".") or domain
    return target, (four, f"/{six}" if double else "")


def same(one: str, other: str) -> bool:
    """Tell whether two records have the same words, whatever their order and case."""

    def words(text: str) -> t.Any:
        plain = [word.removeprefix("+") for word in text.lower().split()]
        return sorted(plain[:-1]), plain[-1]

    return bool(words(one) == words(other))

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
Says = t.Literal["pass", "fail", "softfail", "neutral", "unclear"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_LOOKUPS, MOST_VOID = 10, 2  # 4.6.4
_MOST_EXCHANGERS = 10
_QUESTIONS, _DEPTH, _TERMS = 80, 12, 100  # where this program stops
_QUALIFIERS: dict[str, Says] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([-+~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)([:/].*)?", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", re.IGNORECASE)
_LENGTH = r"(0|[1-9][0-9]{0,2})"
_TARGET = re.compile(rf"(?::(.*?))?(?:/{_LENGTH})?(?://{_LENGTH})?")  # of a and mx: 5.3, 5.4
_ADDRESS = re.compile(rf":([0-9a-f.:]+)(?:/{_LENGTH})?", re.IGNORECASE)  # 5.6
_MACRO = re.compile(r"%(?:\{[slodiphcrtv][0-9]*r?[-.+,/_=]*\}|[%_-])", re.IGNORECASE)  # 7.1
_TOP_LABEL = re.compile("(?=[a-z0-9-]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
# Nobody has these (RFC 5737, 3849, 9637): where all of a version may send, everybody may.
_STRANGERS = (("203.0.113.77", "198.51.100.77"), ("2001:db8:ffff::1", "3fff:ff::1"))


@dataclasses.dataclass(frozen=True)
class Term:
    """One mechanism: to which addresses it applies, itself or by the policy inside of it.

    everyone: to all. unclear: that depends on the message.
    """

    says: Says
    networks: tuple[Network, ...] = ()
    inside: Policy | None = None
    everyone: bool = False
    unclear: bool = False

    def applies(self, one: Address) -> bool | None:
        """Tell whether it applies to an address; None where that depends on the message."""
        if self.inside:
            said = self.inside.verdict(one)
            return None if said == "unclear" else said == "pass"
        if self.unclear:
            return None
        return self.everyone or any(one.version == network.version and one in network for network in self.networks)


@dataclasses.dataclass(frozen=True)
class Policy:
    terms: tuple[Term, ...] = ()
    redirect: Policy | None = None
    unclear: bool = False

    def says(self, address: str) -> Says:
        """Return what is said of an address; unclear where it depends on the message."""
        return self.verdict(ipaddress.ip_address(address))

    def verdict(self, one: Address) -> Says:
        if self.unclear:
            return "unclear"
        doubts: set[Says] = set()
        said: Says = "neutral"
        for term in self.terms:
            applies = term.applies(one)
            if applies:
                said = term.says
                break
            if applies is None:
                doubts.add(term.says)
        else:
            said = self.redirect.verdict(one) if self.redirect else said
        return said if doubts <= {said} else "unclear"

    @property
    def everybody(self) -> bool:
        """Tell whether any address may send."""
        return any(all(self.says(one) == "pass" for one in strangers) for strangers in _STRANGERS)


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
    what makes it invalid. unknown: why it could not be followed. names: those by which it lets others send. macros:
    whether it lets somebody send by what depends on the message.
    """

    def __init__(self, domain: str, text: str, ask: Ask) -> None:
        self.lookups = self.void = 0
        self.wrong: list[str] = []
        self.unknown = ""
        self.names: set[str] = set()
        self.macros = False
        self._ask = ask
        self._left = _QUESTIONS
        self.policy = self._follow(domain.lower(), text, (), passes=True)

    @property
    def cut(self) -> bool:
        """Tell whether it leads on beyond what this program follows."""
        return self._left <= 0

    def _follow(self, domain: str, text: str, above: tuple[str, ...], passes: bool) -> Policy:
        """Return the policy of a record. passes: whether those that it lets send may send at all."""
        words = [word for word in text.split(" ")[1 : _TERMS + 1] if word]
        for fault in faults(words):
            self._say(f"the SPF record of {domain} {fault}")
        terms: list[Term] = []
        for word in words:
            found = _TERM.fullmatch(word)
            if not found or fault_of(word):
                continue
            terms.append(self._term(found, domain, (*above, domain), passes))
            if found[2].lower() == "all":  # what follows, a redirect too, is for nobody (5.1)
                return Policy(tuple(terms))
        pairs = [found for word in words if (found := _MODIFIER.fullmatch(word)) and not fault_of(word)]
        redirect = next((found[2] for found in pairs if found[1].lower() == "redirect"), "")
        if not redirect:
            return Policy(tuple(terms))
        return Policy(tuple(terms), self._other(redirect, domain, (*above, domain), passes))

    def _term(self, found: re.Match[str], domain: str, above: tuple[str, ...], passes: bool) -> Term:
        says, name, rest = _QUALIFIERS[found[1] or "+"], found[2].lower(), found[3] or ""
        passes = passes and says == "pass"
        if name == "all":
            return Term(says, everyone=True)
        if name in ("ip4", "ip6"):
            return Term(says, (ipaddress.ip_network(rest[1:], strict=False),))
        if name == "include":
            return Term(says, inside=self._other(rest[1:], domain, above, passes))
        self.lookups += 1
        target, lengths = _target(rest, domain)
        if name == "ptr" or "%" in target:
            self.macros = self.macros or passes
            return Term(says, unclear=True)
        if name == "exists":
            return Term(says, everyone=bool(self._addresses([target], ("", ""), void=True, kinds=("A",))))
        hosts = [target] if name == "a" else self._exchangers(target)
        return Term(says, self._networks(self._addresses(hosts, lengths, void=name == "a")))

    def _other(self, target: str, domain: str, above: tuple[str, ...], passes: bool) -> Policy:
        """Return the policy of another name (include, redirect)."""
        self.lookups += 1
        target = target.lower().rstrip(".")
        if "%" in target:
            self.macros = self.macros or passes
            return Policy(unclear=True)
        if passes:
            self.names.add(target)
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
        return self._follow(target, texts[0], above, passes)

    def _exchangers(self, domain: str) -> list[str]:
        answer = self._asked(domain, "MX")
        if answer and answer.status == "none":
            self.void += 1
        hosts = [value.split()[-1].rstrip(".") for value in answer.values] if answer else []
        if len(hosts) > _MOST_EXCHANGERS:
            self._say(f"{domain} has more than {_MOST_EXCHANGERS} MX hosts, which its SPF record names")
        return [host for host in hosts if host][:_MOST_EXCHANGERS]

    def _addresses(
        self, hosts: Iterable[str], lengths: tuple[str, str], void: bool, kinds: Iterable[str] = ("A", "AAAA")
    ) -> list[str]:
        found: list[str] = []
        for host in hosts:
            answers = [self._asked(host, kind) for kind in kinds]
            for answer, length in zip(answers, lengths, strict=False):
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


def faults(words: Iterable[str]) -> Iterable[str]:
    """Yield what makes a record's words invalid, as the end of a sentence whose subject is the record."""
    yield from filter(None, map(fault_of, words))
    names = [found[1].lower() for word in words if (found := _MODIFIER.fullmatch(word))]
    yield from (f"has more than one {name}=" for name in ("redirect", "exp") if names.count(name) > 1)  # 6


def fault_of(word: str) -> str:
    """Return what is wrong with a word, as the end of a sentence."""
    found, modifier = _TERM.fullmatch(word), _MODIFIER.fullmatch(word)
    if found:
        fits = _fits(found[2].lower(), found[3] or "")
    elif modifier:
        fits = modifier[1].lower() not in ("redirect", "exp") or _is_domain(modifier[2])
    else:
        fits = False
    return "" if fits else f"has the word {word[:60]}, which means nothing"


def _fits(name: str, rest: str) -> bool:
    """Tell whether what follows a mechanism's name may stand there."""
    if name == "all":
        return not rest
    if name in ("ip4", "ip6"):
        found = _ADDRESS.fullmatch(rest)
        try:
            return bool(found) and ipaddress.ip_network(rest[1:], strict=False).version == int(name[2])
        except ValueError:
            return False
    if name in ("include", "exists"):
        return rest.startswith(":") and _is_domain(rest[1:])
    if name == "ptr":
        return not rest or (rest.startswith(":") and _is_domain(rest[1:]))
    found = _TARGET.fullmatch(rest)
    if not found:
        return False
    return (found[1] is None or _is_domain(found[1])) and int(found[2] or 0) <= 32 and int(found[3] or 0) <= 128


def _is_domain(text: str) -> bool:
    """Tell whether a text names a domain, with macros or without (7.1: domain-spec)."""
    plain = _MACRO.sub("m", text)
    labels = plain.removesuffix(".").split(".")
    if "%" in plain or not plain.isascii() or len(plain) > 254 or not all(0 < len(label) < 64 for label in labels):
        return False
    return text.endswith("}") or (len(labels) > 1 and _TOP_LABEL.fullmatch(labels[-1]) is not None)


def _target(rest: str, domain: str) -> tuple[str, tuple[str, str]]:
    """Return the name that a term asks for, and the lengths of its networks: a:mail.example.org/28//64."""
    found = _TARGET.fullmatch(rest)
    name, four, six = found.groups() if found else (None, None, None)
    return (name or domain).lower().rstrip("."), (f"/{four}" if four else "", f"/{six}" if six else "")


def same(one: str, other: str) -> bool:
    """Tell whether two records have the same words, whatever their order and case."""

    def words(text: str) -> t.Any:
        plain = [word.removeprefix("+") for word in text.lower().split()]
        return sorted(plain[:-1]), plain[-1]

    return bool(words(one) == words(other))

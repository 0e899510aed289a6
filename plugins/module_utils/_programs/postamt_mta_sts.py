# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's mta-sts-daemon with DANE before MTA-STS: it tells Postfix how a domain's servers are verified.

mta-sts-daemon does not look at DANE, and its answers come before Postfix's own level. RFC 8461, 2 forbids that: a
policy must not let mail pass that DANE would keep. So a domain with a policy is asked for TLSA records here before the
policy counts. A host has this file as /usr/local/lib/postamt/mta-sts; it needs Debian's packages
postfix-mta-sts-resolver and python3-dnspython.
"""

# A command has no AnsibleModule that would end it.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

ANSWERS_WITHIN = 20.0  # seconds; Postfix waits for 100 (socketmap_table(5))
DNS_TIMEOUT = 5.0  # seconds for one question
SERVERS = 20  # of a domain that are asked for
NOTHING = b"NOTFOUND "
# Records that Postfix can verify a server with; others do not count (RFC 7672, 3.1)
USAGES, SELECTORS, DIGESTS = (2, 3), (0, 1), (0, 1, 2)

Ask = Callable[[bytes], Awaitable[bytes]]


class Dane:
    """Tells whether DANE is what a domain's servers are verified by. address, port: of a resolver that validates."""

    def __init__(self, address: str, port: int = 53) -> None:
        self._dns: Any = importlib.import_module("dns.asyncresolver")
        self._errors: Any = importlib.import_module("dns.resolver")
        flags: Any = importlib.import_module("dns.flags")
        self._resolver = self._dns.Resolver(configure=False)
        self._resolver.nameservers, self._resolver.port = [address], port
        self._resolver.timeout, self._resolver.lifetime = DNS_TIMEOUT / 2, DNS_TIMEOUT
        self._resolver.use_edns(0, flags.DO, 1232)
        self._authentic = flags.AD

    async def protects(self, domain: str, port: int) -> bool:
        """Tell whether any server of a domain has TLSA records, in zones that are signed all the way.

        A domain whose MX records are not signed is left to its policy: somebody may have put other servers there.
        Raises what dnspython raises where nobody knows; then mail has to wait.
        """
        found, signed = await self._ask(domain, "MX")
        if not signed:
            return False
        servers = {str(record.exchange) for record in found} or {f"{domain}."}
        asked = [self._has_records(server, port) for server in sorted(servers)[:SERVERS] if server != "."]
        return any(await asyncio.gather(*asked))

    async def _has_records(self, server: str, port: int) -> bool:
        """Tell whether a server has TLSA records: its name, or the one that this is an alias of (RFC 7672, 2.2.2)."""
        answer = await self._answer(server, "A")
        if answer is None or not answer.response.flags & self._authentic:
            return False
        for name in dict.fromkeys((str(answer.canonical_name), server)):
            records, signed = await self._ask(f"_{port}._tcp.{name}", "TLSA")
            if signed and any(map(_is_usable, records)):
                return True
        return False

    async def _ask(self, name: str, kind: str) -> tuple[list[Any], bool]:
        """Return the records of a name, and whether the resolver has verified them."""
        answer = await self._answer(name, kind)
        if answer is None:
            return [], False
        return list(answer), bool(answer.response.flags & self._authentic)

    async def _answer(self, name: str, kind: str) -> Any:
        try:
            return await self._resolver.resolve(name, kind, raise_on_no_answer=False)
        except self._errors.NXDOMAIN:
            return None


def _is_usable(record: Any) -> bool:
    return record.usage in USAGES and record.selector in SELECTORS and record.mtype in DIGESTS


async def answer(request: bytes, policy: Ask, dane: Dane | None) -> bytes:
    """Return what Postfix is told of a destination. policy: asks mta-sts-daemon; both without a netstring's frame.

    request: a map's name, which is not looked at, and what is looked up (socketmap_table(5)).
    """
    try:
        wanted = request.decode("ascii").partition(" ")[2]
        wanted.encode("idna")
    except UnicodeError:
        return NOTHING  # the DNS has no such names
    # An administrator has chosen a host in brackets; a domain above another has no policy for it.
    if not wanted or wanted.startswith(("[", ".")):
        return NOTHING
    try:
        found = await asyncio.wait_for(_both(request, wanted, policy, dane), ANSWERS_WITHIN)
    except Exception as error:  # whatever it is, Postfix needs an answer
        logging.getLogger("STS").warning("%r: %s %s", wanted, type(error).__name__, error)
        return b"TEMP cannot find out how to verify its servers"
    return found


async def _both(request: bytes, wanted: str, policy: Ask, dane: Dane | None) -> bytes:
    found = await policy(request)
    if found.startswith(b"OK ") and dane:
        domain, _colon, port = wanted.partition(":")
        if await dane.protects(domain.rstrip("."), int(port) if port.isdigit() else 25):
            # not Postfix's own level: with that, a server without TLSA records would not be verified at all
            return b"OK dane-only"
    return found


def main() -> int:
    """Run mta-sts-daemon, with its own options and `--dane ADDRESS`: of the resolver that is asked for TLSA records."""
    package = "postfix_mta_sts_resolver"
    daemon: Any = importlib.import_module(f"{package}.daemon")
    frames: Any = importlib.import_module(f"{package}.netstring")
    responder: Any = importlib.import_module(f"{package}.responder").STSSocketmapResponder
    http: Any = importlib.import_module("aiohttp")
    fetching: Any = importlib.import_module(f"{package}.resolver")
    dane = None
    if "--dane" in sys.argv:
        place = sys.argv.index("--dane")
        dane = Dane(sys.argv[place + 1])
        del sys.argv[place : place + 2]
    # A policy of 64 KB is the largest that it reads. Compressed, it would be unpacked before anybody measures it.
    http.ClientSession = functools.partial(http.ClientSession, auto_decompress=False)
    fetching._HEADERS["Accept-Encoding"] = "identity"
    policy = responder.process_request

    async def process_request(self: Any, request: bytes) -> Any:
        async def ask(asked: bytes) -> bytes:
            return b"".join(frames.decode(await policy(self, asked)))

        return frames.encode(await answer(request, ask, dane))

    responder.process_request = process_request
    return int(daemon.main() or 0)


if __name__ == "__main__":
    sys.exit(main())

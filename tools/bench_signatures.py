#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure what signatures cost: one server that signs and verifies, and one that does neither.

Both have the collection's whole content filter. Strangers' mail comes from a third container, signed, and its sender's
domain has SPF, DKIM and DMARC in a DNS with DNSSEC, which is on the first server as well. The site's own mail is what
programs of the servers send. All share this machine's processors: it should have nothing else to do.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / ".cache" / "collections"))
os.environ["ANSIBLE_CONFIG"] = str(REPOSITORY / "examples" / "ansible.cfg")

from ansible_collections.postamt.mail.tests.lib import signed_dns, strangers  # noqa: E402
from ansible_collections.postamt.mail.tools import bench_mail as bench  # noqa: E402

WITH, WITHOUT = "with.example.org", "without.example.org"
DOMAIN = bench.SENDER.rpartition("@")[2]
OFF = {"mail_dkim": False, "mail_authentication": False, "mail_srs": False, "mail_from_of_users": "any"}
COUNT = 150
ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Way:
    """Where mail comes from."""

    title: str
    name: str  # of its files
    sender: str
    own: bool  # sent by a program of the server


WAYS = (
    Way("strangers' mail, verified", "in", bench.SENDER, own=False),
    Way("the site's mail, signed", "out", bench.ACCOUNTS[0], own=True),
)


class Asked:
    """A server as the tests' DNS asks for it."""

    def __init__(self, host: bench.Host) -> None:
        self.host = host

    def check_output(self, command: str, *words: str) -> str:
        return self.host.sh(command % tuple(map(shlex.quote, words)) if words else command)

    def run(self, command: str, *words: str) -> str:
        return self.check_output(f"{{ {command}; }} || true", *words)


def trusted_world(server: bench.Host, client: bench.Host) -> dict[str, object]:
    """Serve what the DNS says of the strangers; returns the variables of a site that asks there."""
    said = {
        f"s1._domainkey.{DOMAIN}": strangers.key_record(),
        DOMAIN: f"v=spf1 ip4:{client.address} -all",
        f"_dmarc.{DOMAIN}": "v=DMARC1; p=reject",
    }
    return signed_dns.trusting(signed_dns.serve([Asked(server)], strangers.zones(said)))


def sees(server: bench.Host, way: Way, wanted: bool) -> None:
    """End where a mailbox does not show that the server has done, or not done, what is measured."""
    words = "Authentication-Results: .*dkim=pass.*dmarc=pass" if not way.own else "DKIM-Signature: .*d=example.org"
    query = f"mailbox INBOX HEADER Message-ID {way.name}-warm-0@bench"
    script = f"doveadm -f flow fetch -u {bench.ACCOUNTS[0]} hdr {query} | tr -d '\\r' | sed -z 's/\\n[ \\t]/ /g'"
    found = server.sh(f"{script} | grep -c '{words}' || true").strip() != "0"
    if found is not wanted:
        raise SystemExit(f"bench-mail: {server.name}: {way.title}: {words} is {'missing' if wanted else 'there'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few messages, to see whether it works")
    count = COUNT // 10 if parser.parse_args().quick else COUNT
    figures = {(way, name): bench.Figures() for way in WAYS for name in (WITH, WITHOUT)}
    with bench.hosts("bench-signatures", WITH, WITHOUT, bench.CLIENT) as (signs, plain, client):
        bench.say("two servers are set up")
        common = {"mail_content_filter": "before_queue"}
        signs.site(**common, **trusted_world(signs, client), mail_authentication=True, mail_from_of_users="own")
        plain.site(**common, **OFF)
        for way in WAYS:
            bench.say(way.title)
            for host in (signs, plain) if way.own else (client,):
                for part, size in (("warm", bench.WARM), *((str(turn), count) for turn in range(ROUNDS))):
                    packed = bench.corpus(f"{way.name}-{part}", size, way.sender, bytes if way.own else signed)
                    host.sh("tar -x -C /var/tmp", packed)
            for host in (signs, plain):
                names = [f"{way.name}-warm-{number}" for number in range(bench.WARM)]
                bench.deliver(host if way.own else client, host, names, sender=way.sender)
                sees(host, way, host is signs)
            for turn in range(ROUNDS):
                for host in (signs, plain) if turn % 2 else (plain, signs):
                    one = figures[way, host.name]
                    names = [f"{way.name}-{turn}-{number}" for number in range(count)]
                    before = host.cpu()
                    wall, late = bench.deliver(host if way.own else client, host, names, sender=way.sender)
                    one.cpu += host.cpu() - before
                    one.wall += wall
                    one.messages += count
                    one.latencies += late
        used = [bench.processes(host) for host in (signs, plain)]
    report(figures, used)


def signed(content: bytes) -> bytes:
    return strangers.signed(content, DOMAIN)


def report(figures: dict[tuple[Way, str], bench.Figures], used: list[dict[str, tuple[int, float]]]) -> None:
    """Print the tables."""
    head = f"{'per s':>9}{'CPU ms':>9}"
    print(f"\n{'':28}{'with signatures':>18}{'without':>18}\n{'':28}{head}{head}{'ratio':>9}")
    for way in WAYS:
        with_, without = figures[way, WITH], figures[way, WITHOUT]
        cells = "".join(f"{one.rate:9.1f}{one.cost:9.0f}" for one in (with_, without))
        print(f"{way.title:28}{cells}{with_.rate / without.rate:9.2f}")
    print(f"\n{'memory, MB':28}{'with signatures':>18}{'without':>18}")
    for name in sorted({*used[0]} - {*used[1]}):
        print(f"{name:28}{used[0][name][1]:18.0f}{'':>18}")
    print(f"{'together':28}" + "".join(f"{sum(size for _n, size in side.values()):18.0f}" for side in used))


if __name__ == "__main__":
    main()

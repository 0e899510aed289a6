"""What slapd is asked, and whether an index answers it.

slapd tells at one log level what it is asked (stats), and at another, with many words, that an index is missing
(filter). At Debian's own level, none, it tells neither.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ansible_collections.postamt.mail.tests.lib.hosts import Host

MISSING = "(mailHomeDirectory=x)"  # there is no index for this one
_ROOT = "-Q -Y EXTERNAL -H ldapi:///"


@contextmanager
def logging(host: Host, level: str) -> Iterator[str]:
    """Have slapd log at this level, and at its own afterwards; gives the time of the beginning, for journalctl(1)."""
    own = host.check_output(f"ldapsearch -LLL {_ROOT} -b cn=config -s base olcLogLevel | sed -n 's/^olcLogLevel: //p'")
    start = host.check_output("date +@%s.%N")
    _set(host, level)
    try:
        yield start
    finally:
        _set(host, own)


def _set(host: Host, level: str) -> None:
    change = f"dn: cn=config\nchangetype: modify\nreplace: olcLogLevel\nolcLogLevel: {level}\n"
    host.check_output(f"printf %s {shlex.quote(change)} | ldapmodify {_ROOT}")


def journal(host: Host, since: str) -> str:
    """Return what slapd has logged since a time."""
    return str(host.check_output(f"journalctl --sync; journalctl -q -o cat -t slapd --since {since}"))


def asked(host: Host, since: str, suffix: str = "o=mail") -> set[str]:
    """Return the filters by which entries below the suffix were looked for, where slapd logged stats."""
    found = re.findall(r' SRCH base="([^"]*)" .*filter="(.*)"', journal(host, since))
    return {query for base, query in found if base.endswith(suffix)}


def unindexed(host: Host, filters: Iterable[str], suffix: str = "o=mail") -> set[str]:
    """Ask these filters, and return the attributes for which slapd missed an index."""
    lines = "".join(f"{one}\n" for one in filters)
    each = "'(&(objectClass=*)%s)'"  # without an equals sign ldapsearch(1) does not take it for a filter
    with logging(host, "filter") as start:
        host.check_output(f"printf %s {shlex.quote(lines)} | ldapsearch -LLL {_ROOT} -b {suffix} -f - {each} 1.1")
        said = journal(host, start)
    assert "Suppressed" not in said
    return set(re.findall(r"<= mdb_\w+_candidates: \((\S+)\) not indexed", said))

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amavis, with SpamAssassin in it: what a concern may contribute, and how that becomes Perl and rules."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.postamt.mail.plugins.module_utils._programs.amavis import SOCKETS
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import (
    ComposeError,
    ConcernError,
    Contributions,
    agreed,
    every,
    files_of,
    merged,
    overridden,
    united,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import (
    HEAD,
    UNITS,
    Directory,
    File,
    HealthCheck,
    Plan,
    Unit,
    make_plan,
)
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.program import Program
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site

MAIN = "/etc/amavis/conf.d/60-postamt"  # read after Debian's own, whose decoders and scanners stay
QUARANTINE = "/var/lib/amavis/virusmails"
RULES = "/etc/spamassassin/postamt.cf"
TEST, TEST_CLIENT = "TEST", "127.127.127.127"  # the policy bank of the filter's test, and the client that has it
# Postfix's proxy says QUIT and leaves.  To amavis the answer that reaches nobody is a fatal error on a Unix socket
# (EPIPE; a TCP socket takes it), and ends the process: each would serve one message.
QUIT = r"""
{
  require Amavis::In::SMTP;
  no warnings 'redefine';
  my $respond = \&Amavis::In::SMTP::smtp_resp;
  *Amavis::In::SMTP::smtp_resp = sub ($$$;$$) {
    return $respond->(@_) unless $_[2] =~ /^221 /;
    eval { $respond->(@_) };
    return;
  };
}
"""
NAME = re.compile(r"[$@%][A-Za-z_]\w*(\{[^{}]+\})*\Z")
PROGRAM = Program(
    title="amavis",
    checker="/usr/sbin/amavisd",
    last=(MAIN,),
    patience=60.0,  # it reads all of SpamAssassin's rules before it answers
)


@dataclasses.dataclass(frozen=True)
class Perl:
    """A value that is Perl already, such as D_REJECT."""

    code: str


@dataclasses.dataclass(frozen=True)
class Amavis:
    """What one concern contributes.

    settings: variables of amavis by name with its sigil ($max_servers, @av_scanners, $policy_bank{'X'}) and plain data;
    rules: lines of SpamAssassin's configuration, in order; groups: further groups of amavis's user while it runs.
    """

    settings: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    rules: Iterable[str] = ()
    groups: Iterable[str] = ()
    files: Iterable[File] = ()
    directories: Iterable[Directory] = ()
    units: Iterable[Unit] = ()
    packages: Iterable[str] = ()
    checks: Iterable[HealthCheck] = ()
    notes: Iterable[str] = ()  # what a run says of this host


def plan(site: Site, host: Host, parts: Contributions, overrides: Mapping[str, t.Any]) -> Plan:
    """Return the plan of amavis for one host."""
    given = overrides.get("settings") or {}
    for owner, names in [("amavis_settings", given), *((f"concern {name}", part.settings) for name, part in parts)]:
        wrong = [name for name in names if not NAME.match(name)]
        if wrong:
            error = ComposeError if owner == "amavis_settings" else ConcernError
            raise error(f"{owner}: {wrong[0]} must be a variable of amavis with its sigil, as $max_servers")
    unit = "amavis.service"
    if not parts:
        return make_plan(enabled=False, units=[Unit(unit, running=False)])
    settings = overridden(merged(parts, "settings", "amavis setting"), given)
    return make_plan(
        packages={"amavisd-new", "spamassassin", *united(parts, "packages")},
        directories=agreed(parts, "directories", "path"),
        files=[
            *files_of(parts, "amavis file"),
            File(f"{UNITS}/{unit}.d/postamt.conf", _drop_in(united(parts, "groups"))),
            File(RULES, "\n".join([HEAD, *every(parts, "rules"), ""])),
            File(MAIN, amavis_conf(settings)),
        ],
        units=[Unit(unit), *agreed(parts, "units", "name")],
        mailname=str(host.name),
        sockets={name: _variable(name, value) for name, value in settings.items() if name.startswith(SOCKETS)},
        notes=every(parts, "notes"),
        checks=every(parts, "checks"),
    )


def _drop_in(groups: Iterable[str]) -> str:
    """Return the drop-in of the daemon: who may read what it writes, and whose files and sockets it may use."""
    return f"{HEAD}\n[Service]\nUMask=0027\nSupplementaryGroups={' '.join(groups)}\n"


def amavis_conf(settings: Mapping[str, t.Any]) -> str:
    """Return a configuration file of amavis (amavisd.conf), sorted by variable; `use strict` finds misspelt ones."""
    lines = [f"{name} = {_variable(name, value)};" for name, value in sorted(settings.items())]
    return "\n".join([HEAD, "use strict;", *lines, QUIT, "1;", ""])


def _variable(name: str, value: t.Any) -> str:
    if name.startswith("@"):
        items = value if isinstance(value, list | tuple) else [value]
        return f"({', '.join(perl(item) for item in items)})"
    if name.startswith("%"):
        return "(" + ", ".join(f"{perl(key)} => {perl(item)}" for key, item in value.items()) + ")"
    return perl(value)


def perl(value: t.Any) -> str:
    """Return plain data as a Perl expression."""
    if isinstance(value, Perl):
        return value.code
    if value is None:
        return "undef"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        # A comma after code: an arrow would make a string of a constant's name.
        pairs = (
            f"{key.code}, {perl(item)}" if isinstance(key, Perl) else f"{perl(key)} => {perl(item)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(perl(item) for item in value) + "]"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Antivirus: ClamAV looks into what amavis has unpacked, with the official signatures, others, or the site's own."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.memory import MB, Memory, doubles
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter._sizing import sizing
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Amavis, Perl
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.clamav import (
    SIGNATURES,
    SOCKET,
    TEST_SIGNATURE,
    TYPES,
    Clamav,
    Value,
)

_OFFICIAL, _OWN = 1250, 50  # MB that clamd takes with the official signatures, or with the site's own only
RUNS = ("clamav",)  # it runs where this concern contributes to it


@dataclasses.dataclass(frozen=True)
class Variables:
    """Where signatures come from, and what happens without a scanner."""

    mail_antivirus_failure: t.Literal["defer", "tag"] = var(
        "What happens to mail while the scanner does not answer: senders are asked to come again later, or it is "
        "delivered unscanned with ***UNCHECKED*** before its subject.",
        "defer",
    )
    mail_clamav_mirror: str | None = var(
        "Private mirror of the official signatures, asked instead of ClamAV's own.", None, example="mirror.example.org"
    )
    mail_clamav_urls: list[str] = var(
        "Further files of signatures that freshclam fetches.", [], example="['https://example.net/extra.ndb']"
    )
    mail_clamav_signatures: list[str] = var(
        "Files of signatures on the controller, in a text format, relative to the folder that holds the inventory, and "
        "in no folder that Ansible reads.", [], example="[files/own.ndb]",
    )  # fmt: skip


def check(site: Site) -> Iterator[Problem]:
    said = site.of(Variables)
    names = {TEST_SIGNATURE.rpartition("/")[2]: "the filter's own test"}  # in one folder on the host
    for path in dict.fromkeys(said.mail_clamav_signatures):
        if path.rpartition(".")[2] not in TYPES:
            yield Problem("mail_clamav_signatures", path, f"must end in one of .{', .'.join(TYPES)}")
        owner = names.setdefault(path.rpartition("/")[2], path)
        if owner != path:
            yield Problem("mail_clamav_signatures", path, f"must have another file name: {owner} has it already")
    for url in said.mail_clamav_urls:
        if not re.fullmatch(r"(https?|file)://[!-~]+", url):
            yield Problem("mail_clamav_urls", url, "must be a URL: https://, http:// or file://")
    if said.mail_clamav_mirror is not None and not re.fullmatch(r"[!-~]+", said.mail_clamav_mirror):
        yield Problem("mail_clamav_mirror", said.mail_clamav_mirror, "must be a host's name or a URL")
    general = site.of(filtering.Variables)
    if general.mail_clamav_server and not general.mail_antivirus:
        yield Problem("mail_clamav_server", general.mail_clamav_server, "must not be set with mail_antivirus: false")
    none = not (general.mail_clamav_official or said.mail_clamav_urls or said.mail_clamav_signatures)
    if none and any(filtering.scans(site, host) for host in site.hosts.values()):
        allowed = "must be true where mail_clamav_urls and mail_clamav_signatures are empty: clamd needs signatures"
        yield Problem("mail_clamav_official", False, allowed)


def memory(site: Site, host: Host) -> Memory | None:
    if not filtering.scans(site, host):
        return None
    size = (_OFFICIAL if site.of(filtering.Variables).mail_clamav_official else _OWN) * MB
    instead = "set mail_antivirus: false, or mail_clamav_server: ADDRESS to use clamd of another host"
    return Memory(size, f"clamd {size // MB} MB", "content filter", instead, doubles=True)


def clamav(site: Site, host: Host) -> Clamav | None:
    if not filtering.scans(site, host):
        return None
    said = site.of(Variables)
    size = sizing(site, host)
    return Clamav(
        settings={
            "LocalSocket": SOCKET,
            "LocalSocketGroup": "clamav",
            "LocalSocketMode": "660",
            "FixStaleSocket": True,
            "User": "clamav",
            "DatabaseDirectory": SIGNATURES,
            "LogSyslog": False,  # what it prints is in the journal
            "MaxThreads": size.threads,
            "MaxConnectionQueueLength": 4 * size.threads,
            "ConcurrentDatabaseReload": doubles(site, host),
            "IdleTimeout": 2,  # seconds; a reload waits for idle threads too
            "SelfCheck": 600,
            "ScanMail": True,
            "ScanArchive": True,
            # What exceeds a limit has not been looked into, and is not called clean.
            "AlertExceedsMax": True,
            "MaxScanSize": f"{size.largest // MB}M",
            "MaxFileSize": f"{size.largest // 2 // MB}M",
            "MaxScanTime": 60000,  # milliseconds
            "ReadTimeout": 120,  # seconds
        },
        updater=_updater(said, site.of(filtering.Variables).mail_clamav_official),
        signatures=said.mail_clamav_signatures,
        readers=["amavis"],  # clamd opens the files that amavis has unpacked
        packages=["amavisd-new"],  # which brings that group
    )


def _updater(said: Variables, official: bool) -> dict[str, Value]:
    if not (official or said.mail_clamav_urls):
        return {}
    found: dict[str, Value] = {
        "DatabaseMirror": "database.clamav.net",  # freshclam wants one, whatever it fetches
        "DatabaseOwner": "clamav",
        "DatabaseDirectory": SIGNATURES,
        "NotifyClamd": "/etc/clamav/clamd.conf",
        "LogSyslog": False,
        "Checks": 24,
        "MaxAttempts": 5,
    }
    if official:
        found["DNSDatabaseInfo"] = "current.cvd.clamav.net"
        if said.mail_clamav_mirror:
            found["PrivateMirror"] = said.mail_clamav_mirror
            found["ScriptedUpdates"] = False
    else:
        found["ExcludeDatabase"] = ["main", "daily", "bytecode"]
    if said.mail_clamav_urls:
        found["DatabaseCustomURL"] = list(said.mail_clamav_urls)
    return found


def amavis(site: Site, host: Host) -> Amavis | None:
    if not site.of(filtering.Variables).mail_antivirus:
        return Amavis(settings={"@bypass_virus_checks_maps": [True], "@av_scanners": [], "@av_scanners_backup": []})
    server = site.of(filtering.Variables).mail_clamav_server
    # A clamd on this host opens the files where they lie; another is sent them.
    ask = ["*", f"clamd:[{server}]:3310"] if server else [Perl(r'"CONTSCAN {}\n"'), SOCKET]
    name = Perl(r"qr/^.*?: (?!Infected Archive)(.*) FOUND$/m")
    defers = site.of(Variables).mail_antivirus_failure == "defer"
    return Amavis(
        settings={
            "@bypass_virus_checks_maps": [],
            "@av_scanners": [["ClamAV", Perl(_ASK), ask, Perl(r"qr/\bOK$/m"), Perl(r"qr/\bFOUND$/m"), name]],
            "@av_scanners_backup": [],
            "$virus_scanners_failure_is_fatal": defers,  # the answer is then "later", and nothing is bounced
            "$subject_tag_maps_by_ccat{+CC_UNCHECKED}": [] if defers else ["***UNCHECKED*** "],
        },
        groups=[] if server else ["clamav"],
        packages=[] if server else ["clamav-base"],  # which brings that group
    )


# clamd calls what exceeds its limits a virus (AlertExceedsMax). It is mail that nobody can look into, as what unpacks
# to too much is for amavis itself, and gets the same category; a virus beside it remains one.
_ASK = r"""sub {
  my($status, $output, $names) = ask_daemon(@_);
  my(@viruses) = grep(!/^Heuristics\.Limits\.Exceeded/, @{$names || []});
  return ($status, $output, $names)  if !$status || !$names || @viruses == @$names;
  return ($status, $output, \@viruses)  if @viruses;
  for my $what ($Amavis::MSGINFO, grep(!$_->bypass_virus_checks, @{$Amavis::MSGINFO->per_recip_data})) {
    $what->add_contents_category(CC_UNCHECKED, $_)  for (0, 2);
  }
  return (0, $output, []);
}"""

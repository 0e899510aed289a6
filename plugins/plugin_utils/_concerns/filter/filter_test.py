# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter's test: each minute a filter has to find a virus of the collection's own, or the links pass it over.

The message goes through amavis and clamd as any other, so a full disk, a scanner that hangs and wrong signatures show.
What the test does is in module_utils/_programs/postamt_filter_test.py.
"""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, File, Unit, command
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox, timer
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _sockets as sockets
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import TEST, TEST_CLIENT, Amavis, Perl
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.clamav import TEST_SIGNATURE, Clamav

_PROGRAM = "/usr/local/lib/postamt/filter-test"
_FOUND = "postamt.mail filter test 6f1d2c0b9ae84f57"  # as in the program


def clamav(site: Site, host: Host) -> Clamav | None:
    return Clamav(files=[File(TEST_SIGNATURE, f"{HEAD}\nPostamt-Filter-Test:0:*:{_FOUND.encode().hex()}\n")])


def amavis(site: Site, host: Host) -> Amavis | None:
    socket = sockets.amavis_socket(site, host, site.senders[0], "world")
    words = [
        *(["--virus"] if site.of(filtering.Variables).mail_antivirus else []),
        *(["--official"] if filtering.scans(site, host) and site.of(filtering.Variables).mail_clamav_official else []),
    ]
    return Amavis(
        settings={
            # Refused whatever is in it, kept nowhere, and nobody is told.
            f"$policy_bank{{'{TEST}'}}": {
                "bypass_spam_checks_maps": [True],
                "bypass_header_checks_maps": [True],
                "bypass_banned_checks_maps": [True],
                "final_destiny_maps_by_ccat": {
                    "REPLACE": True,
                    **{Perl(category): Perl("D_REJECT") for category in ("CC_VIRUS", "CC_UNCHECKED", "CC_CATCHALL")},
                },
                "quarantine_to_maps_by_ccat": {"REPLACE": True},
                "admin_maps_by_ccat": {"REPLACE": True},
                "log_templ": "",
            },
        },
        files=[
            File(_PROGRAM, command("_programs/postamt_filter_test"), "0755"),
            File(
                f"{UNITS}/postamt-filter-test.service",
                _SERVICE.format(head=HEAD, command=" ".join([_PROGRAM, socket, TEST_CLIENT, *words]), limits=_LIMITS),
            ),
            timer(
                "postamt-filter-test",
                "Test the content filter each minute",
                OnActiveSec="1min",
                OnUnitInactiveSec="1min",
                AccuracySec="5s",
            ),
        ],
        units=[Unit("postamt-filter-test.timer")],
    )


# It reaches amavis's socket, and writes to postmaster by sendmail(1), which is setgid.
_LIMITS = sandbox(
    NoNewPrivileges=None,
    CapabilityBoundingSet="CAP_DAC_OVERRIDE CAP_SETGID CAP_SETUID",
    ReadWritePaths="-/var/spool/postfix",
)
_SERVICE = """\
{head}
[Unit]
Description=Test of the content filter
After=amavis.service

[Service]
Type=oneshot
ExecStart={command}
TimeoutStartSec=5min
# What is wrong, and no two lines a minute about a test that passed
SyslogLevel=warning
LogLevelMax=notice
# The links read what was found.
RuntimeDirectory=postamt-filter
RuntimeDirectoryPreserve=yes
{limits}
"""

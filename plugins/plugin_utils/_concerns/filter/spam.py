# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Spam: SpamAssassin scores mail within amavis, and what it calls spam is filed in the folder Junk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, Directory, File, Unit
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox, timer
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import LOOPBACK, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import IPAddress
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import RULES, Amavis
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

SCRIPT = "/etc/dovecot/sieve/junk.sieve"
_PLUGIN = RULES.replace("postamt.cf", "postamt-lists.pm")
_JUNK = """\
require ["fileinto", "mailbox"];
# amavis takes such lines of others away, and adds its own
if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
"""
_KEYS = "/var/lib/spamassassin/sa-update-keys"

# 127.255.255.x says "you ask through a public resolver" and lists nothing, but a good many rules would take it for a
# listing: they look at single bits of the answer, or not at all. Only the rules that are for that answer may go by it.
_ONLY_LISTINGS = """\
# Written by postamt.mail: no answer in 127.255.255.0/24 is a listing.
package Postamt::Lists;
use strict;
use warnings;
use Mail::SpamAssassin::Plugin;
use Mail::SpamAssassin::PerMsgStatus;
use Mail::SpamAssassin::Plugin::URIDNSBL;
our @ISA = ('Mail::SpamAssassin::Plugin');

my $wrapped;

sub new {
    my ($class, $main) = @_;
    my $self = bless $class->SUPER::new($main), $class;
    return $self if $wrapped++;
    my $of_address = Mail::SpamAssassin::PerMsgStatus->can('dnsbl_hit') or die 'this SpamAssassin is too new';
    my $of_link = Mail::SpamAssassin::Plugin::URIDNSBL->can('got_dnsbl_hit') or die 'this SpamAssassin is too new';
    no warnings 'redefine';
    *Mail::SpamAssassin::PerMsgStatus::dnsbl_hit = sub {
        my (undef, $rule, undef, $answer) = @_;
        return $answer->type eq 'A' && refused($answer->address, $rule) ? undef : $of_address->(@_);
    };
    *Mail::SpamAssassin::Plugin::URIDNSBL::got_dnsbl_hit = sub {
        my (undef, undef, undef, $answer, $rule) = @_;
        return refused($answer, $rule) ? undef : $of_link->(@_);
    };
    return $self;
}

sub refused {
    my ($answer, $rule) = @_;
    return $answer =~ /^127\\.255\\.255\\./ && $rule !~ /_BLOCKED/;
}

1;
"""
# It becomes debian-spamd, by runuser(1) and start-stop-daemon(8), for whatever it fetches and compiles.
_LIMITS = sandbox(CapabilityBoundingSet="CAP_AUDIT_WRITE CAP_DAC_OVERRIDE CAP_SETGID CAP_SETUID")
# Debian's package takes the key in only where gpg was there before it. And a sa-update that found no network leaves an
# empty folder, for which SpamAssassin would leave the rules that it was installed with.
_SERVICE = f"""\
{HEAD}
[Service]
ExecStartPre=/bin/sh -c 'test -s {_KEYS}/pubring.kbx || exec runuser -u debian-spamd -- \\
    sa-update --gpghomedir {_KEYS} --import /usr/share/spamassassin/sa-update-pubkey.txt'
ExecStopPost=runuser -u debian-spamd -- find /var/lib/spamassassin -mindepth 1 -type d \\
    ( -name updates_* -o -name [0-9]* ) -empty -delete
{_LIMITS}
"""

# Debian's own service fetches rules and restarts amavis afterwards; the timer is ours.
_UPDATES = (
    File(f"{UNITS}/spamassassin-maintenance.service.d/postamt.conf", _SERVICE),
    timer(
        "postamt-spam-rules",
        "New rules for SpamAssassin every day",
        Unit="spamassassin-maintenance.service",
        OnCalendar="daily",
        RandomizedDelaySec="6h",
        Persistent="yes",
    ),
)


@dataclasses.dataclass(frozen=True)
class Variables:
    """What SpamAssassin goes by."""

    mail_spam_scores: dict[str, float] = var("Scores of SpamAssassin's rules.", {}, example="{HTML_MESSAGE: 0.5}")
    mail_spam_rules: list[str] = var(
        "Lines of SpamAssassin's configuration (Mail::SpamAssassin::Conf(3)), after its own.", [],
        example="['header OUR_LIST List-Id =~ /example/', 'score OUR_LIST -2']",
    )  # fmt: skip
    mail_spam_resolver: IPAddress | None = var(
        "A resolver of the site's own. DNS lists are asked through it; without one they are not, since they answer "
        "nothing of use to public resolvers.", None,
    )  # fmt: skip
    mail_spam_compiled: bool = var(
        "Whether SpamAssassin's rules are compiled (sa-compile(1)): a tenth less processor time for a message, for "
        "100 MB of compiler on the host.", True,
    )  # fmt: skip
    mail_spam_updates: bool = var(
        "Whether sa-update(1) fetches new rules from SpamAssassin every day; needs DNS and HTTP to the world.", True
    )


def check(site: Site) -> Iterator[Problem]:
    for name in site.of(Variables).mail_spam_scores:
        if not (name.isascii() and name.replace("_", "").isalnum()):
            yield Problem(f"mail_spam_scores.{name}", None, "must be the name of a rule, such as HTML_MESSAGE")


def amavis(site: Site, host: Host) -> Amavis | None:
    said = site.of(Variables)
    # Who speaks for a sender is whoever handed the mail to one of these: never a stranger with a private address.
    # SpamAssassin knows loopback itself, and warns at each start of what it is told twice.
    ours = " ".join([one for one in site.own_addresses if one not in LOOPBACK] or LOOPBACK)
    asks = (
        [f"dns_server {said.mail_spam_resolver}", f"loadplugin Postamt::Lists {_PLUGIN}"]
        if said.mail_spam_resolver
        else ["dns_available no"]
    )
    return Amavis(
        settings={
            "@bypass_spam_checks_maps": [],
            "$sa_local_tests_only": not said.mail_spam_resolver,
            "$sa_mail_body_size_limit": 512 * 1024,
            "$sa_spam_subject_tag": None,
            "$sa_tag_level_deflt": -999,  # every message says how it was scored
        },
        rules=[
            *asks,
            "clear_trusted_networks",
            "clear_internal_networks",
            f"trusted_networks {ours}",
            f"internal_networks {ours}",
            *said.mail_spam_rules,
            *(f"score {name} {score}" for name, score in sorted(said.mail_spam_scores.items())),
        ],
        files=[
            *([File(_PLUGIN, _ONLY_LISTINGS)] if said.mail_spam_resolver else []),
            *(_UPDATES if said.mail_spam_updates else []),
        ],
        units=[Unit("postamt-spam-rules.timer")] if said.mail_spam_updates else [],
        packages=[
            *(["sa-compile"] if said.mail_spam_compiled else []),  # it compiles when it is installed, and after updates
            *(["gnupg"] if said.mail_spam_updates else []),  # updates are signed
        ],
    )


def dovecot(site: Site, host: Host) -> Dovecot | None:
    if not filtering.is_on(site):
        return None
    return Dovecot(
        v23={"plugin": {"sieve_before": SCRIPT}},
        v24={"sieve_script junk": {"type": "before", "driver": "file", "path": SCRIPT}},
        directories=[Directory("/etc/dovecot/sieve")],
        files=[File(SCRIPT, _JUNK, build="sieve")],
    )

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Learning: a message that a user moves into Junk, or out of it, teaches SpamAssassin (its Bayes database).

Dovecot hands the message to a script that runs as amavis and keeps it in a spool; systemd has it learned from there, so
that nobody waits for SpamAssassin and no user reaches the database. What is kept there is bounded, and what one account
may teach in a day too, since one database for the site believes all of them.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t
from collections.abc import Iterator

from ansible_collections.postamt.mail.plugins.plugin_utils._compose.plan import HEAD, UNITS, Directory, File, Unit, User
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.unit_files import sandbox
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter import _filtering as filtering
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import Host
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import Problem, var
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import VMAIL, Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import LOGIN_LETTERS
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import RULES, Amavis, Perl
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.dovecot import Dovecot

BAYES = "/var/lib/amavis/bayes"  # a folder for each account below, or one for the site
SPOOL = "/var/lib/amavis/learn"
PROGRAMS = "/usr/local/lib/postamt"
PLUGIN = RULES.replace("postamt.cf", "postamt-bayes.pm")
SCRIPTS = "/etc/dovecot/sieve"
GROUP = "postamt-learn"  # may use the socket where mailboxes belong to the host's users
SOCKETS = "."  # relative to Dovecot's own, which is there on both versions; only 2.4 would make another


@dataclasses.dataclass(frozen=True)
class Variables:
    """What SpamAssassin learns from users."""

    mail_spam_learning: t.Literal["off", "site", "user"] = var(
        "Whether moving mail into Junk or out of it teaches SpamAssassin: one database for the whole site, or one for "
        "each account. A database counts from 200 messages of each kind on.",
        "site",
    )
    mail_spam_learning_daily: int = var(
        "Most messages that one account teaches in a day, so that none decides for all; others are left out.", 50
    )


LARGEST = 256 << 10  # bytes of a message; larger ones are seldom spam
MOST = 1000  # messages in the spool
_LETTERS = LOGIN_LETTERS.replace("-", "")  # of an account's name; those of a user of the host are among them
FOLDERS = ("new", "taught", "tmp", "work")  # of the spool


def check(site: Site) -> Iterator[Problem]:
    daily = site.of(Variables).mail_spam_learning_daily
    if daily < 1:
        yield Problem("mail_spam_learning_daily", daily, "must be at least 1; mail_spam_learning: off learns nothing")


def amavis(site: Site, host: Host) -> Amavis | None:
    mode = site.of(Variables).mail_spam_learning
    if mode == "off":
        return Amavis(rules=["use_bayes 0"])
    each = mode == "user"
    return Amavis(
        settings={"@sa_username_maps": _owners(site)} if each else {},
        rules=[
            "use_bayes 1",
            "bayes_auto_learn 0",  # users know better than scores do
            f"bayes_path {BAYES}/site/bayes",
            *([f"loadplugin Postamt::Bayes {PLUGIN}"] if each else []),
        ],
        directories=[
            Directory(path, "0700", "amavis", "amavis")
            for path in (BAYES, f"{BAYES}/site", SPOOL, *(f"{SPOOL}/{name}" for name in FOLDERS))
        ],
        files=[
            File(f"{PROGRAMS}/learn", _learn(each), "0755"),
            File(
                f"{UNITS}/postamt-learn.service",
                _SERVICE.format(head=HEAD, program=f"{PROGRAMS}/learn", limits=_LIMITS),
            ),
            File(f"{UNITS}/postamt-learn.path", _PATH.format(head=HEAD, spool=SPOOL)),
            *([File(PLUGIN, _bayes_of_account())] if each else []),
        ],
        units=[Unit("postamt-learn.path")],
    )


def _learn(each: bool) -> str:
    """Return the script that teaches what lies in the spool: each account's database, or the site's."""
    chosen = 'database=$account some="work/$kind:$account:"' if each else 'database=site some="work/$kind:"'
    return _LEARN.format(head=HEAD, spool=SPOOL, bayes=BAYES, chosen=chosen)


def _bayes_of_account() -> str:
    return _BAYES_OF_ACCOUNT.replace("FOLDER", BAYES).replace("LETTERS", re.sub(r"(\W)", r"\\\1", _LETTERS))


def _owners(site: Site) -> list[t.Any]:
    """Return by whose database mail is judged: an alias's owner, else the recipient without what follows a plus."""
    owners = {
        str(alias): site.lookups.login(account.address) for account in site.accounts for alias in account.aliases
    }  # others' aliases belong to nobody, and are judged by the site's
    domains = "|".join(str(name).replace(".", r"\.") for name in site.domains)
    name = site.lookups.login("$1@$2")
    return [owners, Perl(rf"new_RE([qr'^([^@+]+)(?:\+[^@]*)?@({domains})$'i => '{name}'])")]


def dovecot(site: Site, host: Host) -> Dovecot | None:
    mode = site.of(Variables).mail_spam_learning
    if mode == "off" or not filtering.filters(site, host):
        return None
    spam, ham = f"{SCRIPTS}/learn-spam.sieve", f"{SCRIPTS}/learn-ham.sieve"
    # Dovecot's processes alone get there. Where they run as the host's users they have the socket's group besides.
    listener = {"group": GROUP, "mode": "0660"} if site.lookups.on_host else {"user": VMAIL, "mode": "0600"}
    daily = site.of(Variables).mail_spam_learning_daily
    return Dovecot(
        trunk={
            **({"mail_access_groups": GROUP} if site.lookups.on_host else {}),
            "service learn": {
                "executable": f"script {PROGRAMS}/keep-for-learning",
                "user": "amavis",
                "unix_listener learn": listener,
            },
        },
        v23={
            "plugin": {
                "sieve_plugins": "sieve_imapsieve sieve_extprograms",
                "sieve_global_extensions": "+vnd.dovecot.pipe +vnd.dovecot.environment",
                "sieve_pipe_socket_dir": SOCKETS,
                "imapsieve_mailbox1_name": "Junk",
                "imapsieve_mailbox1_causes": "COPY",
                "imapsieve_mailbox1_before": f"file:{spam}",
                "imapsieve_mailbox2_name": "*",
                "imapsieve_mailbox2_from": "Junk",
                "imapsieve_mailbox2_causes": "COPY",
                "imapsieve_mailbox2_before": f"file:{ham}",
            }
        },
        v24={
            "sieve_plugins": {"sieve_imapsieve": True, "sieve_extprograms": True},
            "sieve_global_extensions": {"vnd.dovecot.pipe": True, "vnd.dovecot.environment": True},
            "sieve_pipe_socket_dir": SOCKETS,
            "mailbox Junk": {"sieve_script learn_spam": {"type": "before", "cause": "copy", "path": spam}},
            "imapsieve_from Junk": {"sieve_script learn_ham": {"type": "before", "cause": "copy", "path": ham}},
        },
        plugins={"imap": ["imap_sieve"]},
        directories=[Directory(SCRIPTS)],
        files=[
            File(f"{PROGRAMS}/keep-for-learning", _keep(daily), "0755"),
            File(spam, _SIEVE.format(head=HEAD, but="", kind="spam"), build="sieve"),
            File(ham, _SIEVE.format(head=HEAD, but=_NOT_TRASH, kind="ham"), build="sieve"),
        ],
        users=[User(GROUP)] if site.lookups.on_host else [],
        packages=["dovecot-sieve", "amavisd-new"],  # the script runs as amavis's user
    )


_NOT_TRASH = """\
if environment :is "imap.mailbox" "Trash" {
    stop;
}
"""
_SIEVE = """\
{head}
require ["copy", "environment", "imapsieve", "variables", "vnd.dovecot.pipe"];
{but}if environment :matches "imap.user" "*" {{
    set :lower "who" "${{1}}";
}}
pipe :copy "learn" ["{kind}", "${{who}}"];
"""


def _keep(daily: int) -> str:
    """Return the script that takes a message from Dovecot; daily: most that an account teaches in a day."""
    letters = shlex.quote(_LETTERS) + "-"  # at the end it is no range
    return _KEEP.format(head=HEAD, spool=SPOOL, daily=daily, largest=LARGEST, most=MOST, letters=letters)


_KEEP = """\
#!/bin/sh
{head}
# Keep the message on standard input until it is learned, if there is room; $1: spam or ham, $2: the account.
set -eu
umask 077
case "$1" in spam | ham) ;; *) exit 64 ;; esac
case "$2" in "" | .* | *[!{letters}]*) exit 64 ;; esac
cd {spool}
leave_out() {{
    cat > /dev/null # Dovecot would take a pipe that is closed early for a failure
    echo "not learned, since $1" >&2
    exit 0
}}
today=taught/$(date +%F)
mkdir -p "$today"
taught=$(cat "$today/$2" 2> /dev/null | wc -c)
[ "$taught" -lt {daily} ] || leave_out "$2 has taught {daily} messages today"
[ "$(find . -path ./taught -prune -o -type f -print | wc -l)" -lt {most} ] || leave_out "{most} messages wait already"
file=$(mktemp "tmp/$1:$2:XXXXXXXX")
trap 'rm -f "$file"' EXIT
head -c {largest} > "$file"
[ "$(head -c 1 | wc -c)" -eq 0 ] || leave_out "a message of $2 is larger than {largest} bytes"
printf . >> "$today/$2"
mv "$file" new/
"""

_LEARN = """\
#!/bin/sh
{head}
# Teach SpamAssassin what lies in the spool, one call for each database and kind.
set -eu
umask 077
cd {spool}
find taught -mindepth 1 -maxdepth 1 ! -name "$(date +%F)" -exec rm -r {{}} +
find tmp -type f -mmin +60 -delete # left by a script that was killed
rm -rf batch # left by a run that failed: it would be learned as what comes first now
find new -type f -exec mv -t work {{}} +
for first in work/*; do
    [ -e "$first" ] || continue # learned with an earlier one
    name=${{first#work/}}
    kind=${{name%%:*}} name=${{name#*:}}
    account=${{name%:*}}
    {chosen}
    mkdir -p "batch" "{bayes}/$database"
    mv "$some"* batch/
    sa-learn --"$kind" --no-sync --dbpath "{bayes}/$database/bayes" batch || echo "not learned: $kind of $database" >&2
    sa-learn --sync --dbpath "{bayes}/$database/bayes"
    rm -rf batch
done
"""

_LIMITS = sandbox(ReadWritePaths=f"{BAYES} {SPOOL}", RestrictAddressFamilies="AF_UNIX")
_SERVICE = """\
{head}
[Unit]
Description=Learn what users have called spam and what not
# Mail may come as often as users move it.  With a limit systemd would give the watch up, and learning would end.
StartLimitIntervalSec=0

[Service]
Type=oneshot
User=amavis
Group=amavis
ExecStart={program}
Nice=10
{limits}
"""
_PATH = """\
{head}
[Unit]
Description=Mail to learn from

[Path]
DirectoryNotEmpty={spool}/new

[Install]
WantedBy=multi-user.target
"""

_BAYES_OF_ACCOUNT = """\
# Written by postamt.mail: judge mail by what its recipient has taught, where that is anything.
package Postamt::Bayes;
use strict;
use warnings;
use Mail::SpamAssassin::Plugin;
use Mail::SpamAssassin::Bayes;
our @ISA = ('Mail::SpamAssassin::Plugin');

sub new {
    my ($class, $main) = @_;
    return bless $class->SUPER::new($main), $class;
}

sub signal_user_changed {
    my ($self, $options) = @_;
    my ($main, $conf) = ($self->{main}, $self->{main}{conf});
    my $account = lc($options->{username} // '');
    my $folder = "FOLDER/$account";
    $folder = 'FOLDER/site' if $account !~ /^(?!\\.)[LETTERS-]+\\z/ || !-d $folder;
    return if ($conf->{bayes_path} // '') eq "$folder/bayes";
    $conf->{bayes_path} = "$folder/bayes";
    # SpamAssassin has opened the last user's database again before it asks its plugins
    $main->{bayes_scanner}->finish() if $main->{bayes_scanner};
    $main->{bayes_scanner} = Mail::SpamAssassin::Bayes->new($main);
    my $known = $main->{bayes_scanner}->is_scan_available() && $conf->{use_bayes_rules};
    $conf->set_score_set(($main->{local_tests_only} ? 0 : 1) | ($known ? 2 : 0));
    return;
}

1;
"""

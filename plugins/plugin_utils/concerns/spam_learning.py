# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Learning: a message that a user moves into Junk, or out of it, teaches SpamAssassin (its Bayes database).

Dovecot hands the message to a script that runs as amavis and keeps it in a spool; systemd has it learned from there, so
that nobody waits for SpamAssassin and no user reaches the database.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.postamt.mail.plugins.plugin_utils.backends.system import user_of
from ansible_collections.postamt.mail.plugins.plugin_utils.plan import HEAD, UNITS, Directory, File, Unit
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.amavis import RULES, Amavis, Perl
from ansible_collections.postamt.mail.plugins.plugin_utils.programs.dovecot import Dovecot
from ansible_collections.postamt.mail.plugins.plugin_utils.schema import var
from ansible_collections.postamt.mail.plugins.plugin_utils.site import VMAIL, Host, Site
from ansible_collections.postamt.mail.plugins.plugin_utils.unit_files import sandbox

BAYES = "/var/lib/amavis/bayes"  # a folder for each account below, or one for the site
SPOOL = "/var/lib/amavis/learn"
PROGRAMS = "/usr/local/lib/postamt"
PLUGIN = RULES.replace("postamt.cf", "postamt-bayes.pm")
SCRIPTS = "/etc/dovecot/sieve"
SOCKETS = "."  # relative to Dovecot's own, which is there on both versions; only 2.4 would make another


@dataclasses.dataclass(frozen=True)
class Variables:
    """What SpamAssassin learns from users."""

    mail_spam_learning: t.Literal["off", "site", "user"] = var(
        "Whether moving mail into Junk or out of it teaches SpamAssassin: one database for the whole site, or one for "
        "each account. A database counts from 200 messages of each kind on.",
        "site",
    )


def amavis(site: Site, host: Host) -> Amavis | None:
    if not site.filters(host):
        return None
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
            for path in (BAYES, f"{BAYES}/site", SPOOL, f"{SPOOL}/new", f"{SPOOL}/tmp", f"{SPOOL}/work")
        ],
        files=[
            File(f"{PROGRAMS}/learn", _LEARN.format(head=HEAD, spool=SPOOL, bayes=BAYES), "0755"),
            File(
                f"{UNITS}/postamt-learn.service",
                _SERVICE.format(head=HEAD, program=f"{PROGRAMS}/learn", limits=_LIMITS),
            ),
            File(f"{UNITS}/postamt-learn.path", _PATH.format(head=HEAD, spool=SPOOL)),
            *([File(PLUGIN, _BAYES_OF_ACCOUNT.replace("FOLDER", BAYES))] if each else []),
        ],
        units=[Unit("postamt-learn.path")],
    )


def _owners(site: Site) -> list[t.Any]:
    """Return by whose database mail is judged: an alias's owner, else the recipient without what follows a plus."""
    owners = {
        str(alias): _name(site, account.address) for account in site.accounts for alias in account.aliases
    }  # others' aliases belong to nobody, and are judged by the site's
    domains = "|".join(str(name).replace(".", r"\.") for name in site.domains)
    name = "$1@$2" if site.uses_directory else "$1"
    return [owners, Perl(rf"new_RE([qr'^([^@+]+)(?:\+[^@]*)?@({domains})$'i => '{name}'])")]


def _name(site: Site, address: str) -> str:
    return str(address) if site.uses_directory else user_of(address)


def dovecot(site: Site, host: Host) -> Dovecot | None:
    mode = site.of(Variables).mail_spam_learning
    if mode == "off" or not host.does("mail_store") or not site.filters(host):
        return None
    who = '"${who}"' if mode == "user" else '"site"'
    spam, ham = f"{SCRIPTS}/learn-spam.sieve", f"{SCRIPTS}/learn-ham.sieve"
    listener = {"user": VMAIL, "mode": "0600"} if site.uses_directory else {"mode": "0666"}
    return Dovecot(
        trunk={
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
            File(f"{PROGRAMS}/keep-for-learning", _KEEP.format(head=HEAD, spool=SPOOL), "0755"),
            File(spam, _SIEVE.format(head=HEAD, but="", kind="spam", who=who), build="sieve"),
            File(ham, _SIEVE.format(head=HEAD, but=_NOT_TRASH, kind="ham", who=who), build="sieve"),
        ],
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
pipe :copy "learn" ["{kind}", {who}];
"""

_KEEP = """\
#!/bin/sh
{head}
# Keep the message on standard input until it is learned; $1: spam or ham, $2: whose.
set -eu
umask 077
case "$1" in spam | ham) ;; *) exit 64 ;; esac
case "$2" in .* | *[!A-Za-z0-9@._+-]*) exit 64 ;; esac
file=$(mktemp "{spool}/tmp/$1:$2:XXXXXXXX")
cat > "$file"
mv "$file" "{spool}/new/"
"""

_LEARN = """\
#!/bin/sh
{head}
# Teach SpamAssassin what lies in the spool, one call for each account and kind.
set -eu
umask 077
cd {spool}
find new -type f -exec mv -t work {{}} +
for first in work/*; do
    [ -e "$first" ] || continue # learned with an earlier one
    name=${{first#work/}}
    kind=${{name%%:*}} name=${{name#*:}}
    account=${{name%:*}}
    mkdir -p "batch" "{bayes}/$account"
    mv "work/$kind:$account:"* batch/
    sa-learn --"$kind" --no-sync --dbpath "{bayes}/$account/bayes" batch || echo "not learned: $kind of $account" >&2
    sa-learn --sync --dbpath "{bayes}/$account/bayes"
    rm -rf batch
done
"""

_LIMITS = sandbox(ReadWritePaths=f"{BAYES} {SPOOL}", RestrictAddressFamilies="AF_UNIX")
_SERVICE = """\
{head}
[Unit]
Description=Learn what users have called spam and what not

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
    $folder = 'FOLDER/site' if $account !~ /^[a-z0-9_][a-z0-9@._+-]*\\z/ || !-d $folder;
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

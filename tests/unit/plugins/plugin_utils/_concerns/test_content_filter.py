# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a site to its content filter: what amavis, ClamAV and Postfix get, how large, and that off leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._engine import forms
from ansible_collections.postamt.mail.plugins.module_utils._programs.postamt_filter_test import SAMPLES
from ansible_collections.postamt.mail.plugins.plugin_utils._compose import compose
from ansible_collections.postamt.mail.plugins.plugin_utils._compose.merging import ComposeError
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter._sizing import sizing
from ansible_collections.postamt.mail.plugins.plugin_utils._concerns.filter.spam_learning import FOLDERS
from ansible_collections.postamt.mail.plugins.plugin_utils._model.host import HostInput
from ansible_collections.postamt.mail.plugins.plugin_utils._model.parse import parse_site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.schema import SiteError
from ansible_collections.postamt.mail.plugins.plugin_utils._model.site import Site
from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import LOGIN_LETTERS
from ansible_collections.postamt.mail.plugins.plugin_utils._programs.amavis import Perl, perl
from ansible_collections.postamt.mail.tests.lib.looks import looked

NAME = "mail.example.org"
GB = 1 << 30


def site(memory: int = 4 * GB, cores: int = 2, swap: int = 0, **variables: t.Any) -> Site:
    given = {
        "mail_domains": ["example.org"],
        "mail_accounts": [{"address": "alice@example.org", "aliases": ["a@example.org"]}],
        "mail_content_filter": "before_queue",
        **variables,
    }
    look = looked(memory=memory, cores=cores, swap=swap)
    return parse_site(given, {NAME: HostInput(look=look)}, compose.concerns().values())


def plan(program: str, overrides: t.Any = None, **variables: t.Any) -> t.Any:
    found = site(**variables)
    return compose.plan(program, found, found.hosts[NAME], overrides)


def content(program: str, name: str, **arguments: t.Any) -> str:
    files = {item["path"]: forms.text(item) for item in plan(program, **arguments)["files"]}
    return str(next(text for path, text in files.items() if path.endswith(name)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", r"'it\'s'"),
        (["a", 1, True], "['a', 1, 1]"),
        ({"x": None}, "{'x' => undef}"),
        (Perl("D_REJECT"), "D_REJECT"),
        ({Perl("CC_VIRUS"): Perl("D_DISCARD")}, "{CC_VIRUS, D_DISCARD}"),
        ("a\\b", r"'a\\b'"),
    ],
)
def test_plain_data_becomes_perl(value: t.Any, text: str) -> None:
    assert perl(value) == text


def test_an_account_has_its_domains_policy_and_its_own() -> None:
    policies = {"example.org": {"spam_junk_score": 7.5}, "alice@example.org": {"viruses": "quarantine"}}
    found = content("amavis", "60-postamt", mail_filter_policies=policies)
    levels = next(line for line in found.splitlines() if line.startswith("@spam_tag2_level_maps"))
    assert levels == (
        "@spam_tag2_level_maps = ({'.' => 5.0, 'example.org' => 7.5, 'alice@example.org' => 7.5, "
        "'a@example.org' => 7.5});"
    )
    virus = next(line for line in found.splitlines() if line.startswith("$final_destiny_maps_by_ccat{+CC_VIRUS}"))
    assert "'a@example.org' => D_DISCARD" in virus and "'.' => D_REJECT" in virus


@pytest.mark.parametrize(
    ("name", "banned"),
    [
        ("setup.exe", True),
        ("x.vbs.", True),
        ("x.vbs . ", True),
        ("report.pdf", False),
        ("setup.com", True),
        ("invoice.pdf.com", True),
        ("www.example.com", True),  # worms were called so
        ("info@shop.example.com", False),
        ("info@example.com.exe", True),
    ],
)
def test_names_are_banned_as_windows_reads_them(name: str, banned: bool) -> None:
    text = content("amavis", "60-postamt")
    rules = next(line for line in text.splitlines() if line.startswith("$banned_filename_re"))
    assert "=>" not in rules, "what is in an archive of that name would be allowed"
    found = re.findall(r"qr'([^']*)'(i?)", rules)
    assert any(re.search(rule, name, re.IGNORECASE if fold else 0) for rule, fold in found) == banned


def test_after_the_queue_nothing_is_refused() -> None:
    found = content("amavis", "60-postamt", mail_content_filter="after_queue")
    assert "'.' => D_REJECT" not in found
    master = content("postfix", "master.cf", mail_content_filter="after_queue")
    assert "content_filter = amavis:unix:amavis/world" in master and "smtpd_proxy_filter = unix" not in master


def test_a_tag_is_for_those_who_want_it() -> None:
    policies = {"alice@example.org": {"banned_files": "tag"}}
    found = content("amavis", "60-postamt", mail_filter_policies=policies)
    line = next(line for line in found.splitlines() if line.startswith("$subject_tag_maps_by_ccat{+CC_BANNED}"))
    assert "'alice@example.org' => '***BANNED FILE*** '" in line and "'.'" not in line
    kept = next(line for line in found.splitlines() if line.startswith("$quarantine_to_maps_by_ccat{+CC_BANNED}"))
    assert "'alice@example.org' => ''" in kept and "'.' => 'banned-quarantine'" in kept


def test_another_hosts_clamd_is_asked_over_the_network() -> None:
    variables = {"mail_clamav_server": "192.0.2.9"}
    assert not plan("clamav", **variables)["wanted"]
    found = content("amavis", "60-postamt", **variables)
    assert "['*', 'clamd:[192.0.2.9]:3310']" in found


def test_an_alias_is_judged_by_what_its_owner_has_taught() -> None:
    found = content("amavis", "60-postamt", mail_spam_learning="user")
    names = next(line for line in found.splitlines() if line.startswith("@sa_username_maps"))
    assert "'a@example.org' => 'alice@example.org'" in names
    system = {"mail_accounts_backend": "system", "mail_spam_learning": "user"}
    names = next(line for line in content("amavis", "60-postamt", **system).splitlines() if "@sa_username_maps" in line)
    assert "'a@example.org' => 'alice'" in names and "'$1'" in names


@pytest.mark.parametrize(
    ("variables", "units"),
    [
        ({}, {"amavis.service", "postamt-filter-test.timer", "postamt-learn.path", "postamt-spam-rules.timer"}),
        (
            {"mail_spam_learning": "off", "mail_spam_updates": False},
            {"amavis.service", "postamt-filter-test.timer"},
        ),
        ({"mail_content_filter": "off"}, set()),
    ],
)
def test_units_come_and_go_with_what_they_are_for(variables: dict[str, t.Any], units: set[str]) -> None:
    """The engine stops those that came with an earlier plan (test_unit_changes.py)."""
    found = {unit["name"]: unit["running"] for unit in plan("amavis", **variables)["units"]}
    assert {name for name, running in found.items() if running} == units
    assert {name for name, running in found.items() if not running} <= {"amavis.service"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "--virus --official"),
        ({"mail_clamav_official": False, "mail_clamav_urls": ["https://x/y.ndb"]}, "--virus"),
        ({"mail_clamav_server": "192.0.2.9"}, "--virus"),
        ({"mail_antivirus": False}, ""),
    ],
)
def test_a_filter_is_tested_by_what_it_must_find(variables: dict[str, t.Any], words: str) -> None:
    unit = content("amavis", "postamt-filter-test.service", **variables)
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert command.rstrip().endswith(f" /var/spool/postfix/amavis/world 127.127.127.127 {words}".rstrip())


def test_the_test_signature_finds_what_the_test_sends() -> None:
    kind, _target, offset, found = content("clamav", "postamt-test.ndb").splitlines()[1].split(":")
    assert (kind, offset, bytes.fromhex(found).decode()) == ("Postamt-Filter-Test", "*", SAMPLES[0])
    daemon = content("clamav", "clamav-daemon.service.d/postamt.conf")
    assert "! -path /var/lib/clamav/postamt-test.ndb" in daemon, "no official signatures are fetched for it"


def test_a_site_has_one_database_and_accounts_of_their_own_each_another() -> None:
    assert 'database=site some="work/$kind:"' in content("amavis", "postamt/learn")
    assert "database=$account" in content("amavis", "postamt/learn", mail_spam_learning="user")
    assert "-lt 7 ] ||" in content("dovecot", "keep-for-learning", mail_spam_learning_daily=7)


def test_what_a_failed_call_has_left_is_not_learned_as_another_kind(tmp_path: Path) -> None:
    spool, tools = tmp_path / "learn", tmp_path / "bin"
    for name in FOLDERS:
        (spool / name).mkdir(parents=True)
    tools.mkdir()
    script = content("amavis", "postamt/learn").replace("/var/lib/amavis", str(tmp_path))
    learner = tools / "sa-learn"
    seen = f'echo "$1" $(ls batch) >> {tmp_path}/seen'
    learner.write_text(f'#!/bin/sh\ncase "$1" in --sync) exit "$FAIL" ;; esac\n{seen}\n')
    learner.chmod(0o755)
    for kind, fail in (("spam", "1"), ("ham", "0")):
        (spool / "new" / f"{kind}:alice@example.org:{kind}").touch()
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "FAIL": fail}
        subprocess.run(["sh", "-c", script], check=fail == "0", env=environment)
    found = (tmp_path / "seen").read_text().split()
    assert found == ["--spam", "spam:alice@example.org:spam", "--ham", "ham:alice@example.org:ham"]


def test_every_account_may_teach(tmp_path: Path) -> None:
    for name in FOLDERS:
        (tmp_path / "learn" / name).mkdir(parents=True)
    script = content("dovecot", "keep-for-learning").replace("/var/lib/amavis", str(tmp_path))
    script = script.replace("find .", f"find {tmp_path}/none")  # which counts what waits

    def kept(account: str) -> int:
        return subprocess.run(["sh", "-c", script, "keep", "spam", account], input=b"letter", check=False).returncode

    accounts = [f"a{letter}b@example.org" for letter in LOGIN_LETTERS if letter not in ".@"]
    assert [account for account in accounts if kept(account)] == []
    waiting = {path.name.split(":")[1] for path in (tmp_path / "learn/new").iterdir()}
    assert waiting == set(accounts)
    assert {kept(account) for account in ("../x", "a/b", "a:b", "a b", "a*", "a?", "a\nb", "[a]", 'a"b', ".a", "")} == {
        64
    }


def test_every_account_is_judged_by_its_own(tmp_path: Path) -> None:
    (pattern,) = re.findall("!~ (/.*/) ", content("amavis", "postamt-bayes.pm", mail_spam_learning="user"))
    program = f"exit !(lc($ARGV[0]) =~ {pattern})"

    def fits(account: str) -> bool:
        return subprocess.run(["perl", "-we", program, account], check=False).returncode == 0

    assert fits(f"a{LOGIN_LETTERS.replace('@', '')}@example.org") and fits("anna")
    assert not any(fits(account) for account in ("../x", "a/b", "a:b", "a b", "a\n", ".a", ""))


def test_users_of_the_host_reach_the_learning_socket_through_dovecot_alone() -> None:
    found = content("dovecot", "dovecot.conf", mail_accounts_backend="system")
    assert "mail_access_groups = postamt-learn\n" in found
    assert "unix_listener learn {\n    group = postamt-learn\n    mode = 0660\n" in found
    assert "mail_access_groups" not in content("dovecot", "dovecot.conf")


def test_off_leaves_nothing() -> None:
    for program in ("amavis", "clamav"):
        found = plan(program, mail_content_filter="off")
        assert not found["wanted"] and not found["files"] and not found["packages"]
    assert "amavis" not in content("postfix", "master.cf", mail_content_filter="off")
    assert "junk" not in content("dovecot", "dovecot.conf", mail_content_filter="off")


def test_postfix_amavis_and_clamd_agree() -> None:
    for variables in ({}, {"cores": 8, "memory": 16 * GB}, {"mail_filter_processes": 3}):
        found = site(**variables)
        size = sizing(found, found.hosts[NAME])
        master = content("postfix", "master.cf", **variables)
        assert f"$max_servers = {size.processes};" in content("amavis", "60-postamt", **variables)
        assert f"amavis unix - - y - {size.processes} lmtp" in master
        assert f"smtp inet n - y - {size.connections} smtpd" in master
        assert f"MaxThreads {size.processes + 1}\n" in content("clamav", "clamd.conf", **variables)


@pytest.mark.parametrize(("memory", "beside"), [(2 * GB, False), (8 * GB, True)])
def test_two_copies_of_the_signatures_only_where_they_fit(memory: int, beside: bool) -> None:
    assert ("ConcurrentDatabaseReload yes" in content("clamav", "clamd.conf", memory=memory)) == beside


def test_a_host_that_is_too_small_is_refused_with_ways_out() -> None:
    with pytest.raises(SiteError) as caught:
        site(memory=GB)
    for words in ("memory of host mail.example.org", "mail_antivirus: false", "mail_clamav_server: ADDRESS", "swap"):
        assert words in str(caught.value)
    assert site(memory=GB, swap=GB)
    assert site(memory=GB, mail_antivirus=False)
    assert site(memory=GB, mail_clamav_server="192.0.2.9")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"mail_content_filter": "on"}, "mail_content_filter is 'on': must be one of off, before_queue, after_queue"),
        ({"mail_filter_policies": {"other.org": {}}}, "must be one of mail_domains or an account's address"),
        ({"mail_filter_policy": {"viruses": "ignore"}}, "must be one of reject, quarantine, discard, tag, pass"),
        ({"mail_filter_policy": {"spam_junk_score": 9, "spam_refuse_score": 8}}, "must be at least spam_junk_score"),
        ({"mail_clamav_official": False}, "clamd needs signatures"),
        ({"mail_clamav_signatures": ["main.cvd"]}, "must end in one of .ndb"),
        ({"mail_clamav_signatures": ["a/x.ndb", "b/x.ndb"]}, "must have another file name: a/x.ndb has it already"),
        ({"mail_clamav_signatures": ["postamt-test.ndb"]}, "must have another file name: the filter's own test has it"),
        ({"mail_clamav_urls": ["example.net/x.ndb"]}, "must be a URL"),
        ({"mail_clamav_urls": ["https://example.net/x y.ndb"]}, "must be a URL"),
        ({"mail_clamav_mirror": "a b"}, "mail_clamav_mirror is 'a b': must be a host's name or a URL"),
        ({"mail_banned_extensions": [".exe"]}, "must be an ending without its dot"),
        ({"mail_antivirus": False, "mail_clamav_server": "192.0.2.9"}, "must not be set with mail_antivirus: false"),
        ({"mail_antivirus_failure": "pass"}, "must be one of defer, tag"),
        ({"mail_spam_learning": True}, "must be one of off, site, user"),
        ({"mail_quarantine_days": 0}, "mail_quarantine_days is 0: must be from 1 to 36500"),
        ({"mail_spam_learning_daily": 0}, "mail_spam_learning_daily is 0: must be at least 1"),
    ],
)
def test_what_is_wrong_is_said(variables: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        site(**variables)
    assert sentence in str(caught.value)


def test_a_variable_of_amavis_has_a_sigil() -> None:
    with pytest.raises(ComposeError, match="must be a variable of amavis with its sigil"):
        plan("amavis", {"settings": {"max_servers": 3}})


def test_signatures_from_elsewhere() -> None:
    found = content(
        "clamav", "freshclam.conf", mail_clamav_mirror="m.example.org", mail_clamav_urls=["https://x/y.ndb"]
    )
    assert "PrivateMirror m.example.org" in found and "DatabaseCustomURL https://x/y.ndb" in found

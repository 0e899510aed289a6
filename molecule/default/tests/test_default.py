"""What a run over one host with the whole stack does and says."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.journals import warnings
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Site


def test_a_second_run_is_one_task_a_role(play: RunAgain) -> None:
    done = play()
    assert not done.changed
    programs = ("certificates", "ldap", "sasl", "dovecot", "clamav", "amavis", "postsrsd", "rspamd", "postfix")
    assert [task.action for task in done.ran] == [f"postamt.mail.{name}" for name in ("host_look", "site", *programs)]


def test_wrong_input_is_said_at_once_and_changes_nothing(play: RunAgain) -> None:
    done = play({"mail_domian": "x", "mail_aliases": {"x@example.test": ["nobody@example.test"]}})
    assert done.failed
    assert not done.changed
    assert "2 problems in the site's variables" in done.stdout
    assert "mail_domian: is not known; did you mean mail_domains?" in done.stdout
    assert "mail_aliases x@example.test is 'nobody@example.test': does not exist" in done.stdout


def test_what_a_program_does_not_have_is_said_before_anything_changes(play: RunAgain) -> None:
    wrong = {
        "mail_message_size_limit": "30M",  # would change Postfix
        "postfix_settings": {"smtpd_baner": "x", "smtpd_etrn_restrictions": "permit_foo"},
        "dovecot_settings": {"mail_max_userip_conections": 5},
        "mail_certificates": {"public": {"certificate": "absent.pem", "key": "absent.key"}},
    }
    done = play(wrong)
    assert done.failed
    assert not done.changed
    for said in (
        "smtpd_baner is no parameter of Postfix",
        "permit_foo is no word of a restriction list",
        "mail_max_userip_conections",
        "mail_certificates.public.certificate is 'absent.pem': must be a file",
    ):
        assert said in done.stdout


def test_a_masked_unit_is_said_before_anything_changes(host: Host, play: RunAgain) -> None:
    host.check_output("systemctl mask postfix.service")
    done = play({"mail_message_size_limit": "30M"})  # would change programs before Postfix
    host.check_output("systemctl unmask postfix.service")
    assert done.failed and not done.changed
    assert "postfix.service of host mail.example.test: is masked there" in done.stdout


def test_a_scanner_that_refuses_its_options_stops_the_run(play: RunAgain) -> None:
    """It goes on only without signatures that cannot be fetched."""
    done = play({"clamav_settings": {"MaxThread": 3}, "postfix_settings": {"smtpd_banner": "$myhostname"}})
    assert done.failed and not done.changed
    assert "Unknown option MaxThread" in done.stdout
    assert "postamt.mail.postfix" not in [task.action for task in done.ran]


def test_a_role_can_be_run_by_its_tag(play: RunAgain) -> None:
    done = play(tags="postfix")
    assert not done.failed
    assert [task.action for task in done.ran] == ["postamt.mail.host_look", "postamt.mail.site", "postamt.mail.postfix"]


@pytest.mark.parametrize(("port", "starttls"), [(465, ""), (587, "smtp"), (993, "")])
def test_tls_is_mozillas_intermediate_profile(site: Site, port: int, starttls: str) -> None:
    command = ["sslyze", "--mozilla_config=intermediate", f"--certinfo_ca_file={site.ca_file}"]
    command += [f"--sni={site.server_name}", *([f"--starttls={starttls}"] if starttls else []), f"{site.ipv4}:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{site.ipv4}:{port}: OK - Compliant." in done.stdout, done.stdout
    assert done.returncode == 0


def test_no_handshake_without_a_certificate(site: Site) -> None:
    for port, starttls in ((25, "smtp"), (587, "smtp"), (465, ""), (993, "")):
        words = ["openssl", "s_client", "-connect", f"{site.ipv4}:{port}", "-tls1_2", "-cipher"]
        words += ["{}:@SECLEVEL=0", *(["-starttls", starttls] if starttls else [])]
        for suites, works in (("aNULL", False), ("ECDHE+AESGCM", True)):
            command = [word.format(suites) for word in words]
            done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
            assert ("Cipher is ECDHE-" in done.stdout) == works, (port, done.stdout)
            assert ("(NONE)" in done.stdout) != works, (port, done.stdout)


CAUSED = (
    # wrong passwords
    r"warning: SASL authentication failure: Password verification failed",
    r"warning: \S+\[[0-9a-f.:]+\]: SASL \w+ authentication failed: authentication failure(, sasl_username=\S+)?",
    # handshakes that are refused, of old TLS and bad ciphers
    r"warning: TLS library problem: error:[0-9A-F]+:SSL routines:\w*:[\w/ ]+:[^:]+:\d+:(SSL alert number \d+:)?",
)


def test_the_journal_is_quiet(host: Host) -> None:
    assert warnings(host, "postfix* dovecot slapd saslauthd-postfix", CAUSED) == []

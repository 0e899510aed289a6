"""Runs that end half way: mail flows meanwhile, the next run finishes or takes back, and says so.

strace(1) stops the modules at chosen system calls. A module that is killed there leaves what a power cut would leave.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import MailFlows, RunAgain, Scenario, Site, Traced

SlowRun = Callable[[], subprocess.Popen[str]]
HOSTS = str(Path(__file__).resolve().parents[3] / "tools" / "hosts.py")
SOAK = bool(os.environ.get("SOAK"))
FINISHED = "finished a change that an earlier run left half done"
STATE = "/var/lib/postamt"
CHANGE = {
    "mail_message_size_limit": "23M",
    "mail_header_checks": [{"match": "^Subject: .*lottery", "action": "reject", "text": "no"}],
    "dovecot_settings": {"mail_max_userip_connections": 7},
    "ldap_settings": {"database": {"olcDbNoSync": True}},
    "mail_aliases": {"desk@example.test": ["anna@example.test"]},
    "mail_certificates": {"sni": {"names": ["other.example.test"]}},
}


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at a system call on this name or in this folder, when it is made for so many a time.

    The modules name a file by a descriptor of its folder; strace(1) knows the folder by path, the name as it stands.
    """

    call: str
    path: str
    half: str = ""  # the program whose change the next run has to finish
    when: int = 1
    often: bool = True  # tried by `make test`, not by `make soak` alone


POINTS = {
    "a certificate is about to be served": Point("renameat", ".link"),
    "slapd's change is about to be recorded": Point("renameat", ".applied.json.postamt-new", half="ldap", when=2),
    "Dovecot's main file": Point("renameat", ".dovecot.conf.postamt-new", half="dovecot", often=False),
    "staging": Point("openat", "/run/postamt/postfix.stage/etc/postfix", when=2, often=False),
    "writing beside the old file": Point("openat", ".main.cf.postamt-new", often=False),
    "setting the mark": Point("renameat", f"{STATE}/postfix/pending", often=False),
    "before the first file": Point("renameat", ".header_checks.postamt-new", half="postfix", often=False),
    "between two files": Point("renameat", ".main.cf.postamt-new", half="postfix"),
    "between swap and reload": Point("fsync", "/etc/postfix", half="postfix"),
    "during the reload": Point("openat", "/var/spool/postfix/pid", half="postfix", when=3, often=False),
    "before the record": Point("renameat", f"{STATE}/postfix", half="postfix", often=False),
    "before the mark goes": Point("unlinkat", f"{STATE}/postfix/pending", half="postfix", often=False),
}
CHOSEN = {name: point for name, point in POINTS.items() if SOAK or point.often}


@pytest.fixture
def restored(play: RunAgain) -> Iterator[None]:
    """Bring the inventory's state back."""
    yield
    assert not play().failed


def leftovers(host: Host) -> str:
    """What only an unfinished run may have on the host."""
    found = host.check_output(
        "find /etc /var/lib/postamt -name '*.postamt-new' -o -name pending -o -path '/etc/postamt/tls/.requested'"
    )
    return str(found) + str(host.check_output("ls -d /run/postamt/*.stage /run/postamt-ldap 2>/dev/null || true"))


@pytest.mark.parametrize("point", CHOSEN.values(), ids=CHOSEN.keys())
def test_a_module_is_killed(
    host: Host,
    play: RunAgain,
    mail_flows: MailFlows,
    traced: Traced,
    restored: None,
    point: Point,
) -> None:
    kill = traced(f"--inject={point.call}:signal=SIGKILL:when={point.when} -P {point.path}")
    stopped = play({**CHANGE, **kill})
    assert stopped.failed, "it was not killed"
    if point.half == "ldap":
        assert '"under_way": true' in host.file(f"{STATE}/ldap/applied.json").content_string
    elif point.half:
        assert host.file(f"{STATE}/{point.half}/pending/mark.json").exists
        assert host.file(f"{STATE}/{point.half}/pending").mode == 0o700
    mail_flows()
    done = play(CHANGE)
    assert not done.failed
    assert done.changed
    assert (FINISHED in done.actions) == bool(point.half), done.actions
    assert leftovers(host) == ""
    mail_flows()
    if SOAK:
        assert play(CHANGE).changed == []


def test_what_was_left_half_done_is_taken_back_where_it_does_not_work(
    host: Host, play: RunAgain, mail_flows: MailFlows, traced: Traced, restored: None
) -> None:
    """Postfix is left with a change that passes its checker and kills every smtpd, on a host that is killed."""
    broken = {"postfix_settings": {"proxy_read_maps": "$virtual_alias_maps"}}
    assert play({**broken, **traced("--inject=fsync:signal=SIGKILL:when=1 -P /etc/postfix")}, tags="postfix").failed
    message = play(broken, tags="postfix").message
    assert "Postfix does not work with the new configuration; the old one is back and serves" in message
    mail_flows()
    assert leftovers(host) == ""
    assert play(tags="postfix").changed == []


def test_a_half_done_change_gives_way_to_another(
    host: Host, play: RunAgain, mail_flows: MailFlows, traced: Traced, restored: None
) -> None:
    assert play({**CHANGE, **traced("--inject=renameat:signal=SIGKILL:when=1 -P .main.cf.postamt-new")}).failed
    done = play()
    assert not done.failed
    assert FINISHED in done.actions
    assert not host.file("/etc/postfix/tables/header_checks").exists
    assert leftovers(host) == ""
    mail_flows()
    assert play().changed == []


@pytest.fixture
def slow_run(host: Host, scenario: Scenario, traced: Traced) -> SlowRun:
    """Begin a run that waits for eight seconds between swap and reload of Postfix, and return once it is there."""

    def slow_run() -> subprocess.Popen[str]:
        slow = traced("--inject=fsync:delay_enter=8000000:when=1 -P /etc/postfix")
        variables = json.dumps({**CHANGE, **slow})
        run = subprocess.Popen(
            ["ansible-playbook", *scenario.arguments, scenario.playbook, "--extra-vars", variables],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        host.check_output("timeout 60 sh -c 'until grep -q 24117248 /etc/postfix/main.cf; do sleep .1; done'")
        return run

    return slow_run


def test_ansible_is_killed(
    host: Host,
    play: RunAgain,
    mail_flows: MailFlows,
    slow_run: SlowRun,
    restored: None,
) -> None:
    run = slow_run()
    os.killpg(run.pid, signal.SIGKILL)  # the controller's process with all of its forks
    run.wait()
    mail_flows()
    host.check_output("timeout 60 sh -c 'while pgrep strace; do sleep .2; done'")
    done = play(CHANGE)
    assert not done.failed
    # the module on the host may have gone on alone, or may have ended with its connection
    assert (FINISHED in done.actions) or done.changed == []
    assert leftovers(host) == ""
    mail_flows()
    assert play(CHANGE).changed == []


def test_the_host_is_cut_off(
    host: Host,
    site: Site,
    play: RunAgain,
    mail_flows: MailFlows,
    slow_run: SlowRun,
    restored: None,
) -> None:
    """Power fails between swap and reload: the host boots with the new files and serves."""
    run = slow_run()
    subprocess.run([HOSTS, "cut-off", site.vars["lab_container"]], check=True)
    run.communicate(timeout=120)
    assert run.returncode != 0
    mail_flows()
    done = play(CHANGE)
    assert not done.failed
    assert FINISHED in done.actions
    assert leftovers(host) == ""
    mail_flows()
    assert play(CHANGE).changed == []

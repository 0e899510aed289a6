"""What daemons may not do is in force, on a host that has all of them; a unit that says so is not enough."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain

SYS_ADMIN = 1 << 21  # the capability to mount and much else (capabilities(7))
PID_FILES = {
    "slapd": "/run/slapd/slapd.pid",  # Debian 12 starts it by an init script
    "saslauthd-postfix": "/var/spool/postfix/var/run/saslauthd/saslauthd.pid",
    "postfix": "/var/spool/postfix/pid/master.pid",
}


@pytest.mark.parametrize(
    "daemon",
    ["slapd", "saslauthd-postfix", "clamav-daemon", "amavis", "dovecot", "postamt-rspamd", "postamt-srs", "postfix"],
)
def test_a_daemon_can_neither_change_the_system_nor_take_rights_back(host: Host, daemon: str) -> None:
    asked = f"cat {PID_FILES[daemon]}" if daemon in PID_FILES else f"systemctl show --value -p MainPID {daemon}"
    pid = int(host.check_output(asked))
    # As root, in the daemon's view of the file system
    written = host.run(f"nsenter -t {pid} -m touch /usr/sbin/{daemon}-was-here")
    assert "Read-only file system" in written.stderr

    def status(process: int) -> dict[str, str]:
        lines = host.check_output(f"cat /proc/{process}/status").splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    one, init = status(pid), status(1)
    assert int(init["CapBnd"], 16) & SYS_ADMIN, "this host has nothing to take away"
    assert not int(one["CapBnd"], 16) & SYS_ADMIN
    assert int(one["Seccomp_filters"]) > int(init["Seccomp_filters"]), "no system call is refused"


def test_units_are_as_safe_as_the_guide_says(host: Host, release: str) -> None:
    manifests = host.check_output("tail -q -n +1 /var/lib/postamt/*/manifest.json")
    decoder, paths = json.JSONDecoder(), set()
    while manifests.strip():
        manifest, end = decoder.raw_decode(manifests := manifests.lstrip())
        paths |= set(manifest["files"])
        manifests = manifests[end:]
    own = {found[1]: 4.0 for path in paths if (found := re.fullmatch(r"/etc/systemd/system/([^/]+\.service)", path))}
    daemons = {found[1]: 6.0 for path in paths if (found := re.search(r"/([^/]+\.service)\.d/", path))}
    assert {"postamt-certificates.service", "postamt-learn.service", "saslauthd-postfix.service"} <= set(own)
    assert {"slapd.service", "clamav-daemon.service", "amavis.service", "dovecot.service"} <= set(daemons)
    limits = {**own, **daemons, "postfix@-.service" if release == "bookworm" else "postfix.service": 6.0}
    loop = f"for unit in {' '.join(limits)}; do systemd-analyze --no-pager security $unit | tail -n 1; done"
    shown = re.sub(r"@test.instance\.", "@.", host.check_output(loop))  # what it makes of a template
    said = dict(re.findall(r"level for (\S+): ([\d.]+)", shown))
    assert set(said) == set(limits)
    assert {unit: said[unit] for unit, limit in limits.items() if float(said[unit]) >= limit} == {}


def test_a_daemon_that_does_not_start_with_its_limits_is_given_back_what_it_had(host: Host, play: RunAgain) -> None:
    folder = "/etc/systemd/system/slapd.service.d"
    assert not play({"mail_unsandboxed": ["ldap"]}, tags="ldap").failed
    try:
        # An administrator's own line, which the limits do not allow
        host.check_output(f"printf '[Service]\\nExecStartPre=touch /usr/written\\n' > {folder}/zz-own.conf")
        host.check_output("systemctl daemon-reload && systemctl restart slapd")
        assert "its old unit is back, and slapd serves with it" in play(tags="ldap").message
        host.check_output("ldapwhoami -Q -Y EXTERNAL -H ldapi:///")
        assert "ProtectSystem" not in host.file(f"{folder}/postamt-sandbox.conf").content_string
    finally:
        host.check_output(f"rm -f {folder}/zz-own.conf /usr/written; systemctl daemon-reload")
        done = play(tags="ldap")
    assert "restarted slapd (its unit has changed)" in done.actions

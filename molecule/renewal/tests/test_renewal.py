"""Renewed and replaced certificates: each port shows what is on disk, and nobody is reloaded for nothing."""

from __future__ import annotations

import base64
import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._probes.base import Endpoint, ProbeError
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.imap import imap_count, imap_find
from ansible_collections.postamt.mail.plugins.plugin_utils._probes.tls import tls_certificate
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Site

Put = Callable[..., tuple[str, str]]
ANNA = "anna@example.test"
TLS = "/etc/postamt/tls"
COMMAND = "/usr/local/sbin/postamt-certificates"
PORTS: dict[int, Any] = {
    25: "smtp", 465: None, 587: "smtp", 143: "imap", 993: None, 995: None, 4190: "sieve", 389: "ldap", 636: None,
}  # fmt: skip
INTERNAL = (389, 636)
NAMES = {"public": "DNS:mail.example.test", "internal": "DNS:mail.example.test,DNS:localhost,IP:127.0.0.1,IP:::1"}


def shown(site: Site, ports: Iterable[int] = PORTS) -> dict[str, str]:
    """Return SHA-256 of the certificate that each port shows, over each family."""
    return {
        f"{address} {port}": tls_certificate(
            Endpoint(address, port, verify=False, timeout=20), PORTS[port]
        ).sha256.lower()
        for address in (site.ipv4, site.ipv6)
        for port in ports
    }


def on_disk(host: Host, site: Site) -> dict[str, str]:
    """Return what shown() must be."""
    found = {}
    for name in ("public", "internal"):
        words = host.check_output(f"openssl x509 -in {TLS}/{name}/chain.pem -outform DER | sha256sum")
        found[name] = words.split()[0].lower()
    return {
        f"{address} {port}": found["internal" if port in INTERNAL else "public"]
        for address in (site.ipv4, site.ipv6)
        for port in PORTS
    }


def everything_is_shown(host: Host, site: Site, wait: float = 0) -> bool:
    """Tell whether each port shows what is on disk, within so many seconds."""
    until = time.monotonic() + wait
    wanted = on_disk(host, site)
    while True:
        found: dict[str, str] = {}
        with contextlib.suppress(ProbeError) if wait else contextlib.nullcontext():  # it looks twice, at two of them
            found = shown(site)
        if found == wanted:
            return True
        if time.monotonic() > until:
            print({key: value for key, value in found.items() if value != wanted[key]})
            return False
        time.sleep(0.3)


def reloads(host: Host) -> dict[str, int]:
    """Return how often Postfix and Dovecot say that they were reloaded; slapd does not."""
    log = host.check_output("journalctl --sync; journalctl --no-pager -o cat")
    return {"Postfix": log.count("reload -- version"), "Dovecot": log.count("SIGHUP received")}


def said(host: Host, unit: str = "postamt-certificates.service") -> str:
    """Return the last line that the command wrote for a unit."""
    host.run("journalctl --sync")
    return str(host.check_output(f"journalctl --no-pager -o cat _SYSTEMD_UNIT={unit} | tail -1"))


def quiet(host: Host) -> None:
    """Have the command do what the path unit calls it for: a run of it that began after the last change has ended.

    A start while it is at work, for a change before, only waits for its end.
    """
    changed = f"stat -L -c %.Z {TLS} {TLS}/*/chain.pem | sort -n | tail -n 1"
    began = 'date +%s.%N -d "$(systemctl show --timestamp=us -P ExecMainStartTimestamp postamt-certificates.service)"'
    for _again in range(3):
        host.check_output("systemctl start postamt-certificates.service")
        last, start = host.check_output(f"{changed}; {began}").split()
        if float(start) > float(last):
            return
    raise AssertionError("no run of the command has begun since the last change")


@pytest.fixture
def put(host: Host, site: Site, tmp_path: Path) -> Put:
    """Bring a certificate of the site's CA to the host: put(name, days=...) -> paths there of its chain and key."""

    def put(name: str, days: int = 200, key: bytes = b"") -> tuple[str, str]:
        private, request, chain = (str(tmp_path / f"{name}.{end}") for end in ("key", "csr", "pem"))
        names = tmp_path / "names"
        names.write_text(f"subjectAltName={NAMES[name]}\n")
        if key:
            Path(private).write_bytes(key)
        else:
            subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                            private], check=True, capture_output=True)  # fmt: skip
        for command in (
            ["openssl", "req", "-new", "-key", private, "-subj", "/CN=mail.example.test", "-out", request],
            ["openssl", "x509", "-req", "-in", request, "-CA", site.ca_file, "-CAkey", str(site.state_dir / "ca.key"),
             "-days", str(days), "-extfile", str(names), "-out", chain],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True)
        there = (f"/root/{name}.pem", f"/root/{name}.key")
        for path, source in zip(there, (chain, private), strict=True):
            text = base64.b64encode(Path(source).read_bytes()).decode()
            host.check_output(f"umask 077; echo {text} | base64 -d > {path}")
        return there

    return put


@pytest.fixture
def unwatched(host: Host) -> Iterator[None]:
    """Keep the path unit from noticing."""
    host.check_output("systemctl stop postamt-certificates.path")
    yield
    host.check_output("systemctl start postamt-certificates.path")


def swap(host: Host, name: str, chain: str, key: str) -> None:
    """Replace a certificate as this collection does, by one rename, but without its command."""
    folder = f"{TLS}/.generations/{name}.other"
    host.check_output(
        f"rm -rf {folder} && mkdir -m 755 {folder} && install -m 644 {chain} {folder}/chain.pem && "
        f"install -m 640 -g ssl-cert {key} {folder}/key.pem && ln -s .generations/{name}.other {TLS}/.new && "
        f"mv -T {TLS}/.new {TLS}/{name}"
    )


def test_each_port_shows_what_is_on_disk(host: Host, site: Site) -> None:
    assert everything_is_shown(host, site)


def test_a_renewal_by_a_run_is_shown_everywhere(host: Host, site: Site, play: RunAgain, put: Put) -> None:
    for name in NAMES:
        swap(host, name, *put(name, days=10))
    quiet(host)
    before = shown(site)
    predicted = play(check=True)
    done = play()
    assert not done.failed
    assert [action.partition(" certificate ")[0] for action in done.actions] == [
        "issued", "issued", "reloaded Dovecot", "reloaded Postfix", "reloaded slapd",
    ]  # fmt: skip
    assert len(predicted.actions) == len(done.actions)
    assert everything_is_shown(host, site)
    assert not set(before.values()) & set(shown(site).values())
    assert play().changed == []


def test_replaced_files_of_the_user_are_shown_after_a_run(
    host: Host,
    site: Site,
    play: RunAgain,
    put: Put,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", site.ca_file)  # by which the controller trusts the issuer
    for _twice in range(2):
        put("public", days=400)
        files = {"certificate": str(tmp_path / "public.pem"), "key": str(tmp_path / "public.key")}
        wish = {"mail_certificates": {"public": files}}
        done = play(wish)
        assert not done.failed
        assert [action for action in done.actions if action.startswith("installed certificate public for")]
        assert not [action for action in done.actions if "slapd" in action]
        assert everything_is_shown(host, site)
    assert not play().failed  # a hook may bring it again


def test_a_hook_between_runs(host: Host, site: Site, play: RunAgain, put: Put) -> None:
    shown(site)
    before = reloads(host)
    chain, key = put("public")
    done = host.check_output(f"{COMMAND} install public {chain} {key}")
    assert done.startswith("installed certificate public; reloaded Dovecot, since port ")
    assert "; reloaded Postfix, since " in done and "slapd" not in done
    assert everything_is_shown(host, site)
    assert host.check_output(f"{COMMAND} install public {chain} {key}") == "nothing to do"
    quiet(host)
    assert reloads(host) == {name: count + 1 for name, count in before.items()}
    assert play().changed == []


def test_what_a_hook_brings_must_fit(host: Host, put: Put) -> None:
    chain, _key = put("public")
    other = f"{TLS}/internal/key.pem"
    for arguments, message in (
        (f"public {chain} {other}", "certificate public: the key is not the certificate's"),
        (f"nosuch {chain} {other}", "nosuch is no certificate that a program brings to this host (known: public)"),
        (f"internal {chain} {other}", "internal is no certificate that a program brings to this host (known: public)"),
        (f"public /etc/hostname {other}", "/etc/hostname holds no certificate in PEM"),
        (f"public {chain} {chain}", "holds no private key in PEM without a pass phrase"),
        (f"public /nonexistent {other}", "No such file or directory: '/nonexistent'"),
    ):
        done = host.run(f"{COMMAND} install {arguments}")
        assert done.rc == 1 and message in done.stderr, done


@pytest.mark.parametrize("name", ["public", "internal"])
def test_a_replaced_certificate_is_shown_within_seconds(host: Host, site: Site, put: Put, name: str) -> None:
    shown(site)
    swap(host, name, *put(name))
    assert everything_is_shown(host, site, wait=10)
    quiet(host)
    titles = {"public": "reloaded Dovecot|reloaded Postfix", "internal": "reloaded slapd"}
    assert re.search(titles[name], host.check_output("journalctl --no-pager -o cat -u postamt-certificates.service"))


def test_a_file_that_is_written_in_place_is_noticed(host: Host, site: Site, play: RunAgain, put: Put) -> None:
    key = host.check_output(f"cat {TLS}/public/key.pem").encode() + b"\n"
    chain, _key = put("public", key=key)
    host.check_output(f"cat {chain} > {TLS}/public/chain.pem")
    assert everything_is_shown(host, site, wait=10)
    quiet(host)
    assert play().changed == []


def test_who_shows_it_already_is_not_reloaded(
    host: Host, site: Site, play: RunAgain, put: Put, unwatched: None
) -> None:
    for name in NAMES:
        swap(host, name, *put(name))
    host.check_output("systemctl restart dovecot.service")
    shown(site)
    before = reloads(host)
    host.check_output("systemctl start postamt-certificates.service")
    done = said(host)
    assert done.startswith("reloaded slapd, since port ") and "; reloaded Postfix, since port " in done
    assert "Dovecot" not in done
    assert reloads(host) == {"Postfix": before["Postfix"] + 1, "Dovecot": before["Dovecot"]}
    assert everything_is_shown(host, site)
    host.check_output("systemctl start postamt-certificates.service")
    assert said(host) == "nothing to do"
    host.check_output("systemctl start postamt-certificates.path")
    assert play().changed == []


def test_a_busy_smtpd_counts_too(host: Host, site: Site, put: Put, unwatched: None) -> None:
    """It does not answer the question at its port, and would show the old certificate to its next client."""
    host.check_output("systemctl restart postfix.service")
    with Endpoint(site.ipv4, 25, verify=False).connect() as busy:
        assert busy.recv(100).startswith(b"220")
        swap(host, "public", *put("public"))
        host.check_output("systemctl restart dovecot.service")
        assert host.check_output(f"{COMMAND} serve").startswith("reloaded Postfix, since a process that is older")
        assert host.check_output(f"{COMMAND} serve") == "nothing to do"
    assert everything_is_shown(host, site)


def test_a_run_goes_by_what_is_shown(host: Host, site: Site, play: RunAgain, put: Put, unwatched: None) -> None:
    for name in NAMES:
        swap(host, name, *put(name))
    host.check_output("systemctl restart dovecot.service")
    shown(site)
    done = play()
    assert done.actions == [
        "started postamt-certificates.path",
        "took over the renewed certificate",
        "reloaded Postfix",
    ]
    assert everything_is_shown(host, site)
    assert play().changed == []


def test_what_cannot_be_served_is_not_read(host: Host, site: Site, play: RunAgain, put: Put, unwatched: None) -> None:
    """Each new process of Postfix reads it nevertheless, so this is about Dovecot, and about who is reloaded."""
    mine = [port for port in PORTS if port in (143, 993, 995, 4190)]
    good, before, wanted = host.check_output(f"cat {TLS}/public/chain.pem"), reloads(host), shown(site, mine)
    host.check_output(f"cat {put('public')[0]} > {TLS}/public/chain.pem")  # of another key
    done = host.run(f"{COMMAND} serve")
    assert done.rc == 1
    message = f"was not reloaded, since {TLS}/public/chain.pem and key.pem beside it do not belong together"
    assert f"Dovecot {message}" in done.stderr and f"Postfix {message}" in done.stderr
    host.check_output(f"rm {TLS}/public/chain.pem")
    assert "/etc/postamt/tls/public/chain.pem holds no certificate" in host.run(f"{COMMAND} serve").stderr
    stopped = play(tags="postfix")
    assert stopped.failed and "/etc/postamt/tls/public/chain.pem holds no certificate" in stopped.stdout
    assert reloads(host) == before and shown(site, mine) == wanted
    host.check_output(f"echo '{good}' > {TLS}/public/chain.pem")
    assert "Dovecot" not in host.check_output(f"{COMMAND} serve")
    assert everything_is_shown(host, site)


def test_a_port_that_shows_something_else_is_named(host: Host, site: Site, play: RunAgain) -> None:
    """As where its settings were changed by hand: here, what the command goes by says another certificate."""
    manifest = "/var/lib/postamt/postfix/manifest.json"
    kept = host.check_output(f"cat {manifest}")
    host.check_output(f"sed -i 's|public/chain.pem|internal/chain.pem|' {manifest}")
    done = host.run(f"{COMMAND} serve")
    host.check_output(f"cat > {manifest} <<'END'\n{kept}\nEND")
    assert done.rc == 1
    assert "Postfix still shows another certificate than the one on disk: port 25 of " in done.stderr
    assert play().changed == []


def test_a_run_and_the_command_wait_for_each_other(host: Host, play: RunAgain) -> None:
    host.check_output("systemd-run --collect --unit=lab-busy flock /run/postamt/services.lock sleep 5")
    assert host.run(f"timeout 1 {COMMAND} serve").rc == 124
    assert play(tags="certificates").changed == []
    assert host.run("systemctl is-active lab-busy.service").rc != 0


def test_a_certificate_of_a_hook_stays(host: Host, site: Site, play: RunAgain, put: Put) -> None:
    host.check_output(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=elsewhere -keyout /root/e.key -out /root/e.pem "
        f"-addext subjectAltName=DNS:mail.example.test 2>/dev/null; {COMMAND} install public /root/e.pem /root/e.key"
    )
    assert everything_is_shown(host, site)
    evil = host.run(
        "openssl req -x509 -newkey rsa:1024 -nodes -days 90 -subj /CN=evil -keyout /root/f.key -out /root/f.pem "
        f"-addext subjectAltName=DNS:evil.example 2>/dev/null; {COMMAND} install public /root/f.pem /root/f.key"
    )
    assert evil.rc == 1 and "must be for mail.example.test, and is for evil.example; has an RSA key" in evil.stderr
    assert everything_is_shown(host, site)
    assert play().changed == []
    back = play({"mail_certificates": {}})
    assert any(action.startswith("issued certificate public") for action in back.actions)
    assert not play().failed
    assert everything_is_shown(host, site)


def test_postmaster_hears_of_an_end_once_a_threshold(host: Host, site: Site, play: RunAgain, put: Put) -> None:
    mailbox = Endpoint(site.ipv4, 993, verify=False, timeout=30)
    login = (ANNA, site.passwords[ANNA])
    assert host.check_output(f"{COMMAND} warn") == "nothing to do"
    for days in (20, 6, 1):
        host.check_output(f"{COMMAND} install public {' '.join(put('public', days=days))}")
        day = host.check_output(f"date -u -d +{days}days +%F")
        subject = f"Certificate public of mail.example.test expires on {day}"
        before = imap_count(mailbox, *login, token=subject)
        host.check_output("systemctl start postamt-certificates-warn.service")
        assert host.check_output(f"{COMMAND} warn") == "nothing to do"
        assert imap_find(mailbox, *login, subject)
        assert imap_count(mailbox, *login, token=subject) == before + 1
    assert host.service("postamt-certificates-warn.timer").is_running
    assert not play().failed
    assert everything_is_shown(host, site)

"""Certificates by ACME: Debian's certbot against a real ACME server and a real name server, both of this test."""

from __future__ import annotations

import fcntl
import json
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Scenario, Site

TLS = "/etc/postamt/tls"
TRUSTED = "/etc/ssl/acme-server.pem"  # by which the host knows the ACME server
STATE = "/var/lib/postamt/acme"
SERVER = Path(__file__).parent.parent / "acme_server.py"
PINNED = "acme2certifier==0.46.3"
SECRET = "bm8tYm9keS1zaGFsbC1zZWUtdGhpcy1zZWNyZXQ="
NAMED = f"""\
key mail-acme {{ algorithm hmac-sha256; secret "{SECRET}"; }};
zone "example.test" {{
    type primary;
    file "/var/lib/bind/example.test";
    update-policy {{ grant mail-acme name _acme-challenge.mail.example.test. TXT; }};
}};
"""
ZONE = """\
\\$TTL 60
@ IN SOA mail hostmaster 1 3600 600 86400 60
@ IN NS mail
mail IN A {address}
"""


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def name_server(host: Host, site: Site) -> None:
    """A name server on the host, that takes updates of one record with a key."""
    host.check_output(
        "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends bind9"
    )
    host.check_output(f"cat > /etc/bind/named.conf.local <<'END'\n{NAMED}END")
    zone = ZONE.format(address=site.ipv4)
    host.check_output(f"cat > /var/lib/bind/example.test <<END\n{zone}END\nchown bind: /var/lib/bind/example.test")
    host.check_output("systemctl restart named.service")


@pytest.fixture(scope="module")
def acme(
    host: Host, site: Site, name_server: None, tmp_path_factory: pytest.TempPathFactory, scenario: Scenario
) -> Iterator[dict[str, Any]]:
    """An ACME server on this machine; yields how mail_acme says it, for certificate public."""
    folder = tmp_path_factory.mktemp("acme")
    installed = scenario.folder.parent.parent / "acme2certifier"
    python = installed / "bin" / "python"
    with open(f"{installed}.lock", "wb") as lock:  # the scenario of the other release wants it at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = installed / ".ready"
        if not ready.exists() or ready.read_text() != PINNED:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(installed)], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", PINNED], check=True)
            ready.write_text(PINNED)
    own = str(folder / "own")
    with socket.create_server(("", 0)) as probe:
        port = probe.getsockname()[1]
    here = host.check_output("ip -4 route show default").split()[2]
    (folder / "names").write_text(f"subjectAltName=IP:{here},IP:127.0.0.1\n")
    ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "900", "-subj", "/CN=A public CA", *ca,
            "-out", str(folder / "ca.pem"), "-keyout", str(folder / "ca.key"))  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=acme", "-keyout", f"{own}.key", "-out", f"{own}.csr")
    openssl("x509", "-req", "-in", f"{own}.csr", "-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"),
            "-days", "30", "-extfile", str(folder / "names"), "-out", f"{own}.pem")  # fmt: skip
    host.check_output("printf %s %s > " + TRUSTED, "%s", (folder / "ca.pem").read_text())
    with open(folder / "log", "wb") as log:
        command = [str(python), str(SERVER), str(folder), str(port), site.ipv4, f"{own}.pem", f"{own}.key"]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(f"https://127.0.0.1:{port}/directory", str(folder / "ca.pem"))
        yield {
            "email": "postmaster@example.test",
            "agree_to_terms": True,
            "server": f"https://{here}:{port}/directory",
            "ca_file": TRUSTED,
        }
    finally:
        server.terminate()
        server.wait()
        print((folder / "log").read_text(errors="replace"))


def wait_for(url: str, ca_file: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca_file)) as answer:
                assert answer.status == 200
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.fixture
def fresh(host: Host, play: RunAgain) -> Iterator[None]:
    """Begin where the client has nothing, and go back to the site's CA afterwards."""
    host.check_output(f"rm -rf {STATE}")
    yield
    assert not play().failed
    assert host.run("systemctl cat postamt-acme.timer postamt-acme.service").rc != 0
    assert issuer(host).startswith("issuer=CN=CA of mail.example.test")


def issuer(host: Host) -> str:
    return str(host.check_output(f"openssl x509 -in {TLS}/public/chain.pem -noout -issuer -nameopt RFC2253"))


def serial(host: Host) -> str:
    return str(host.check_output(f"openssl x509 -in {TLS}/public/chain.pem -noout -serial"))


def public_key(host: Host) -> str:
    return str(host.check_output(f"openssl x509 -in {TLS}/public/chain.pem -noout -pubkey"))


def test_over_http(host: Host, play: RunAgain, acme: dict[str, Any], fresh: None) -> None:
    wish = {"mail_acme": {"public": acme}}
    assert "would obtain certificate public by ACME" in play(wish, check=True).actions
    made = play(wish)
    assert "obtained certificate public by ACME" in made.actions, made.stdout
    assert issuer(host) == "issuer=CN=A public CA"
    assert play(wish).changed == []
    assert host.service("postamt-acme.timer").is_running
    before = serial(host)
    host.check_output("systemctl start postamt-acme.service")  # as its timer does
    assert serial(host) == before
    key = public_key(host)
    due = f"echo 'renew_before_expiry = 9999 days' | cat - {STATE}/renewal/public.conf > /tmp/due"
    host.check_output(f"{due} && cat /tmp/due > {STATE}/renewal/public.conf; systemctl start postamt-acme.service")
    assert serial(host) != before, "it was not renewed"
    assert public_key(host) == key
    before = serial(host)
    host.check_output(f"rm -rf {STATE}/live {STATE}/archive {STATE}/renewal; systemctl start postamt-acme.service")
    assert serial(host) != before
    assert play(wish).changed == []
    assert public_key(host) != key, "the client has lost it"
    file = host.file(f"{TLS}/public/key.pem")
    assert (file.user, file.group, file.mode) == ("root", "ssl-cert", 0o640)


def others_know_the_key(host: Host, site: Site, play: RunAgain, wish: dict[str, Any]) -> None:
    """The DNS names the key (TLSA): a new one of the client is not served before the DNS has named that one too."""
    key, known = public_key(host), site.state_dir / "tlsa.json"
    said: dict[str, Any] = {"told": ["0" * 64], "shown": {}, "ttl": 60}
    known.write_text(json.dumps({"mail.example.test": said}))
    try:
        assert not play({**wish, "mail_tlsa": True}).failed
        folders = f"--config-dir {STATE} --work-dir {STATE}/work --logs-dir /var/log/postamt-acme"
        trust = f"REQUESTS_CA_BUNDLE={TRUSTED}"
        command = f"renew {folders} --cert-name public --force-renewal --new-key --no-random-sleep-on-renew"
        host.check_output(f"{trust} certbot {command}")
        assert host.run("systemctl start postamt-acme.service").rc != 0
        told = host.check_output("journalctl -q -o cat -u postamt-acme.service | tail -n 20")
        (digest,) = set(re.findall(r"certificate public has a new key \(SHA-256 ([0-9a-f]{64})\)", told))
        assert public_key(host) == key
        both = {**said, "told": [*said["told"], digest], "shown": {digest: 1}}  # the zone has it, and the DNS
        known.write_text(json.dumps({"mail.example.test": both}))
        assert not play({**wish, "mail_tlsa": True}).failed
        host.check_output("systemctl start postamt-acme.service")
        assert public_key(host) != key
    finally:
        known.unlink()


def test_over_dns(host: Host, site: Site, play: RunAgain, acme: dict[str, Any], fresh: None) -> None:
    updates = {"server": "127.0.0.1", "key_name": "mail-acme", "key_secret": SECRET, "wait": 1}
    wish = {"mail_acme": {"public": {**acme, "challenge": "dns-01", "dns": updates}}}
    predicted = play(wish, check=True)
    made = play(wish)
    assert "obtained certificate public by ACME" in made.actions, made.stdout
    assert issuer(host) == "issuer=CN=A public CA"
    assert "adding an RR at '_acme-challenge.mail.example.test' TXT" in host.check_output("journalctl -u named.service")
    assert play(wish).changed == []
    assert host.file("/etc/postamt/acme/public.ini").mode == 0o600
    others_know_the_key(host, site, play, wish)
    assert SECRET not in predicted.stdout + made.stdout
    assert SECRET not in host.check_output("journalctl --no-pager")
    assert SECRET not in host.check_output("find / -xdev -type f -perm -o=r -path '*postamt*' -exec cat {} +")


def test_a_server_that_is_down_is_told_and_stops_nothing(
    host: Host, play: RunAgain, acme: dict[str, Any], fresh: None
) -> None:
    wish = {"mail_acme": {"public": {**acme, "server": re.sub(r":\d+/", ":9/", acme["server"])}}}
    done = play(wish)
    assert not done.failed
    told = re.sub(r"\s+", " ", done.stdout)
    assert "certificate public is a stand-in of the site's CA, since ACME has not brought it: " in told
    assert issuer(host).startswith("issuer=CN=CA of mail.example.test")
    again = play(wish)
    assert not again.failed and again.changed == []

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates alone: what lies on the host, what a client is shown, and when a run stops."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.site import RunAgain, Site

TLS = "/etc/postamt/tls"


def chain(host: Host, name: str) -> str:
    return str(host.check_output(f"cat {TLS}/{name}/chain.pem"))


def digests(host: Host) -> str:
    """Everything below the folder, with owners, modes and content."""
    return str(
        host.check_output(
            f"cd {TLS} && find . -printf '%p %M %u %g %l\\n' | sort && find . -type f | sort | xargs sha256sum"
        )
    )


@contextmanager
def served(host: Host, name: str) -> Iterator[int]:
    """Serve a certificate as a daemon that is nobody, and a member of ssl-cert; yields the port."""
    port, unit = 4433, "shown.service"
    host.check_output(
        f"systemd-run --unit={unit} --collect -p User=nobody -p Group=ssl-cert openssl s_server -quiet -accept {port} "
        f"-cert {TLS}/{name}/chain.pem -cert_chain {TLS}/{name}/chain.pem -key {TLS}/{name}/key.pem"
    )
    try:
        yield port
    finally:
        host.run(f"systemctl stop {unit}")


def shown(site: Site, port: int, ca: str, name: str) -> dict[str, Any]:
    """Return what a strict client sees of the host's certificate."""
    import socket

    context = ssl.create_default_context(cafile=ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    until = time.monotonic() + 10
    while True:
        try:
            with (
                socket.create_connection((site.ipv4, port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=name) as connection,
            ):
                return connection.getpeercert() or {}
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(host: Host) -> Iterator[None]:
    """When all tests have run, whichever they were, the host has no other files than at first."""
    yield
    assert len(host.check_output(f"ls {TLS}/.generations").splitlines()) == 2
    assert sorted(host.check_output(f"ls -A {TLS}").split()) == [".generations", "ca.pem", "internal", "public"]


@pytest.fixture
def restored(play: RunAgain) -> Iterator[None]:
    """Bring the host back to what the inventory says."""
    yield
    assert not play().failed


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate of somebody else for the host, self-signed, and another key."""
    folder = tmp_path_factory.mktemp("supplied")
    for name in ("mail", "other"):
        command = [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90",
            "-subj", f"/CN={name}.example.test", "-addext", f"subjectAltName=DNS:{name}.example.test",
            "-addext", "keyUsage=digitalSignature,keyCertSign",
            "-out", str(folder / f"{name}.pem"), "-keyout", str(folder / f"{name}.key"),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    return {path.name: str(path) for path in folder.iterdir()}


def test_packages_are_there(host: Host) -> None:
    for package in ("openssl", "ssl-cert"):
        assert host.package(package).is_installed


@pytest.mark.parametrize("name", ["public", "internal"])
def test_keys_are_for_root_and_ssl_cert(host: Host, name: str) -> None:
    key, certificates = host.file(f"{TLS}/{name}/key.pem"), host.file(f"{TLS}/{name}/chain.pem")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert (certificates.user, certificates.mode) == ("root", 0o644)
    assert host.file(f"{TLS}/{name}").is_symlink
    assert host.run(f"runuser -u nobody cat {TLS}/{name}/key.pem").rc != 0
    assert host.run(f"runuser -u nobody cat {TLS}/{name}/chain.pem").rc == 0


def test_the_cas_key_stays_on_the_controller(host: Host, site: Site) -> None:
    assert host.file(f"{TLS}/ca.pem").content_string == Path(site.ca_file).read_text()
    assert (site.state_dir / "ca.key").stat().st_mode & 0o777 == 0o600
    secret = "".join((site.state_dir / "ca.key").read_text().splitlines()[1:3])
    assert host.run(f"grep -rlF {secret[:60]} /etc /root /var /tmp").stdout == ""


def test_a_strict_client_is_satisfied(host: Host, site: Site) -> None:
    with served(host, "public") as port:
        assert ("DNS", site.server_name) in shown(site, port, site.ca_file, site.server_name)["subjectAltName"]
    with served(host, "internal") as port:
        for name in ("localhost", "127.0.0.1", "::1", site.server_name):
            assert shown(site, port, site.ca_file, name)


def test_no_key_is_in_the_journal(host: Host) -> None:
    assert "PRIVATE KEY" not in host.check_output("journalctl --no-pager")
    assert host.run("journalctl --no-pager -t ansible-postamt.mail.certificates | grep -q 'Invoked with'").rc != 0


def test_a_changed_setting_is_predicted_made_and_kept(host: Host, site: Site, play: RunAgain, restored: None) -> None:
    said = {"mail_certificates": {"public": {"names": [site.server_name, "imap.example.test"], "key_type": "rsa"}}}
    before = digests(host)
    predicted = play(said, check=True)
    assert digests(host) == before
    made = play(said)
    reason = f"since the one there is for {site.server_name}"
    names = f"{site.server_name}, imap.example.test"
    assert predicted.actions == [f"would issue certificate public for {names}, {reason}"]
    assert made.actions == [f"issued certificate public for {names}, {reason}"]
    assert "key: RSA 3072" in predicted.stdout
    assert play(said).changed == []
    with served(host, "public") as port:
        assert shown(site, port, site.ca_file, "imap.example.test")


def test_a_certificate_is_renewed_with_its_key_before_it_expires(host: Host, play: RunAgain, restored: None) -> None:
    said = {"mail_certificates_days": 900, "mail_certificates_renew_days": 800}
    key, before = host.check_output(f"sha256sum < {TLS}/public/key.pem"), chain(host, "public")
    made = play(said)
    assert ["expires on" in action for action in made.actions] == [True, True]
    assert chain(host, "public") != before
    assert host.check_output(f"sha256sum < {TLS}/public/key.pem") == key
    assert play(said).changed == []


def test_what_leaves_the_inventory_leaves_the_host(host: Host, play: RunAgain) -> None:
    assert not play({"mail_certificates": {"sni": {"names": ["other.example.test"]}}}).failed
    assert host.file(f"{TLS}/sni/key.pem").exists
    assert "removed certificate sni" in play().actions
    assert not host.file(f"{TLS}/sni").exists
    assert host.check_output(f"find {TLS} -name key.pem").count("\n") == 1


def test_supplied_files_are_served(
    host: Host, site: Site, play: RunAgain, files: dict[str, str], restored: None
) -> None:
    said = {"mail_certificates": {"public": {"certificate": files["mail.pem"], "key": files["mail.key"]}}}
    made = play(said)
    assert made.actions == [f"installed certificate public for {site.server_name}, since the file is another"]
    assert play(said).changed == []
    key = Path(files["mail.key"]).read_text().splitlines()[1]
    assert key in host.check_output(f"cat {TLS}/public/key.pem")
    assert key not in host.check_output("journalctl --no-pager")
    assert all(key not in str(task.result) for task in made.tasks)
    with served(host, "public") as port:
        assert shown(site, port, files["mail.pem"], site.server_name)


def test_supplied_files_that_are_wrong_stop_the_run(host: Host, play: RunAgain, files: dict[str, str]) -> None:
    before = digests(host)
    said = {"public": {"certificate": files["other.pem"], "key": files["mail.key"]}}
    stopped = play({"mail_certificates": said})
    assert stopped.failed
    message = stopped.tasks[-1].result["msg"]
    assert message.startswith("2 problems in the site's variables:")
    assert f"mail_certificates.public.key is '{files['mail.key']}': is the key of another certificate" in message
    assert "must be for mail.example.test, and is for other.example.test" in message
    assert digests(host) == before


def test_a_controller_without_the_ca_stops(host: Host, play: RunAgain, tmp_path: Path) -> None:
    before = digests(host)
    for check in (True, False):
        stopped = play({"mail_state_dir": str(tmp_path / "laptop")}, check=check)
        assert stopped.failed
        message = stopped.tasks[-1].result["msg"]
        assert message.startswith("host mail.example.test trusts a CA")
        assert "copy that folder (ca.pem, ca.key, secrets.yml) there" in message
    assert digests(host) == before
    assert not (tmp_path / "laptop").exists()


def test_the_cas_key_may_be_vaulted(
    host: Host, site: Site, play: RunAgain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored: None
) -> None:
    word, key = tmp_path / "word", site.state_dir / "ca.key"
    word.write_text("vault word\n")
    plain = key.read_bytes()
    try:
        subprocess.run(
            ["ansible-vault", "encrypt", "--vault-password-file", word, key], check=True, capture_output=True
        )
        stopped = play()
        assert stopped.failed
        assert f"{key} is encrypted with ansible-vault" in stopped.tasks[-1].result["msg"]
        monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(word))
        assert play().changed == []
        assert not play({"mail_certificates": {"sni": {}}}).failed
    finally:
        monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
        key.write_bytes(plain)

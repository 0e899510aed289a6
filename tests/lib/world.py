# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A world beside a host: an HTTPS server with policies, and servers that take mail.

It is in a network of its own on the host, which trusts its CA and asks the site's own resolver until the world ends.
What the DNS says of it is for signed_dns.py.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ansible_collections.postamt.mail.tests.lib.hosts import Host
from ansible_collections.postamt.mail.tests.lib.waiting import within

WEB, TRUSTED, UNTRUSTED = "192.0.2.80", "192.0.2.25", "192.0.2.26"
FOLDER = "/run/world"
_CA = "/usr/local/share/ca-certificates/world.crt"
# Certificates: of the CA for the names of TRUSTED and of the HTTPS server, and one that nobody has signed
_CERTIFICATES = f"""
set -e
mkdir -p {FOLDER}; cd {FOLDER}
new() {{
    name=$1; shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$name \
        -keyout $name.key -out $name.pem "$@" 2>/dev/null
}}
new ca -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
new good -addext basicConstraints=CA:FALSE -addext subjectAltName=$1 -CA ca.pem -CAkey ca.key
new own -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:other.example
"""
_NETWORK = f"""
set -e
cd {FOLDER}
cp /etc/resolv.conf before
echo 'nameserver 127.0.0.153' > /etc/resolv.conf
ip netns add world
ip link add world0 type veth peer name world1 netns world
ip addr add 192.0.2.1/24 dev world0
ip link set world0 up
for address in {WEB} {TRUSTED} {UNTRUSTED}; do ip -n world addr add $address/24 dev world1; done
ip -n world link set world1 up
cp ca.pem {_CA}
update-ca-certificates >/dev/null 2>&1
"""
_END = f"""
[ -e {FOLDER}/before ] || exit 0
systemctl stop world
systemctl reset-failed world 2>/dev/null
ip link del world0; ip netns del world
cat {FOLDER}/before > /etc/resolv.conf
rm -rf {FOLDER} {_CA}
update-ca-certificates --fresh >/dev/null 2>&1
"""


class World:
    """names: in the certificate of the world's CA. pin: SHA-256 of the key of UNTRUSTED, as TLSA records have it."""

    def __init__(self, host: Host, names: list[str]) -> None:
        self.host = host
        text = ",".join(f"DNS:{name}" for name in names)
        host.check_output(f"bash -c {shlex.quote(_CERTIFICATES)} world %s", text)
        self.pin = host.check_output(
            f"openssl x509 -in {FOLDER}/own.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
        ).split()[0]

    def serve(self, policies: dict[str, Any]) -> None:
        """Begin. policies: see world_servers.py."""
        script = (Path(__file__).parent / "world_servers.py").read_text(encoding="utf-8")
        trusted = [f"{FOLDER}/good.key", f"{FOLDER}/good.pem"]
        certificates = {**dict.fromkeys([*policies, TRUSTED], trusted), UNTRUSTED: [f"{FOLDER}/own.key",
                                                                                    f"{FOLDER}/own.pem"]}  # fmt: skip
        said = {"policies": policies, "mail": f"{FOLDER}/mail", "certificates": certificates}
        self.host.check_output(f"bash -c {shlex.quote(_NETWORK)}")
        self._put(f"{FOLDER}/servers.py", script)
        self._put(f"{FOLDER}/servers.json", json.dumps(said))
        command = f"ip netns exec world python3 {FOLDER}/servers.py {FOLDER}/servers.json"
        self.host.check_output(f"systemd-run --quiet --collect -u world -p PrivateTmp=no {command}")
        ready = f"ip netns exec world ss -Hltn | grep -q {UNTRUSTED}:25"
        assert within(10, lambda: self.host.run(ready).rc == 0)

    def mail(self) -> list[tuple[str, str]]:
        """Return what has come, as (server, subject)."""
        return [(server, subject) for server, _recipients, subject in self.letters()]

    def letters(self) -> list[tuple[str, list[str], str]]:
        """Return what has come, as (server, recipients, subject)."""
        lines = self.host.run(f"cat {FOLDER}/mail").stdout.splitlines()
        return [(server, to, subject) for server, _tls, to, subject in map(json.loads, lines)]

    def end(self) -> None:
        """Leave the host as it was; a second time changes nothing."""
        self.host.run(f"bash -c {shlex.quote(_END)}")

    def _put(self, path: str, text: str) -> None:
        self.host.check_output(f"printf %s %s > {path}", "%s", text)

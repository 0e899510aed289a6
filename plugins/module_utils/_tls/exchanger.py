# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which certificates port 25 shows to other servers: the DNS may name their keys (TLSA, RFC 7672)."""

# Several programs run at the same time, which an AnsibleModule cannot do.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import re
import ssl
import subprocess

from ansible_collections.postamt.mail.plugins.module_utils._tls import commands
from ansible_collections.postamt.mail.plugins.module_utils._tls.shown import TRUSTING_NOBODY, listening
from ansible_collections.postamt.mail.plugins.module_utils._tls.store import chain_of

PORT = 25
# A server may have a certificate for each kind of signature, and shows the one that its client can verify.
_KINDS = (
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448",
    "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512",
)
_SILENCE = 15.0  # seconds in which a port answers
_MOST = 8  # addresses


def chains(port: int = PORT, addresses: list[str] | None = None) -> list[str]:
    """Return the chains in PEM, leaf first, that servers are shown which send mail to this host; each once."""
    name = _name()
    found = listening(port) if addresses is None else addresses
    clients = [_client(address, port, kind, name) for address in found[:_MOST] for kind in _KINDS]
    said = [chain_of(_answer(client)) for client in clients]
    return list(dict.fromkeys("".join(map(ssl.DER_cert_to_PEM_cert, chain)) for chain in said if chain))


def _name() -> str:
    """Return the name that such servers ask for (SNI): the host's own, which is the MX record's."""
    try:
        name = commands.call("postconf", "-h", "myhostname").strip()
    except commands.CertificateError:
        return ""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name) else ""


def _client(address: str, port: int, kind: str, name: str) -> subprocess.Popen[bytes]:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    command = ["timeout", "20", "openssl", "s_client", *TRUSTING_NOBODY, "-showcerts", "-connect", where]
    command += ["-starttls", "smtp", "-name", "localhost", "-sigalgs", kind]
    command += ["-servername", name] if name else ["-noservername"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, env=commands.ENVIRONMENT)


def _answer(client: subprocess.Popen[bytes]) -> str:
    try:
        said = client.communicate(timeout=_SILENCE)[0]
    except subprocess.TimeoutExpired:
        client.terminate()
        said = client.communicate()[0]
    return said.decode("ascii", "replace")

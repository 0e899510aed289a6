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
_NONE_OF_THIS_KIND = re.compile(r"SSL alert number (?:40|71)\b")  # handshake_failure, insufficient_security


def chains(port: int = PORT, addresses: list[str] | None = None) -> list[str] | None:
    """Return the chains in PEM, leaf first, that servers are shown which send mail to this host; each once.

    None where an address shows one certificate, and it is not clear whether it has another: records that name some
    of the keys alone would stop mail.
    """
    name = _name()
    found = listening(port) if addresses is None else addresses
    clients = [[_client(address, port, kind, name) for kind in _KINDS] for address in found[:_MOST]]
    shown: list[list[bytes]] = []
    for answers in [[_answer(client) for client in both] for both in clients]:
        said = [chain_of(text) for text, _errors in answers]
        clear = [
            bool(chain or _NONE_OF_THIS_KIND.search(errors))
            for chain, (_text, errors) in zip(said, answers, strict=True)
        ]
        if any(said) and not all(clear):
            return None
        shown += filter(None, said)
    return list(dict.fromkeys("".join(map(ssl.DER_cert_to_PEM_cert, chain)) for chain in shown))


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
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=commands.ENVIRONMENT)


def _answer(client: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Return what a client prints, and its errors."""
    try:
        said, errors = client.communicate(timeout=_SILENCE)
    except subprocess.TimeoutExpired:
        client.terminate()
        said, errors = client.communicate()
    return said.decode("ascii", "replace"), errors.decode("ascii", "replace")

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How HAProxy checks a staged configuration of the site's links, and takes a new one up."""

from __future__ import annotations

import hashlib

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._engine.observe import packaged_digests
from ansible_collections.postamt.mail.plugins.module_utils._engine.program import Program

CONFIGURATION = "/etc/postamt/haproxy.cfg"
WATCH = "/etc/postamt/haproxy.lua"
UNIT = "postamt-links.service"
PEM = "/run/postamt-links/certificate.pem"
TLS = "/etc/postamt/tls"
DEBIANS_UNIT, DEBIANS_CONFIGURATION = "haproxy.service", "/etc/haproxy/haproxy.cfg"


class Haproxy(Program):
    unit = UNIT

    def displaced_units(self) -> tuple[str, ...]:
        """Return the package's own unit, which it enables, unless an administrator uses it."""
        return (DEBIANS_UNIT,) if files.exists(self.checker) and _unused() else ()

    def check(self, stage: str, dry: bool) -> list[str]:
        """Have HAProxy read the configuration, with the certificate beside it."""
        path = stage + CONFIGURATION
        pem, ca = f"{stage}/certificate.pem", f"{TLS}/ca.pem"
        pair = [files.see(f"{TLS}/internal/{name}") for name in ("chain.pem", "key.pem")]
        if all(pair) and files.exists(ca):
            files.write(pem, b"".join(one.content for one in pair if one))
        else:  # a prediction on a fresh host
            ca = throwaway(pem)
        return self.read_staged(path, {PEM: pem, f"{TLS}/ca.pem": ca, WATCH: stage + WATCH})

    def read_staged(self, path: str, instead: dict[str, str]) -> list[str]:
        """Have HAProxy read a configuration that names staged files, by the real ones; returns what it refuses."""
        seen = files.see(path)
        text = seen.content.decode() if seen else ""
        for real, staged in instead.items():
            text = text.replace(real, staged)
        files.write(path, text.encode())
        found = units.output(self.checker, "-c", "-q", "-f", path, check=False, RES_OPTIONS="timeout:1 attempts:1")
        if found.returncode == 0:
            return []
        said = [line.partition(" : ")[2] or line for line in found.stderr.splitlines() if "[ALERT]" in line]
        for real, staged in instead.items():
            said = [line.replace(staged, real) for line in said]
        return said or [found.stderr.strip() or "it is refused"]

    def reload(self, names: list[str]) -> None:
        """Have the master start a worker with what is new; the old one ends with its last connection."""
        units.reload_workers(self.unit, self.patience)


def throwaway(pem: str) -> str:
    """Make a certificate with its key in one file; returns the file by which it is verified."""
    key = f"{pem}.key"
    options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "1")
    units.output("openssl", "req", "-x509", *options, "-keyout", key, "-out", f"{pem}.ca")
    parts = [files.see(path) for path in (f"{pem}.ca", key)]
    files.write(pem, b"".join(part.content for part in parts if part))
    return f"{pem}.ca"


def _unused() -> bool:
    """Tell whether HAProxy's own unit serves nobody: it does not run, and its configuration is Debian's."""
    if units.states([DEBIANS_UNIT])[DEBIANS_UNIT].active:
        return False
    seen = files.see(DEBIANS_CONFIGURATION)
    known = packaged_digests().get(DEBIANS_CONFIGURATION, ())
    return seen is None or hashlib.md5(seen.content, usedforsecurity=False).hexdigest() in known

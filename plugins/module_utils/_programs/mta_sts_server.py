# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the server of the MTA-STS policy is checked, and takes a new policy or certificate up."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._engine import files, units
from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy

CONFIGURATION = "/etc/postamt/mta-sts.cfg"
POLICY = "/etc/postamt/mta-sts.txt"
UNIT = "postamt-mta-sts.service"
PEM = "/run/postamt-mta-sts/certificate.pem"
PORT = 443


class MtaStsServer(haproxy.Haproxy):
    unit = UNIT

    def check(self, stage: str, dry: bool) -> list[str]:
        """Have HAProxy read the configuration; the certificate is none of its matter here."""
        path, pem = stage + CONFIGURATION, f"{stage}/certificate.pem"
        haproxy.throwaway(pem)
        seen = files.see(path)
        text = seen.content.decode() if seen else ""
        for real, staged in ((PEM, pem), (POLICY, stage + POLICY)):
            text = text.replace(real, staged)
        files.write(path, text.encode())
        found = units.output(self.checker, "-c", "-q", "-f", path, check=False)
        if found.returncode == 0:
            return []
        said = [line.partition(" : ")[2] or line for line in found.stderr.splitlines() if "[ALERT]" in line]
        return said or [found.stderr.strip() or "it is refused"]

    def ports(self, stage: str) -> set[tuple[str, int]]:
        return {("", PORT)}

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the server of the MTA-STS policy is checked, and takes a new policy or certificate up."""

from __future__ import annotations

from ansible_collections.postamt.mail.plugins.module_utils._programs import haproxy

CONFIGURATION = "/etc/postamt/mta-sts.cfg"
POLICY = "/etc/postamt/mta-sts.txt"
UNIT = "postamt-mta-sts.service"
PEM = "/run/postamt-mta-sts/certificate.pem"
PORT = 443


class MtaStsServer(haproxy.Haproxy):
    unit = UNIT
    where_taken = "; if it is to keep the port, set mail_mta_sts_serve: false"

    def check(self, stage: str, dry: bool) -> list[str]:
        """Have HAProxy read the configuration; the certificate is none of its matter here."""
        path, pem = stage + CONFIGURATION, f"{stage}/certificate.pem"
        haproxy.throwaway(pem)
        return self.read_staged(path, {PEM: pem, POLICY: stage + POLICY})

    def ports(self, stage: str) -> set[tuple[str, int]]:
        return {("", PORT)}

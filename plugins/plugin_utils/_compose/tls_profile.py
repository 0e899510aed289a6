# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is offered in TLS where it is required: Mozilla's intermediate profile, version 5.7, in OpenSSL's words.

TLS 1.3 brings its own suites. The profile's DHE suites are left out: whoever knows them knows ECDHE.
"""

from __future__ import annotations

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
CURVES = ("X25519", "prime256v1", "secp384r1")

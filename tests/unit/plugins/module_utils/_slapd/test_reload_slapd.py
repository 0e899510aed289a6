# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What slapd is told so that it reads its certificate again."""

from __future__ import annotations

import pytest
from ansible_collections.postamt.mail.plugins.module_utils._slapd import reload_slapd

ENTRY = """\
dn: cn=config
olcTLSCACertificateFile: /etc/postamt/tls/ca.pem
olcTLSCertificateFile:: L2V0Yy9wb3N0YW10L3Rscy9pbnRlcm5hbC9jaGFpbi5wZW0=
olcTLSCertificateKeyFile: /etc/postamt/tls/internal/key.pem

"""
CHANGE = """\
dn: cn=config
changetype: modify
replace: olcTLSCertificateFile
olcTLSCertificateFile:: L2V0Yy9wb3N0YW10L3Rscy9pbnRlcm5hbC9jaGFpbi5wZW0=
-
replace: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: /etc/postamt/tls/internal/key.pem
-
replace: olcTLSCACertificateFile
olcTLSCACertificateFile: /etc/postamt/tls/ca.pem
"""


def test_all_settings_are_replaced_by_themselves_in_one_change() -> None:
    assert reload_slapd.again(ENTRY) == CHANGE


def test_what_went_wrong_is_said_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^ls: .*No such file[^\n]*$"):
        reload_slapd.call("ls", "/no/such/file")

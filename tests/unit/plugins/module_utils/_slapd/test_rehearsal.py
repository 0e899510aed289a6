# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The second slapd, on which changes of cn=config are tried."""

from __future__ import annotations

import base64

from ansible_collections.postamt.mail.plugins.module_utils._slapd import rehearsal

DATABASE = "olcDatabase={2}mdb,cn=config"


def test_a_copy_touches_nothing_of_the_real_slapd() -> None:
    secret = base64.b64encode(b'{0}rid=001 provider=ldapi://%2Frun%2Fp credentials="\xc3\xa4"').decode()
    copied = rehearsal.detached(
        "dn: cn=config\nolcPidFile: /run/slapd/slapd.pid\nolcArgsFile: /run/slapd/slapd.args\nolcLocalSSF: 128\n\n"
        f"dn: {DATABASE}\nolcDbDirectory: /var/lib/ldap-mail\nolcSyncrepl:: {secret}\nolcAccess: {{0}}to * by * none\n",
        lambda name: f"/copy/{name}",
    )
    lines = copied.splitlines()
    (follows,) = [base64.b64decode(line[14:]).decode() for line in lines if line.startswith("olcSyncrepl:: ")]
    assert follows == '{0}rid=001 provider=ldapi://%2Fnonexistent credentials="ä"'
    assert [line for line in lines if not line.startswith("olcSyncrepl")] == [
        "dn: cn=config", "olcLocalSSF: 128", "", f"dn: {DATABASE}", "olcDbDirectory: /copy/data-6",
        "olcAccess: {0}to * by * none",
    ]  # fmt: skip

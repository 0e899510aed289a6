# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hashes of other systems: what slapd checks, under the name that it knows; whether it does, molecule/accounts asks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.postamt.mail.plugins.plugin_utils._model import hashes

INVENTORY = yaml.safe_load((Path(__file__).parents[5] / "molecule/accounts/inventory.yml").read_text("utf-8"))
KNOWN = [
    (one["address"].partition("@")[0], one["password_hash"])
    for one in INVENTORY["mail"]["vars"]["mail_accounts"]
    if "password_hash" in one
]
SHA512 = next(value for name, value in KNOWN if name == "h-rounds")
SSHA = "{SSHA}upazRePfRX8aShXqIZEsekQZErtzYWx0c2FsdA=="


@pytest.mark.parametrize("value", [value for _name, value in KNOWN], ids=[name for name, _value in KNOWN])
def test_what_a_host_has_checked_is_taken(value: str) -> None:
    found = hashes.for_slapd(f" {value} ")
    assert found.partition("}")[2] == value.rpartition("}")[2]
    assert found[1:].partition("}")[0] in hashes.KNOWN
    assert hashes.for_slapd(found) == found


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (SHA512, "{CRYPT}"), (f"{{SHA512-CRYPT}}{SHA512}", "{CRYPT}"), (f"{{crypt}}{SHA512}", "{CRYPT}"),
        ("{SHA1}o2G/TxlOB8dstmRiwbHE6u4rEwI=", "{SHA}"), ("{LDAP-MD5}q1L6qYxPoEtEnf7zH+ts4Q==", "{MD5}"),
    ],
)  # fmt: skip
def test_each_gets_the_name_that_slapd_knows(value: str, name: str) -> None:
    assert hashes.for_slapd(value).startswith(name)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{SSHA512}abcd", "has the scheme {SSHA512}, which slapd does not check; must be one of {ARGON2}, {CRYPT}"),
        ("{PBKDF2}1$x$y", "has the scheme {PBKDF2}, which"),
        ("{SASL}anna@example.org", "has the scheme {SASL}, which"),
        ("{<b>}x", "has the scheme {...}, which"),
        ("{PLAIN}geheim", "{PLAIN}, a password in clear: say it as password"),
        ("{cleartext}geheim", "{CLEARTEXT}, a password in clear"),
        ("geheim", "is no hash; must be one of"),
        ("$apr1$salt$geheim", "is no hash; must be one of"),
        (f"!{SHA512}", "is no hash; must be one of"),
        *((SHA512.replace("saltsalt", odd, 1), "is no hash; must be one of") for odd in "!ä*;"),
        (SHA512.replace("5000", "10"), "is no hash; must be one of"),
        (f"$2y$03${'a' * 53}", "is no hash; must be one of"),
        (f"{{CRYPT}}$2y$32${'a' * 53}", "is no hash of the scheme {CRYPT}"),
        (SHA512[:-1], "is no hash; must be one of"),
        (f"{{CRYPT}}{SHA512[:-1]}", "is no hash of the scheme {CRYPT}"),
        (f"{{SSHA}}{SHA512}", "is no hash of the scheme {SSHA}"),
        (f"{{ARGON2}}{SHA512}", "is no hash of the scheme {ARGON2}"),
        (SSHA[:20], "is no hash of the scheme {SSHA}"),
        (SSHA.replace("=", ""), "is no hash of the scheme {SSHA}"),
        ("{MD5}0123456789abcdef0123456789abcdef", "is no hash of the scheme {MD5}"),
        ("", "is no hash"),
    ],
)
def test_all_else_is_refused_and_the_scheme_named(value: str, sentence: str) -> None:
    with pytest.raises(hashes.Unknown) as caught:
        hashes.for_slapd(value)
    said = str(caught.value)
    assert sentence in said
    assert "geheim" not in said and SHA512[-20:] not in said

# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hashes of passwords as other systems write them, and what slapd checks (slapd.conf(5), password-hash).

slapd takes whatever it does not know for a password in clear. So each hash is known here, or refused: the scheme's name
and the form behind it.
"""

from __future__ import annotations

import base64
import binascii
import re

# What crypt(3) of Debian's libxcrypt refuses, nobody logs in with: some letters of a salt, some costs.
_SALT = r"(?:(?![!$*:;\\])[!-~])"
_ROUNDS = r"(rounds=[1-9][0-9]{3,8}\$)?"
_CRYPT = (
    rf"\$1\${_SALT}{{0,8}}\$[./0-9A-Za-z]{{22}}"  # MD5
    r"|\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./0-9A-Za-z]{53}"  # bcrypt
    rf"|\$5\${_ROUNDS}{_SALT}{{0,16}}\$[./0-9A-Za-z]{{43}}"  # SHA-256
    rf"|\$6\${_ROUNDS}{_SALT}{{0,16}}\$[./0-9A-Za-z]{{86}}"  # SHA-512
    r"|\$(y|gy)\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}"  # yescrypt
    r"|\$7\$[./0-9A-Za-z]{11,97}\$[./0-9A-Za-z]{43}"  # scrypt
)
_DES = r"[./0-9A-Za-z]{13}"
_ARGON2 = r"\$argon2(id|i|d)\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
# Bytes of a digest in Base64, and whether a salt follows
_DIGESTS = {"SSHA": (20, True), "SHA": (20, False), "SMD5": (16, True), "MD5": (16, False)}
# Names that Dovecot has for them (doveadm pw -l), and what slapd calls them
_NAMES = {
    **dict.fromkeys(("SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "BLF-CRYPT", "DES-CRYPT", "CRYPT"), "CRYPT"),
    **dict.fromkeys(("ARGON2I", "ARGON2ID", "ARGON2"), "ARGON2"),
    **{name: name for name in _DIGESTS},
    "SHA1": "SHA",
    "LDAP-MD5": "MD5",
}
KNOWN = ("ARGON2", "CRYPT", *_DIGESTS)
_CLEAR = ("PLAIN", "CLEARTEXT", "CLEAR", "PLAIN-TRUNC")


class Unknown(ValueError):
    """What is no hash that slapd checks; the text says what is wrong, and not a letter of the hash."""


def for_slapd(value: str) -> str:
    """Return a hash with the scheme's name that slapd knows; raises Unknown."""
    text = value.strip()
    named = re.match(r"\{([^{}]*)\}", text)
    scheme = named[1].upper() if named else ""
    body = text[named.end() :] if named else text
    if scheme in _CLEAR:
        raise Unknown(f"has the scheme {{{scheme}}}, a password in clear: say it as password")
    if named and scheme not in _NAMES:
        raise Unknown(f"has the scheme {{{_shown(named[1])}}}, which slapd does not check; {_allowed()}")
    if re.fullmatch(_CRYPT, body) and (not named or _NAMES[scheme] == "CRYPT" or scheme == "MD5"):
        return f"{{CRYPT}}{body}"  # Dovecot's MD5 is crypt(3), too
    if re.fullmatch(_ARGON2, body) and (not named or _NAMES[scheme] == "ARGON2"):
        return f"{{ARGON2}}{body}"
    if not named:
        raise Unknown(f"is no hash; {_allowed()}")
    name = _NAMES[scheme]
    if (name == "CRYPT" and re.fullmatch(_DES, body)) or (name in _DIGESTS and _is_digest(body, *_DIGESTS[name])):
        return f"{{{name}}}{body}"
    raise Unknown(f"is no hash of the scheme {{{scheme}}}: it may have been cut off, or have another scheme")


def _allowed() -> str:
    braces = ", ".join(f"{{{name}}}" for name in KNOWN)
    return f"must be one of {braces}, of Dovecot's names for them, or begin as crypt(3) and Argon2 do ($6$, $argon2id$)"


def _shown(scheme: str) -> str:
    return scheme if re.fullmatch(r"[A-Za-z0-9._-]{1,24}", scheme) else "..."


def _is_digest(body: str, length: int, salted: bool) -> bool:
    try:
        found = len(base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        return False
    return found > length if salted else found == length
